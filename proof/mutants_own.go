package proof

// ownMutants break what guards handlers that have transactions of their own, and what is
// found out about attempts that have lapsed.
func ownMutants() []Mutant {
	http := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelhttp/" + file, before, after, "semelhttp", test}
	}
	return append(sweepPauseMutants(), []Mutant{
		http("own transactions: a success without CompleteIn is kept", "finish.go",
			"case c.mode == buffering && !ended && c.claim.Locked() && c.succeeds():", "case false:", "^TestLockInWithoutCompleteIn$"),
		http("own transactions: a success whose completion was rolled back is kept", "finish.go",
			"		if c.succeeds() {\n", "		if false {\n", "^TestClaimCompletedAndRolledBack$"),
		http("own transactions: a hidden answer is sent", "uncompleted.go",
			"(!told || wish == semel.Unknown)", "!told && wish == semel.Unknown", "^TestCompleteInThroughAnotherWriter$"),
		http("own transactions: a hidden answer without a lock is sent", "complete.go",
			"	if err := claim.LockIn(ctx, tx); err != nil {", "	if err := error(nil); err != nil {", "^TestCompleteInThroughAnotherWriter$"),
		http("own transactions: the log says rolled back where CompleteIn has failed", "complete.go",
			"		if c.failed != nil {\n", "		if false {\n", "^TestCompleteInEndedByAStatement$"),
		http("transactions: a retry is told to help where none can", "transaction.go",
			"d.Retryable, d.ReuseKey = false, false", "d.ReuseKey = true", "^TestInTxInsideWithout$"),
		http("transactions: a refusal is logged without its attempt", "transaction.go",
			"	if x.fence > 0 {\n", "	if false {\n", "^TestInTxMistakes$"),
		http("own transactions: what the handler says of its end is not heard", "uncompleted.go",
			" && (!told || wish == semel.Unknown)", " && (!told || wish >= semel.Unknown)", "^TestLockInAndAnswerOtherwise$"),
		http("own transactions: a refusal without CompleteIn is unknown", "uncompleted.go",
			"status < http.StatusBadRequest && ", "status < 1000+http.StatusBadRequest && ", "^TestLockInAndAnswerOtherwise$"),
		http("own transactions: a success without CompleteIn runs again", "uncompleted.go",
			"	c.claim.EndPromise(ctx)\n", "", "^TestLockInWithoutCompleteIn$"),
		{
			"grpc: a success without CompleteIn is kept", "adapter/semelgrpc/attempt.go",
			"got.err == nil && a.claim.Locked() &&", "got.err == nil && false &&", "adapter/semelgrpc", "^TestHandlerForgetsToComplete$",
		},
		{
			"the lease ends before it is written down that the outcome is unknown", "effects.go",
			"	c.doubted.Store(!c.engine.endPromise(", "	c.doubted.Store(false && !c.engine.endPromise(", "semelhttp", "^TestLockInWithoutCompleteInWhileTheStoreFails$",
		},
	}...)
}

func sweepPauseMutants() []Mutant {
	return []Mutant{
		{
			"Watermill publishes what a handler has not completed", "adapter/semelwatermill/run.go",
			"	if c.Locked() {\n", "	if false {\n", "adapter/semelwatermill", "^TestOwnTransactionWithoutCompleteIn$",
		},
		{
			"a refusal over gRPC is kept behind what was committed", "adapter/semelgrpc/attempt.go",
			"	if got.err != nil && a.claim.Deferred()", "	if false && a.claim.Deferred()", "adapter/semelgrpc", "^TestRefusalAfterACommit$",
		},
		{
			"what is said over gRPC of a transaction that had ended counts", "adapter/semelgrpc/attempt.go",
			"	if a.claim.IsUnknown() {\n", "	if false {\n", "adapter/semelgrpc", "^TestRefusalAfterACommit$",
		},
		{
			"a refusal is kept behind what was committed", "semelhttp/uncompleted.go",
			"	if !ended && !c.succeeds() && c.claim.Deferred()", "	if false && c.claim.Deferred()", "store/sqlitestore", "^TestRefusalAfterACommit$",
		},
		{
			"what a handler says of a transaction that had ended counts", "semelhttp/finish.go",
			"c.mode == buffering && c.isUnknown(ctx, ended)", "false && c.isUnknown(ctx, ended)", "semelhttp", "^TestEndedWhateverIsSaid$",
		},
		{
			"an answer is sent that was hidden from a transaction which is over", "semelhttp/complete.go",
			"		claim.EndPromise(ctx)\n	}\n}\n\n// Reset", "		_ = ctx\n	}\n}\n\n// Reset", "semelhttp", "^TestHiddenAndOver$",
		},
		{
			"a rollback that is found out late is unknown", "semelhttp/answer.go",
			"case out.Kind == semel.Reserved && c.claim.Deferred():", "case false:", "semelhttp", "^TestRolledBackIsFoundOutLate$",
		},
		{
			"another's work makes the outcome of one that lost its slot unknown", "semelhttp/answer.go",
			"case out.Kind == semel.InFlight && c.claim.Deferred():", "case false:", "semelhttp", "^TestLostWhileAnotherWorks$",
		},
		{
			"a replay waits for a writer that the store does not know of", "store/sqlitestore/transactions.go",
			"	if seen, ok := x.store.unchanged(slot, r); ok {", "	if seen, ok := x.store.unchanged(slot, r); ok && false {", "store/sqlitestore", "^TestReplayBesideAForeignWriter$",
		},
		coreMutant("what has ended in single mode counts as running", "intx.go",
			"			t.engine.abandon(ctx, t.claim) // a reservation", "			_ = t.claim // a reservation", "^TestInTxEndedByAStatement$"),
		coreMutant("an attempt without effect is told as held", "claim.go",
			"	case !c.blameless, !c.deferred.Load():\n", "	case true:\n", "^TestLogsWhatEndsWithoutEffect$"),
		coreMutant("an attempt in a transaction is told to be without effect", "claim.go",
			"	case c.Locked():\n		msg", "	case false:\n		msg", "^TestLogsWhatEndsWithoutEffect$"),
		coreMutant("a sweep forgets which route an attempt was of", "sweep.go",
			"Route: rec.Route, ", "", "^TestSweepKeepsRoute$"),
		coreMutant("a sweep takes over what it is not to ask about", "sweep.go",
			"w.cfg.Only != nil && !rec.Blameless()", "false && !rec.Blameless()", "^TestSweepOnly$"),
		coreMutant("a sweep leaves what cannot have begun", "sweep.go",
			"w.cfg.Only != nil && !rec.Blameless()", "w.cfg.Only != nil", "^TestSweepOnly$"),
		coreMutant("a sweep asks in every round", "sweep.go",
			"ok && now.Before(l.at) &&", "ok && false &&", "^TestSweepPauses$"),
		coreMutant("the pauses of a sweep grow for ever", "sweep.go",
			"min(2*before.pause, max(pause, longestPause))", "2 * before.pause", "^TestSweepPauses$"),
		coreMutant("a sweep waits with an attempt that began anew", "sweep.go",
			"(rec.Fence == l.fence || rec.Lapses > l.lapses)", "l.pause > 0", "^TestSweepOfANewAttempt$"),
		coreMutant("sweeps of several processes do not pause", "sweep.go",
			"(rec.Fence == l.fence || rec.Lapses > l.lapses)", "rec.Fence == l.fence", "^TestSweepPausesInEveryProcess$"),
	}
}
