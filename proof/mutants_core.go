package proof

func coreMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, file, before, after, ".", test}
	}
	return []Mutant{
		mutant("another request gets the answer", "outcome.go",
			"	case held.Fingerprint != asked.Fingerprint:\n		if mine {\n			return broken\n		}\n		return refuses\n", "", "^TestDecideInEverySituation$"),
		mutant("a repeated take-over forgets to ask", "outcome.go",
			"case mine && held.Lapses > 0 && policy != Rerun:", "case mine && held.Lapses > 0 && policy == Hold:", "^TestRecoverAfterALostTakeOver$"),
		mutant("a lapsed attempt counts as running", "outcome.go",
			"case held.Lapsed && !asked.TakeOver:", "case false:", "^TestHoldRefusesUntilSomebodyKnows$"),
		mutant("what is unknown is taken over under hold", "engine.go",
			"policy != Hold,", "true,", "^TestHoldRefusesUntilSomebodyKnows$"),
		mutant("an attempt stops after its lease has ended", "renew.go",
			"		case since+tick >= lease:\n", "		case since-2*tick >= lease:\n", "^TestOwnersNeverOverlap$"),
		mutant("the lease counts from the answer, not from the question", "renew.go",
			"			at.renewed = sent\n", "			at.renewed = time.Now()\n", "^TestLeaseCountsFromTheQuestion$"),
		mutant("a lost lease leaves its handler running", "renew.go",
			"			a.end(c, ErrLost)\n			lost = append(lost, c)\n", "			lost = append(lost, c)\n", "^TestLostLeaseEndsTheHandler$"),
		mutant("an attempt runs twice as long as it may", "renew.go",
			"case elapsed(at.started, now) >= at.maxRun:", "case elapsed(at.started, now) >= 2*at.maxRun:", "^TestMaxRun$"),
		mutant("leases are renewed one by one", "renew.go",
			"const renewBatch = 1000", "const renewBatch = 1", "^TestRenewalIsBatched$"),
		mutant("a suspended machine keeps its lease", "renew.go",
			"return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))", "return now.Sub(since)", "^TestElapsedSeesASuspension$"),
		mutant("a key prints itself", "key.go",
			`func (k Key) String() string { return "key:" + k.redacted() }`, `func (k Key) String() string { return "key:" + k.redacted() + k.ID }`, "^TestKeyNeverPrints$"),
		mutant("scope and key run together", "key.go",
			"	b = appendPrefixed(b, k.Scope)\n", "	b = append(b, k.Scope...)\n", "^TestSlot|^FuzzSlot"),
		mutant("sealed bytes open in another record", "seal.go",
			"	b = append(b, slot[:]...)\n", "	_ = slot\n", "^TestDamagedRecordIsNeverReplayed$"),
		mutant("an error frees the key", "do.go",
			"	case err != nil:\n		return Result[T]{}, err\n	}\n	data,", "	case err != nil:\n		_ = c.Release(ctx)\n		return Result[T]{}, err\n	}\n	data,", "^TestDoHolds"),
		mutant("a lost attempt uses its own value", "do.go",
			"		return lost[T](ctx, c, err)\n", "		return Result[T]{Value: value}, nil\n", "^TestDoLost$"),
		mutant("a number goes through float64", "do.go",
			"	d.UseNumber() // never through float64\n", "", "^TestDoKeepsBigNumbers$"),
		mutant("a panic of the handler keeps the key in flight", "do.go",
			"	defer c.Abandon(ctx)", "	_ = c.Abandon", "^TestDoHolds"),
		mutant("a response that is too large is tried again", "settle.go",
			"errors.Is(err, ErrLost) || errors.Is(err, ErrTooLarge) || tries", "errors.Is(err, ErrLost) || tries", "^TestResponseTooLarge$"),
		mutant("a response that is too large ends its claim", "claim.go",
			"		c.standing.CompareAndSwap(kept, open)\n	}\n	return err\n", "	}\n	return err\n", "^TestResponseTooLarge$"),
	}
}
