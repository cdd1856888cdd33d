package proof

// waitMutants break how duplicates wait, and the leases that calls have of their own.
func waitMutants() []Mutant {
	mutant := func(name, file, old, broken, test string) Mutant {
		return Mutant{"waiting: " + name, file, old, broken, ".", test}
	}
	return []Mutant{
		mutant("an answer from before the wait is believed", "waiting.go",
			"if seen.asked.Before(v.since) {", "if false {", "^TestOldNewsIsNotBelieved$"),
		mutant("everybody who waits asks", "waiting.go",
			"		v.room.tell(held, v.start)\n		if v.over() {\n			return nil\n		}\n", "		v.room.tell(held, v.start)\n		if v.over() {\n			return nil\n		}\n		select {\n		case v.room.turn <- struct{}{}:\n		default:\n		}\n", "^TestThousandWaitersAskAsOne$"),
		mutant("who waits hears nothing of what another is told", "waiting.go",
			"		v.room.tell(held, v.start)\n", "", "^TestThousandWaitersAskAsOne$|^TestWaitGetsAFreedSlot$"),
		mutant("polls do not slow down", "waiting.go",
			"v.room.pause*3/2, lastPoll", "v.room.pause, lastPoll", "^TestThousandWaitersAskAsOne$"),
		mutant("an attempt that ends here wakes nobody", "waiting.go",
			"		case r.hurry <- struct{}{}:\n", "		case (chan struct{})(nil) <- struct{}{}:\n", "^TestWaitForTheAnswer$"),
		mutant("a key has any number of waiters", "waiting.go",
			" || r != nil && r.n >= perKey", " || r != nil && perKey < 0", "^TestWaitersAreBounded$"),
		mutant("a process has any number of waiters", "waiting.go",
			"w.n.Load() >= int64(most) ||", "most < 0 ||", "^TestWaitersAreBounded$"),
		mutant("somebody waits beyond MaxWait", "waiting.go",
			"time.NewTimer(min(d, MaxWait))", "time.NewTimer(d)", "^TestWaitEnds$"),
		mutant("a wait outlives its client", "waiting.go",
			"		case <-ctx.Done():\n			pause.Stop()\n			return nil\n", "", "^TestWaitEnds$"),
		mutant("a wait outlives the engine", "waiting.go",
			"		case <-v.stop:\n			pause.Stop()\n			return nil\n", "", "^TestWaitEnds$"),
		mutant("a listener outlives his client", "waiting.go",
			"		case <-ctx.Done():\n			return nil\n		}\n	}\n}\n\n// over", "		}\n	}\n}\n\n// over", "^TestWhoListensMayLeave$"),
		mutant("a conflict waits", "engine.go",
			"if verdict == waits && call.Wait > 0 {", "if (verdict == waits || verdict == refuses) && call.Wait > 0 {", "^TestWaitOnlyForWhatIsInFlight$"),
		mutant("a turn to ask is not given back", "waiting.go",
			"			defer func() { v.room.turn <- struct{}{} }()\n", "", "^TestWaitTakesOver$|^TestWaitMeetsAFailure$"),
		mutant("a request that waits is counted twice", "observe.go",
			"ev.Waits = patient && err == nil && decide(*held, r, Hold) == waits", "ev.Waits = false", "^TestWaitIsObserved$"),
		mutant("who meets a transaction does not wait", "waiting.go",
			"|| out.Kind != InFlight || out.Lapsed || left <= 0 {", "|| out.Lapsed || left <= 0 || true {", "^TestInTxWaits$"),
		mutant("a call's lease is renewed in the engine's time", "attempts.go",
			"	if a.shortest == 0 || c.attempt.lease < a.shortest {\n", "	if a.shortest == 0 {\n", "^TestLeaseOfACall$"),
		mutant("all leases are renewed for the same time", "renew.go",
			"due[n].attempt.lease == due[0].attempt.lease", "due[0].attempt.lease > 0", "^TestLeaseOfACall$"),
		mutant("a call's lease is not asked for", "engine.go",
			"		Lease:             call.Lease,\n", "		Lease:             e.cfg.Lease,\n", "^TestLeaseOfACall$"),
		mutant("a call's lease may be nothing", "engine.go",
			"max(or(call.Lease, e.cfg.Lease), minLease)", "or(call.Lease, e.cfg.Lease)", "^TestLeaseOfACall$"),
		{
			"a shadow waits", "semelhttp/shadow.go",
			"	call.Wait = 0 // the request is served whatever the outcome\n", "", "semelhttp", "^TestShadowDoesNotWait$",
		},
		{
			"a store that fails under a wait fails the call", "waiting.go",
			"	if err := v.keep(ctx); err != nil {\n", "	if err := v.keep(ctx); err != nil {\n		panic(err)\n", "semelhttp", "^TestWaitDoesNotFailOpen$",
		},
		{
			"a route's wait is not handed on", "semelhttp/middleware.go",
			"Wait: m.cfg.Wait, ", "", "semelhttp", "^TestDuplicateWaitsForTheAnswer$",
		},
		{
			"metrics count a request before and after its wait", "adapter/semelprom/observe.go",
			"	if e.Waits {\n		return\n	}\n", "", "adapter/semelprom", "^TestCountsAWaitOnce$",
		},
	}
}
