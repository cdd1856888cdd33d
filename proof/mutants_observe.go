package proof

// observeMutants break what those see who run Semel.
func observeMutants() []Mutant {
	return []Mutant{
		{
			"metrics: every name of a route has series of its own", "adapter/semelprom/routes.go",
			"len([...]string{\"\", noRoute}) >= c.max {", "len([...]string{\"\", noRoute}) < 0 {", "adapter/semelprom", "^TestRoutesAreBounded$",
		},
		{
			"metrics: every name of a route has OpenTelemetry series of its own", "adapter/semelotel/routes.go",
			"if len(*known) >= r.max {", "if len(*known) < 0 {", "adapter/semelotel", "^TestRoutesAreBounded$",
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
			"an attempt that is held does not say why", "claim.go",
			"\"reason\", c.reason())", "\"reason\", \"\")", ".", "^TestHeldAttemptSaysWhy$",
		},
		{
			"a reason is as long as its text", "claim.go",
			"reason[:min(len(reason), MaxDoubtLen)]", "reason", ".", "^TestHeldAttemptSaysWhy$",
		},
		{
			"the last reason counts, and not the first", "claim.go",
			"	c.why.CompareAndSwap(nil, &text)", "	c.why.Store(&text)", ".", "^TestHeldAttemptSaysWhy$",
		},
		{
			"an answer that holds the key does not say so", "semelhttp/finish.go",
			"		c.doubt()\n", "", "semelhttp", "^TestHeldReason$",
		},
		{
			"a panic does not say so", "semelhttp/middleware.go",
			"		c.claim.Doubt(why)\n", "		_ = why\n", "semelhttp", "^TestHeldReason$",
		},
		{
			"proxy: how the upstream has left an attempt is not in the log", "cmd/semel/internal/proxy/guarded.go",
			"	x.claim.Doubt(doubt(err))\n", "", "cmd/semel/internal/proxy", "^TestHeldReason$",
		},
		{
			"a refusal does not name the record that holds the key", "semelhttp/answer.go",
			"	m.refuse(w, r, problemOfHeld(out), m.referenceOf(key))", "	m.refuse(w, r, problemOfHeld(out), nil)", "semelhttp", "^TestRefusalsNameTheRecord$",
		},
		{
			"a body that is refused has no record", "semelhttp/answer.go",
			"	if key.Validate() == nil {", "	if key.ID == \"\" {", "semelhttp", "^TestRefusalsNameTheRecord$",
		},
		{
			"proxy: the line of a refusal names no record", "cmd/semel/internal/proxy/hooks.go",
			"ref, _ := p.Extra[\"ref\"]", "ref, _ := p.Extra[\"\"]", "cmd/semel/internal/proxy", "^TestRefusalNamesItsRecord$",
		},
		{
			"a sweep fills the log", "observe.go",
			"turn != nil && turn.key == sweepKey", "turn != nil && turn == c", ".", "^TestSweepDoesNotFillTheLog$",
		},
		{
			"traces: a trace that is not sampled takes work", "adapter/semelotel/observe.go",
			"return at.IsValid() && !at.IsSampled() && !at.IsRemote()", "return at.IsValid() && at.IsSampled() && !at.IsRemote()", "adapter/semelotel", "^TestTracesThatAreNotSampled$",
		},
		{
			"traces: the sampler is not asked about a trace from elsewhere", "adapter/semelotel/observe.go",
			"!at.IsSampled() && !at.IsRemote()", "!at.IsSampled()", "adapter/semelotel", "^TestTracesThatAreNotSampled$",
		},
		{
			"traces: each step has a span that nobody asked for", "adapter/semelotel/observe.go",
			"|| s.telemetry.steps ||", "|| !s.telemetry.steps ||", "adapter/semelotel", "^TestOneSpanForARequest$",
		},
		{
			"traces: a sweep says what became of one attempt", "adapter/semelotel/observe.go",
			"!recording || s.sweeping ||", "!recording ||", "adapter/semelotel", "^TestWorkBeyondRequests$",
		},
		{
			"traces: a failure leaves no trace", "adapter/semelotel/observe.go",
			"	case s.span == nil && e.Err == nil:", "	case s.span == nil && e.Kind == 0:", "adapter/semelotel", "^TestFailedStepHasASpan$",
		},
		{
			"traces: what is not sampled is not counted", "adapter/semelotel/observe.go",
			"	if s.request == nil && !t.took.Enabled(ctx) {", "	if s.request == nil {", "adapter/semelotel", "^TestMetricsOfTracesThatAreNotSampled$",
		},
		{
			"traces: without a tracer the span of another's is written to", "adapter/semelotel/observe.go",
			"	if !t.silent && op.Step", "	if op.Step", "adapter/semelotel", "^TestNoTracing$",
		},
		{
			"traces: requests write into attributes that they share", "adapter/semelotel/about.go",
			"return slices.Clip(about)", "return slices.Grow(about, 1)", "adapter/semelotel", "^TestSharedAttributesStay$",
		},
		{
			"traces: the attributes of all routes are kept", "adapter/semelotel/about.go",
			"		if len(*made) >= most {", "		if len(*made) < 0 {", "adapter/semelotel", "^TestAttributesAreBounded$",
		},
		{
			"a value of a request makes an attempt cancellable", "context.go",
			"	case causeKey == nil || key == causeKey:", "	case true:", ".", "^TestValuesNeedNoCancellation$",
		},
		{
			"why an attempt has ended is why the client has", "context.go",
			"	case causeKey == nil || key == causeKey:", "	case false:", ".", "^TestValuesNeedNoCancellation$",
		},
		{
			"a reference depends on the ones before", "key.go",
			"	mac.Reset()\n", "", ".", "^TestRefIsTheSameEachTime$",
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
