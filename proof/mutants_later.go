package proof

// laterMutants break what tells of an unknown outcome, or asks about it, after the attempt.
func laterMutants() []Mutant {
	return []Mutant{
		{
			"examples: a file of an older outbox is an error of SQLite", "examples/outbox/shop.go",
			": if an older version of this example has made %s, delete that file\", err, file)", "\", err)", "examples/outbox", "^TestFileOfAnOlderVersion$",
		},
		{
			"grpc: a handler that has not called CompleteIn is told to have rolled back behind it", "adapter/semelgrpc/attempt.go",
			"	return a.unsent(ctx, cause)\n", "	return a.unsent(ctx, errRolledBack)\n", "adapter/semelgrpc", "^TestHandlerForgetsToComplete$",
		},
		coreMutant("an attempt after an unknown one is told to be without effect", "claim.go",
			"	case !c.blameless, !c.deferred.Load():\n", "	case !c.deferred.Load():\n", "^TestLogsWhatStaysUnknown$"),
		coreMutant("an attempt that has begun is told to be without effect", "claim.go",
			"	case !c.blameless, !c.deferred.Load():\n", "	case !c.blameless:\n", "^TestLogsWhatEndsWithoutEffect$"),
		coreMutant("a sweep does not pause after an error", "sweep.go",
			"	case err != nil:\n	case out.Kind == InFlight", "	case err != nil:\n		return\n	case out.Kind == InFlight", "^TestSweepPausesAfterErrors$"),
		coreMutant("what a sweep has taken over and could not keep counts as another attempt", "sweep.go",
			"rec.Lapses > l.lapses)", "rec.Lapses > l.lapses+1)", "^TestSweepPausesAfterErrors$"),
	}
}
