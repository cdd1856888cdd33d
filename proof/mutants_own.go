package proof

// ownMutants break what guards handlers that have transactions of their own, and what is
// found out about attempts that have lapsed.
func ownMutants() []Mutant {
	http := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelhttp/" + file, before, after, "semelhttp", test}
	}
	return []Mutant{
		http("own transactions: a success without CompleteIn is kept", "finish.go",
			"case c.mode == buffering && !ended && c.claim.Locked() && c.succeeds():", "case false:", "^TestLockInWithoutCompleteIn$"),
		http("own transactions: a success whose completion was rolled back is kept", "finish.go",
			"		if c.succeeds() {\n", "		if false {\n", "^TestLockInWithoutCompleteIn$"),
		http("own transactions: a hidden answer is sent", "uncompleted.go",
			"(!told || wish == semel.Unknown)", "!told && wish == semel.Unknown", "^TestCompleteInThroughAnotherWriter$"),
		http("own transactions: a hidden answer without a lock is sent", "complete.go",
			"		if !claim.Locked() {\n			_ =", "		if false {\n			_ =", "^TestCompleteInThroughAnotherWriter$"),
		http("own transactions: what the handler says of its end is not heard", "uncompleted.go",
			" && (!told || wish == semel.Unknown)", " && (!told || wish >= semel.Unknown)", "^TestLockInAndAnswerOtherwise$"),
		http("own transactions: a refusal without CompleteIn is unknown", "uncompleted.go",
			"status < http.StatusBadRequest && ", "status < 1000+http.StatusBadRequest && ", "^TestLockInAndAnswerOtherwise$"),
		http("own transactions: a success without CompleteIn runs again", "uncompleted.go",
			"	c.claim.EndPromise(ctx)\n", "", "^TestLockInWithoutCompleteIn$"),
		{
			"the lease ends before it is written down that the outcome is unknown", "effects.go",
			"	c.doubted.Store(!c.engine.endPromise(", "	c.doubted.Store(false && !c.engine.endPromise(", "semelhttp", "^TestLockInWithoutCompleteInWhileTheStoreFails$",
		},
	}
}
