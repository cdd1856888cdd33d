package proof

// harnessMutants break what the two harnesses with kills, semelcrash and the ledger, must
// not overlook.
func harnessMutants() []Mutant {
	crash := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelcrash/" + file, before, after, "semelcrash", test}
	}
	return []Mutant{
		crash("a watched transaction completes and commits in two trips where it can in one", "tx.go",
			"		return &watchedOneTrip{watched, both}, nil\n", "		_ = both\n", "^TestTransactionsCan$"),
		crash("a completion in one trip with its commit passes by the watch", "tx.go",
			"	w.p.step(StepTxCommit, func() { err = w.both.CompleteAndCommit(ctx, c) })\n	return err\n", "	return w.both.CompleteAndCommit(ctx, c)\n", "^TestTransactionsSurvive$"),
	}
}
