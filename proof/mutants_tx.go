package proof

import "slices"

// coreTxMutants breaks what the core does with transactions, with promises of no
// effect, and with the sweep.
func coreTxMutants() []Mutant {
	return slices.Concat(effectMutants(), lockMutants(), inTxMutants(), tryMutants(), sweepMutants())
}

func coreMutant(name, file, before, after, test string) Mutant {
	return Mutant{name, file, before, after, ".", test}
}

func effectMutants() []Mutant {
	return []Mutant{
		coreMutant("an attempt that had not begun is held", "engine.go",
			"TakeOverBlameless: true,", "TakeOverBlameless: false,", "^TestLapsedBeforeItsEffects$"),
		coreMutant("everybody promises to have no effect", "engine.go",
			"call.DeferEffects,", "true,", "^TestHoldRefusesUntilSomebodyKnows$"),
		coreMutant("an attempt whose transaction protects it is unknown", "outcome.go",
			"case held.Lapsed && !asked.TakeOver && !(asked.TakeOverBlameless && held.Blameless()):", "case held.Lapsed && !asked.TakeOver:", "^TestDecideInEverySituation$"),
		coreMutant("the last attempt's promise covers those before it", "record.go",
			"r.Deferred && r.Lapses == 0", "r.Deferred", "^TestDecideInEverySituation$"),
		coreMutant("effects begin inside a transaction", "effects.go",
			"	case e.running.inTx(c):\n		return ErrInTx\n", "", "^TestLockInCommits$"),
		coreMutant("effects begin under a claim that has been ended", "effects.go",
			"case standing == abandoned, standing == kept, standing == freed, standing == lapsing:", "case standing == freed:", "^TestBeginEffectsTooLate$"),
		coreMutant("effects begin although the attempt must stop", "effects.go",
			"	if cause := e.running.ended(c); cause != nil {\n		return cause\n	}\n", "", "^TestBeginEffectsTooLate$"),
		coreMutant("effects begin without a word to the store", "effects.go",
			"	case !c.deferred.Load():\n", "	case true:\n", "^TestRandomPaymentsKeepTheInvariants$"),
		coreMutant("a promise counts as ended before it is", "effects.go",
			"	if err == nil {\n		c.deferred.Store(false)\n	}\n", "	c.deferred.Store(false)\n", "^TestBeginEffectsOnce$"),
		coreMutant("BeginEffects waits for a store that hangs", "effects.go",
			"e.cfg.ReserveTimeout", "1000*e.cfg.ReserveTimeout", "^TestBeginEffectsFails$"),
		coreMutant("a store that cannot end a promise lets effects begin", "effects.go",
			"	if !ok {\n", "	if !ok {\n		return nil\n	}\n	if !ok {\n", "^TestBeginEffectsWithoutSupport$"),
		coreMutant("Confirm leaves a reservation that holds the key", "settle.go",
			"		Deferred: true,\n", "", "^TestConfirmOfAFreedSlotLeavesNothingUnknown$"),
		coreMutant("Confirm takes over", "settle.go",
			"		Deferred: true,\n", "		Deferred: true, TakeOverBlameless: true,\n", "^TestConfirmNeverTakesOver$"),
	}
}

func lockMutants() []Mutant {
	return []Mutant{
		coreMutant("LockIn locks for an attempt that must stop", "claim_tx.go",
			"	if cause := e.running.ended(c); cause != nil {\n		return cause\n	}\n", "", "^TestLockInTooLate$"),
		coreMutant("a step in the caller's transaction can be cancelled", "claim_tx.go",
			"err = f(context.WithoutCancel(ctx))", "err = f(ctx)", "^TestLockInCommits$"),
		coreMutant("Confirm believes what it read beside a commit", "claim_tx.go",
			"ok && inTx && err", "ok && !inTx && err", "^TestConfirmWaitsForTheTransaction$"),
		coreMutant("Confirm leaves a claim settled whose transaction was rolled back", "claim_tx.go",
			"		c.standing.CompareAndSwap(keptInTx, open)\n		if inTx", "		if inTx", "^TestClaimAfterARollBack$"),
		coreMutant("a claim stays in a transaction that was rolled back", "claim_tx.go",
			"			e.leaveTx(c)\n", "", "^TestClaimAfterARollBack$"),
		coreMutant("LockIn leaves a claim settled whose transaction was rolled back", "claim_tx.go",
			"	c.standing.CompareAndSwap(keptInTx, open) // it was rolled back: the slot is still reserved\n", "", "^TestLockInAfterARollBack$"),
		coreMutant("the engine's transaction ends with its lease", "renew.go",
			"case !owned && at.over(now)", "case (!owned || true) && at.over(now)", "^TestInTxLockIsALease$"),
		coreMutant("the lock of a handler's transaction is no lease", "renew.go",
			"case partly && isMissed[c.token] && at.inTx:", "case false:", "^TestRollBackAfterALongTransaction$"),
		coreMutant("a lock of somebody else is a lease", "renew.go",
			"case partly && isMissed[c.token] && at.inTx:", "case partly && isMissed[c.token]:", "^TestOneOfManyIsNotRenewed$"),
		coreMutant("no renewal follows a lock that stood for the lease", "renew.go",
			"if e.renewer != nil && e.running.overdue(c) {", "if false {", "^TestRollBackAfterALongTransaction$"),
		coreMutant("a fresh lease is renewed after each transaction", "renew.go",
			"at.inTx && elapsed(at.renewed, time.Now()) >= at.lease/3", "at.inTx", "^TestRollBackAfterAShortTransaction$"),
		coreMutant("an attempt without a lease goes on after its transaction", "renew.go",
			"if at.listed && at.over(time.Now()) {", "if false {", "^TestRollBackAfterALongTransaction$"),
		coreMutant("a lock that is gone stands for the lease", "renew.go",
			"at.inTx, at.locked = false, time.Time{}", "at.inTx = false", "^TestRollBackAfterALongTransaction$"),
		coreMutant("an attempt in a lost transaction is not told", "renew.go",
			"case isGone[c.token] && !c.runs():", "case isGone[c.token] && c.standing.Load() != open:", "^TestInTxLostWhileItRuns$"),
		coreMutant("a commit counts as a loss", "txtry.go",
			"	c.standing.Store(committing) // a renewal that finds it completed is no alarm\n", "", "^TestRenewalDuringTheCommit$"),
	}
}

func inTxMutants() []Mutant {
	return []Mutant{
		coreMutant("an attempt that must stop tries again", "intx.go",
			"if cause := t.engine.running.ended(t.claim); cause != nil {", "if cause := t.engine.running.ended(t.claim); cause != nil && n > txTries {", "^TestInTxOverruns$"),
		coreMutant("an attempt that must stop commits", "intx.go",
			"	if cause := t.engine.running.ended(c); cause != nil {\n		return TxOutcome{}, true, cause\n	}\n", "", "^TestInTxOverruns$"),
		coreMutant("each try in single mode has MaxRun to itself", "intx.go",
			"c.attempt.started, c.attempt.maxRun, c.attempt.lease = t.started,", "c.attempt.started, c.attempt.maxRun, c.attempt.lease = time.Now(),", "^TestInTxOverruns$"),
		coreMutant("an error of the business code is taken for the attempt's own", "intx.go",
			"return Ending{}, &businessError{err}", "return Ending{}, err", "^TestInTxReturnsTheError$"),
		coreMutant("a lost commit answers with what another has committed", "txfate.go",
			"case now.State == StateCompleted && now.Token == c.token:", "case now.State == StateCompleted && now.Fingerprint == c.fingerprint:", "^TestCommitLostAndOvertaken$"),
		coreMutant("a commit whose answer was lost has happened", "intx.go",
			"out, err := t.lookAfter(ctx, c, held, end.Response, err)", "out, err := committed(held, end.Response), error(nil)", "^TestRandomPaymentsKeepTheInvariants$"),
		coreMutant("what nobody knows is tried again", "intx.go",
			"return !errors.Is(err, ErrCommitUnknown) && ", "return ", "^TestCommitUnknown$"),
		coreMutant("a look waits for the connection of its own commit", "intx.go",
			"		x.rollback(ctx) // what its connection still holds must not be waited for\n", "", "^TestLookNeedsTheConnectionOfTheCommit$"),
		coreMutant("a success is built on a failure", "intx.go",
			"case spoiled == nil || end.How != Keep:", "case true:", "^TestInTxSpoiled$"),
		coreMutant("what is made of a serialization failure is kept", "intx.go",
			"case spoiled != nil && t.txs.Again(spoiled):", "case false:", "^TestInTxTriesAgain$"),
		coreMutant("a handler that commits by itself is forgiven", "intx.go",
			"case errors.Is(spoiled, ErrTxOwned):", "case false:", "^TestInTxOwned$"),
		coreMutant("a single transaction that was committed by a statement runs again", "intx.go",
			"t.ended && t.engine.confess(ctx, t.asked.Key, t.asked.Token, t.asked.Lease) &&", "t.ended &&", "^TestInTxEndedByAStatement$"),
		coreMutant("an end that nobody has seen is not asked for", "intx.go",
			"if cause := x.ended(); cause != nil {", "if cause := x.ended(); false {", "^TestInTxEndedUnseen$"),
		coreMutant("a panic hides that the transaction was ended", "intx.go",
			"		case t.ended && !e.confess", "		case t.ended && err != nil && !e.confess", "^TestInTxEndedUnseen$"),
		coreMutant("that an outcome is unknown is tried to be said once", "txfate.go",
			"e.inBackground(e.quit.Done(), e.longest(lease), func() bool { return confessed() == nil })", "_ = confessed", "^TestInTxEndedByAStatement$"),
		coreMutant("a lease ends before it is said that the outcome is unknown", "intx.go",
			"			end(lapsing) // its lease gives the background time\n", "", "^TestInTxEndedByAStatement$"),
		coreMutant("a refusal runs the business code again", "intx.go",
			"	if t.alone != nil {", "	if false {", "^TestInTxSpoiled$"),
		coreMutant("a try remembers what the one before it wished", "intx.go",
			"	c.wish.Store(0) // what an earlier try was told to do with its answer is over\n", "", "^TestInTxForgetsTheWish$"),
		coreMutant("a transaction is tried without end", "intx.go",
			"const txTries = 5", "const txTries = 50", "^TestInTxBusy$"),
		coreMutant("single mode is stopped by an attempt that has lapsed", "intx.go",
			"if verdict == unknown || verdict == asks {", "if verdict == asks {", "^TestInTxAfterALapsedAttempt$"),
		coreMutant("the business code completes its claim by itself", "intx.go",
			"	c.standing.Store(managed)\n", "", "^TestInTxClaimIsTheEngines$"),
		coreMutant("a panic of the business code keeps the key in flight", "intx.go",
			"		default:\n			end(abandoned)\n", "		case c == nil:\n			end(abandoned)\n", "^TestInTxWithoutReturn$"),
		coreMutant("another request's slot is told to be in flight", "txfate.go",
			"if out.Kind != Replay && out.Kind != Conflict {", "if out.Kind != Replay {", "^TestCommitLostAndOvertaken$"),
		coreMutant("an attempt that wrote nothing is unknown", "txfate.go",
			"out.Kind, out.Lapsed = InFlight, false", "out.Kind = InFlight", "^TestInTxLostBeforeTheLock$"),
		coreMutant("transactions of any store will do", "intx.go",
			"	return ErrOtherStore\n", "	return nil\n", "^TestInTxOtherStore$"),
		coreMutant("stores that cannot be compared are", "intx.go",
			"reflect.ValueOf(s).Comparable() &&", "reflect.ValueOf(s).IsValid() &&", "^TestInTxOtherStore$"),
	}
}

func tryMutants() []Mutant {
	return []Mutant{
		coreMutant("a transaction that comes late stays open", "txtry.go",
			"				late.Rollback(ctx)\n", "				_ = late\n", "^TestInTxStepHangs$"),
		coreMutant("a step that comes late leaves its transaction open", "txtry.go",
			"func(result, error) { x.tx.Rollback(ctx) }", "func(result, error) {}", "^TestInTxStepHangs$"),
		coreMutant("a transaction is rolled back beside a step that hangs", "txtry.go",
			"x.left, r.err = true, err", "r.err = err", "^TestInTxStepHangs$"),
		coreMutant("a roll back is repeated beside itself", "txtry.go",
			"	x.left = true\n", "", "^TestRollbackOfALostCommitHangs$"),
		coreMutant("a commit that hangs has failed", "txtry.go",
			"		err = errors.Join(ErrCommitUnknown, err)\n", "", "^TestCommitHangs$"),
		coreMutant("a driver's own time-out leaves its transaction open", "txtry.go",
			"		return r, nil\n", "		return r, r.err\n", "^TestInTxTimeoutOfTheDriver$"),
		coreMutant("a step of the engine's transaction can be cancelled", "txtry.go",
			"	ctx = context.WithoutCancel(ctx)\n	r, err := await", "	r, err := await", "^TestInTxCommits$"),
		coreMutant("an attempt that must stop takes the lock", "txtry.go",
			"	if cause := x.engine.running.ended(c); cause != nil {\n		return cause\n	}\n", "", "^TestInTxEngineCloses$"),
		coreMutant("Close does not wait for a commit", "txtry.go",
			"	if !e.hold() {\n		return ErrClosed\n	}\n	defer e.letGo()\n", "", "^TestInTxEngineCloses$"),
	}
}

func sweepMutants() []Mutant {
	return []Mutant{
		coreMutant("a panic of the hook ends the sweep", "sweep.go",
			"if p := recover(); p != nil {", "if p := error(nil); p != nil {", "^TestSweepHookFails$"),
		coreMutant("a hook outlives its round", "sweep.go",
			"		defer context.AfterFunc(round, func() { stop(context.Cause(round)) })()\n", "", "^TestSweepHookHangs$"),
		coreMutant("a round outlives its sweep", "sweep.go",
			"	defer context.AfterFunc(ctx, func() { stop(context.Cause(ctx)) })()\n", "", "^TestSweepHookHangs$"),
		coreMutant("every process sweeps at once", "sweep.go",
			"Key: sweepKey, Fingerprint", `Key: Key{Scope: "semel", ID: NewToken().String()}, Fingerprint`, "^TestSweepIsOneAtATime$"),
		coreMutant("what a sweep keeps has the engine's retention", "sweep.go",
			"rec.ExpiresAt.Sub(rec.CreatedAt),", "0,", "^TestSweepSettlesWhatHasLapsed$"),
		coreMutant("a sweep asks about the same attempts for ever", "sweep.go",
			"		w.place = rec.CreatedAt\n", "", "^TestSweepHookHangs$"),
		coreMutant("a sweep begins anew in each round", "sweep.go",
			"return found, rec.CreatedAt, nil", "return found, time.Time{}, nil", "^TestSweepPages$"),
		coreMutant("the sweep of a closed engine goes on", "sweep.go",
			"case e.isClosed():", "case false:", "^TestSweepOfAClosedEngine$"),
	}
}
