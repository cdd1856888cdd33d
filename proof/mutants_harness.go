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
		crash("a retry is killed at the first time of each step only", "retries.go",
			"	if r.after.record == \"\" {\n", "	if true {\n", "^TestRetriesAreKilled$"),
		crash("a retry is killed where it came by chance", "retries.go",
			"	if r.after.record == \"\" {\n", "	if false {\n", "^TestRetriesOfAStoreThatCannotList$"),
		crash("the steps of a retry are noted while the lease runs", "retries.go",
			"	h.awaitLapse(ctx, s, key)\n", "", "^TestRetriesAreKilled$"),
	}
}

// recordHintMutants break what the operator's command says when it does nothing.
func recordHintMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "cmd/semel/internal/cli/" + file, before, after, "cmd/semel", test}
	}
	return []Mutant{
		mutant("a reference in the place of a slot is not told", "records.go",
			"	case len(s.slot) == operators.RefLen:\n", "	case false:\n", "^TestScripts$/^records_show$"),
		mutant("a scope that is no hash is not told", "records.go",
			"	case s.scope != \"\" && !strings.HasPrefix(s.scope, \"h:\"):\n", "	case false:\n", "^TestScripts$/^records_show$"),
		mutant("what had no effect is said to be unknown", "records_resolve.go",
			"	if !o.NeedsDecision(rec) {\n", "	if false {\n", "^TestScripts$/^records_release$"),
		mutant("a margin hides records without a word", "records_list.go",
			"	if o.cfg.Margin > semel.DefaultMargin {\n", "	if false {\n", "^TestScripts$/^records_list$"),
	}
}

// exampleMutants break what the examples show.
func exampleMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "examples/outbox/" + file, before, after, "examples/outbox", test}
	}
	return []Mutant{
		mutant("outbox: messages that fail stay at the head of the line", "worker.go",
			"err, w.postpone(ctx, m))", "err)", "^TestFailingMessagesHoldUpNoOther$"),
		mutant("outbox: what is not due is sent", "worker.go",
			" AND next_at <= unixepoch()", "", "^TestNotDue$"),
	}
}
