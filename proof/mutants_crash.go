package proof

func crashMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelcrash/" + file, before, after, "semelcrash", test}
	}
	return []Mutant{
		mutant("a service is not killed before a step", "process.go",
			"	p.pass(Before, name, n)\n	take()\n", "	take()\n", "^TestOutsideOfTransactions$"),
		mutant("a service is killed before a step that is to have happened", "process.go",
			"	take()\n	p.pass(After, name, n)\n", "	p.pass(After, name, n)\n	take()\n", "^TestMistakesAreFound$"),
		mutant("a point of the service's own is not one", "process.go",
			"		p.pass(At, name, p.count(name))\n", "", "^TestMistakesAreFound$"),
		mutant("steps count before the first request", "process.go",
			"	if !p.armed {\n		return 0\n	}\n", "", "^TestOutsideOfTransactions$"),
		mutant("a service outlives its test", "process.go",
			"		_, _ = io.Copy(io.Discard, in)\n		die()\n", "		_, _ = io.Copy(io.Discard, in)\n", "^TestServiceEndsWithItsTest$"),
		mutant("a variable and two pipes start a service", "process.go",
			" || told.Word != word {", " {", "^TestVariableAlone$"),
		mutant("renewals pass by the watch", "store.go",
			"	w.p.step(name, func() { lost, err = w.r.Renew(ctx, lease, holders) })\n", "	_ = name\n	lost, err = w.r.Renew(ctx, lease, holders)\n", "^TestStoreCan$"),
		mutant("BeginEffects passes by the watch", "store.go",
			"	case renews && begins:\n		return &watchedBoth{w, watchedRenewer{p, renewer}, watchedBeginner{p, beginner}}\n", "", "^TestStoreCan$"),
		mutant("a watched store can more than the store", "store.go",
			"	case begins:\n		return &watchedBeginning{w, watchedBeginner{p, beginner}}\n	}\n	return &w\n", "	}\n	return &watchedBeginning{w, watchedBeginner{p, beginner}}\n", "^TestStoreCan$"),
		mutant("commits pass by the watch", "tx.go",
			"	w.p.step(StepTxCommit, func() { err = w.inner.Commit(ctx) })\n	return err\n", "	return w.inner.Commit(ctx)\n", "^TestTransactionsSurvive$"),
		mutant("the steps of a handler's own transaction pass by the watch", "tx.go",
			"	return watchedSteps{w.p, steps}, nil\n", "	return steps, nil\n", "^TestTransactionsSurvive$"),
		mutant("what is done twice is well", "report.go",
			"	case r.Effects > want:\n", "	case r.Effects > want+1:\n", "^TestMistakesAreFound$"),
		mutant("what is lost is well", "report.go",
			"	case r.Told == Done && r.Effects < want:\n", "	case r.Told == Done && r.Effects < want-1:\n", "^TestLostEffects$"),
		mutant("two truths are well", "report.go",
			"(r.Told != Done || !told.equal(*r.First))", "r.Told != Done", "^TestMistakesAreFound$"),
		mutant("the second answer is taken for the first", "run.go",
			"		first := told.answer\n		r.First = &first\n", "		r.First = &told.answer\n", "^TestMistakesAreFound$"),
		mutant("what is held is well", "report.go",
			"(run.Verdict != Held || !r.hold)", "run.Verdict != Held", "^TestRunReports$"),
		mutant("effects that come late do not count", "run.go",
			"			errs[i] = h.recount(ctx, &r)\n", "", "^TestLateEffects$"),
		mutant("a service that ends by itself counts as killed", "run.go",
			"		if !s.killed() {\n", "		if false {\n", "^TestServiceThatFallsLater$"),
		mutant("the points are read before the service has told them", "run.go",
			"	s.record(ctx, h.http, r.Key)\n	points := s.passed()\n", "	points := s.passed()[:0]\n", "^TestMistakesAreFound$"),
	}
}
