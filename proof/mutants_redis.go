package proof

func redisMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"Redis: " + name, "store/redisstore/" + file, before, after, "store/redisstore", test}
	}
	return append([]Mutant{
		mutant("a foreign token completes", "lua/complete.lua",
			" or token ~= ARGV[1]", "", "^TestConformance$/^complete"),
		mutant("a late completion is not kept for a whole retention", "lua/complete.lua",
			"elseif lease <= now then", "elseif false then", "^TestConformance$/^retention"),
		mutant("a foreign token releases", "lua/release.lua",
			" or token ~= ARGV[1]", "", "^TestConformance$/^foreign"),
		mutant("a release deletes", "lua/release.lua",
			"put(string.sub(held, at))", "redis.call('DEL', KEYS[1])", "^TestConformance$/^foreign"),
		mutant("a foreign token renews", "lua/renew.lua",
			" or token ~= ARGV[1]", "", "^TestConformance$/^foreign"),
		mutant("a take-over keeps the token", "lua/reserve.lua",
			"put(ARGV[1])", "put(lapses > 0 and string.sub(held, at) or ARGV[1])", "^TestConformance$/^lapse"),
		mutant("another request takes a lapsed reservation over", "lua/reserve.lua",
			"fingerprint == string.sub(ARGV[1], 1, 32)", "fingerprint", "^TestConformance$/^lapse"),
		mutant("a take-over forgets how often it happened", "lua/reserve.lua",
			"blameless and 0 or lapses + 1", "0", "^TestConformance$/^lapse"),
		mutant("what is over is still held", "lua/reserve.lua",
			"not held or state ~= RESERVED and expires <= now", "not held", "^TestExpiryWithoutTTL$"),
		mutant("a fence begins at one again", "lua/reserve.lua",
			"math.max((fence or 0) + 1, now)", "(fence or 0) + 1", "^TestConformance$/^purge"),
		mutant("a reservation has a time to live", "lua/record.lua",
			"if state == RESERVED then\n    redis.call('SET'", "if state == 9 then\n    redis.call('SET'", "^TestReservationHasNoTTL$"),
		mutant("the margin is forgotten", "lua/record.lua",
			"lease + margin <= now", "lease <= now", "^TestConformance$/^lapse"),
		mutant("an abandoned lease has a margin", "lua/record.lua",
			"(lease == 0 or lease", "(lease", "^TestAbandonedWhateverTheMargin$"),
		mutant("an impossible state is taken for a reservation", "lua/record.lua",
			"string.byte(held, 5) > COMPLETED", "string.byte(held, 5) > 255", "^TestDamagedValues$"),
		mutant("a newer record is read", "lua/record.lua",
			"layout ~= 1 and layout ~= 2", "layout < 1", "^TestDamagedValues$"),
		mutant("a lapsed attempt that was resolved keeps its token", "lua/resolve.lua",
			"fingerprint .. ARGV[4] ..", "fingerprint .. token ..", "^TestConformance$/^resolve"),
		mutant("an operator resolves what he did not look at", "lua/resolve.lua",
			" or fence ~= tonumber(ARGV[1])", "", "^TestConformance$/^resolve"),
		mutant("a resolution whose answer was lost does not know itself", "lua/resolve.lua",
			"if held and state ~= RESERVED and token == ARGV[4] then", "if false then", "^TestLostReply$"),
		mutant("a damaged response is replayed", "record.go",
			"uint32At(v, atSum) != sumOf(", "uint32At(v, atSum) == 1 && 0 != sumOf(", "^TestDamagedValues$"),
		mutant("a reservation that fell short is not given back", "steps.go",
			"errors.Join(err, s.giveBack(ctx, held))", "errors.Join(err, nil)", "^TestReplicasConfirm$"),
		mutant("an unknown outcome is forgotten when a take-over falls short", "steps.go",
			"if held.Lapses > 0 {", "if false {", "^TestReplicasConfirm$"),
		mutant("a server that evicts serves", "judge.go",
			"policy, semel.Broken", "policy, semel.Weak", "^TestEvictionRefused$"),
		mutant("a failed check is not made again", "gate.go",
			"a.err == nil, nil", "true, nil", "^TestGate$"),
		mutant("a script that the server forgot is not told again", "send.go",
			"if len(unknown) > 0 {", "if false {", "^TestScriptFlushUnderLoad$"),
		mutant("old steps are sent when the server comes back", "lane.go",
			"if time.Since(b.begun) < maxQueued {", "if true {", "^TestQueueForgets$"),
		mutant("an error quotes the key", "errors.go",
			"text != err.Error() {", "text == \"\" {", "^TestErrorsHideTheirArguments$"),
	}, redisOutageMutants(mutant)...)
}

// redisOutageMutants break what keeps a step whole, and says what ails the server.
func redisOutageMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("an older record is read", "lua/record.lua",
			"layout ~= 1 and layout ~= 2", "layout > 2", "^TestDamagedValues$"),
		mutant("a step looks for its server under its caller's context", "steps.go",
			"s.router.do(context.WithoutCancel(ctx), p)", "s.router.do(ctx, p)", "^TestNoContextReachesTheClient$"),
		mutant("a renewal looks for its server under its caller's context", "steps.go",
			"s.router.doAll(context.WithoutCancel(ctx), steps)", "s.router.doAll(ctx, steps)", "^TestNoContextReachesTheClient$"),
		mutant("a server is validated under a caller's context", "steps.go",
			"s.validate(uncancelled())", "s.validate(ctx)", "^TestNoContextReachesTheClient$"),
		mutant("a pipeline has a context that ends", "route.go",
			"return context.Background() //", "ctx, _ := context.WithTimeout(context.Background(), 1<<40)\n	return ctx //", "^TestNoContextReachesTheClient$"),
		mutant("a full disk is not called full", "errors.go",
			`strings.Contains(err.Error(), "No space left")`, "false", "^TestDiskFullWithoutSync$"),
	}
}
