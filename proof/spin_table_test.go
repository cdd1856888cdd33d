package proof

// variants is what the model must do. The names of settings and mistakes are
// those of spin/settings.pml, those of promises are the invariants of
// docs/guarantees.md; ONCE is an effect outside of the database that happens at
// most once, and L1 that whoever goes on asking is told how it ended.
//
// What is to hold is searched to the end with every promise at once. What is to
// be violated names the promise: no other is looked at.
var variants = []variant{
	// The machine, with effects outside of the database.
	{"hold", "POLICY=HOLD STRANGERS=1", ""},
	{"hold, a retention ends and an operator resolves", "POLICY=HOLD ATTEMPTS=2 RETENTION=1 OPERATOR=HONEST", ""},
	{"hold, effects are deferred", "POLICY=HOLD DEFERS=1", ""},
	{"hold, effects are deferred, a retention ends and an operator resolves", "POLICY=HOLD DEFERS=1 ATTEMPTS=2 RETENTION=1 OPERATOR=HONEST", ""},
	{"recover", "POLICY=RECOVER", ""},
	{"recover, a retention ends and an operator resolves", "POLICY=RECOVER ATTEMPTS=2 RETENTION=1 OPERATOR=HONEST", ""},
	{"rerun, a retention ends", "POLICY=RERUN ATTEMPTS=2 RETENTION=1", ""},

	// Effects in the transaction that completes the record: whatever the policy.
	{"claim, hold", "KIND=CLAIM POLICY=HOLD", ""},
	{"claim, rerun", "KIND=CLAIM POLICY=RERUN STRANGERS=1", ""},
	{"claim, a retention ends and an operator guesses", "KIND=CLAIM ATTEMPTS=2 RETENTION=1 OPERATOR=GUESSING", ""},
	{"a caller's transaction that only completes, and tries again blindly", "KIND=CLAIM LOCKS=0 DOUBT=BLIND", ""},
	{"single", "KIND=SINGLE RETENTION=1", ""},
	{"single and claim on one slot", "KIND=MIXED POLICY=RERUN", ""},
	{"single and claim on one slot, a retention ends", "KIND=MIXED ATTEMPTS=2 RETENTION=1", ""},

	// Progress, when faults have ended.
	{"hold, an attempt may die", "LIVE=1 ATTEMPTS=2 POLICY=HOLD", ""},
	{"rerun, an attempt may die", "LIVE=1 ATTEMPTS=2 POLICY=RERUN", ""},
	{"claim, an attempt may die", "LIVE=1 ATTEMPTS=2 KIND=CLAIM POLICY=RERUN", ""},
	{"single, an attempt may die", "LIVE=1 ATTEMPTS=2 KIND=SINGLE", ""},

	// What is not promised, and why.
	{"rerun runs while an outcome is unknown", "POLICY=RERUN ATTEMPTS=2", "I7"},
	{"rerun doubles an effect that is not in the transaction", "POLICY=RERUN ATTEMPTS=2", "ONCE"},
	{"a hook that guesses", "POLICY=RECOVER HOOK=GUESSING ATTEMPTS=2", "ONCE"},
	{"an operator who guesses", "OPERATOR=GUESSING ATTEMPTS=2", "ONCE"},
	{"a failover that forgets a reservation", "FAILOVER=1 ATTEMPTS=2", "I9"},
	{"a failover that forgets doubles an effect", "FAILOVER=1 ATTEMPTS=2", "ONCE"},
	{"a failover that forgets makes two truths", "FAILOVER=1 ATTEMPTS=2", "I3"},
	{"a failover that forgets makes two truths of transactions", "FAILOVER=1 KIND=CLAIM ATTEMPTS=2", "I3"},
	{"a dead owner's connection that the server never gives up", "LIVE=1 KIND=CLAIM POLICY=RERUN ATTEMPTS=2 MUTANT=HALF_OPEN", "L1"},

	// Mistakes of a store.
	{"Complete does not look at the token", "MUTANT=UNCHECKED_COMPLETE POLICY=RERUN ATTEMPTS=2", "I3"},
	{"a repeated Complete writes again", "MUTANT=SECOND_RESPONSE ATTEMPTS=2", "I2"},
	{"Release does not look at the token", "MUTANT=UNCHECKED_RELEASE DEFERS=1", "ONCE"},
	{"Renew does not look at the token", "MUTANT=UNCHECKED_RENEW POLICY=RERUN ATTEMPTS=2", "I4"},
	{"a take-over keeps the token", "MUTANT=TOKEN_KEPT POLICY=RERUN ATTEMPTS=2", "I3"},
	{"a take-over while the lease runs", "MUTANT=LIVE_TAKEN_OVER POLICY=RERUN ATTEMPTS=2", "I1"},
	{"a take-over by another request", "MUTANT=HASH_NOT_ON_TAKING POLICY=RERUN ATTEMPTS=2 STRANGERS=1", "I5"},
	{"a take-over that takes the lease, but not the token", "MUTANT=LEASE_WITHOUT_TOKEN LIVE=1 POLICY=RERUN ATTEMPTS=2", "L1"},
	{"a take-over does not look at the row's lock", "MUTANT=TAKING_UNDER_LOCK KIND=CLAIM ATTEMPTS=2", "I1"},
	{"a take-over waits for the row's lock and does not look again", "MUTANT=TAKING_BLINDLY KIND=CLAIM ATTEMPTS=2", "I8"},
	{"Release deletes, and a fence is the clock", "MUTANT=RELEASE_DELETES ATTEMPTS=2", "I6"},
	{"BeginEffects is not written: a blameless take-over after it", "MUTANT=BEGIN_NOT_WRITTEN DEFERS=1 ATTEMPTS=2", "ONCE"},
	{"Purge deletes a lapsed reservation", "MUTANT=PURGE_LAPSED RETENTION=1 ATTEMPTS=2", "I9"},
	{"Purge deletes a lapsed reservation", "MUTANT=PURGE_LAPSED RETENTION=1 ATTEMPTS=2", "ONCE"},
	{"Resolve keeps the token of the lapsed attempt", "MUTANT=RESOLVE_KEEPS_TOKEN OPERATOR=HONEST ATTEMPTS=2", "I3"},
	{"Complete in a transaction takes a token that has completed", "MUTANT=TX_COMPLETE_TWICE KIND=CLAIM LOCKS=0 DOUBT=BLIND ATTEMPTS=2", "I8"},

	// Mistakes of the core.
	{"the fingerprint is not looked at before a replay", "MUTANT=HASH_NOT_ON_REPLAY ATTEMPTS=2 STRANGERS=1", "I5"},
	{"recover runs without asking", "MUTANT=RUN_UNASKED POLICY=RECOVER ATTEMPTS=2", "I7"},
	{"a take-over whose answer was lost is released", "MUTANT=RELEASE_TAKEN_OVER POLICY=RECOVER", "I7"},
	{"an answer is sent before it is kept", "MUTANT=SEND_FIRST ATTEMPTS=2", "I14"},
	{"a lost attempt sends its own answer", "MUTANT=OWN_AFTER_LOST POLICY=RERUN ATTEMPTS=2", "I3"},
	{"a plain read settles a commit without an answer", "DOUBT=READ KIND=CLAIM ATTEMPTS=2", "I3"},
	{"a plain read settles a single transaction's commit", "DOUBT=READ KIND=SINGLE ATTEMPTS=2", "I3"},
}
