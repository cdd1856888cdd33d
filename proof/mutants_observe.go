package proof

// observeMutants break what those see who run Semel.
func observeMutants() []Mutant {
	return []Mutant{
		{
			"metrics: every name of a route has series of its own", "adapter/semelprom/routes.go",
			"len([...]string{\"\", noRoute}) >= c.max {", "len([...]string{\"\", noRoute}) < 0 {", "adapter/semelprom", "^TestRoutesAreBounded$",
		},
		{
			"metrics: a take-over is not counted", "adapter/semelprom/observe.go",
			"	if e.Lapses > 0 {", "	if e.Lapses > 1 {", "adapter/semelprom", "^TestCountsWhatAnEngineDoes$",
		},
		{
			"an attempt that is held is not in the log", "claim.go",
			"	c.engine.tell(ctx, slog.LevelWarn, c, ", "	c.engine.tell(ctx, slog.LevelDebug, c, ", ".", "^TestLogsWhatBecomesOfAttempts$",
		},
		{
			"a sweep fills the log", "observe.go",
			"turn != nil && turn.key == sweepKey", "turn != nil && turn == c", ".", "^TestSweepDoesNotFillTheLog$",
		},
		{
			"traces: the trace of a client ends at the sidecar", "cmd/semel/internal/proxy/trace.go",
			"propagation.HeaderCarrier(r.Header))", "propagation.MapCarrier{})", "cmd/semel/internal/proxy", "^TestTraceIsContinued$",
		},
		{
			"traces: spans wait without bound", "cmd/semel/internal/otlp/queue.go",
			"	if waiting < q.most {", "	if waiting >= 0 {", "cmd/semel/internal/otlp", "^TestQueueIsBounded$",
		},
		{
			"traces: an endpoint's secret is in the error", "cmd/semel/internal/otlp/target.go",
			"errors.New(\"otlp: OTEL_EXPORTER_OTLP_HEADERS is not a list of name=value\")", "errors.New(own(\"HEADERS\"))", "cmd/semel/internal/otlp", "^TestTarget$",
		},
	}
}
