// Package semelotel makes spans and metrics of what an engine does, by the API of
// OpenTelemetry. Which exporter gets them is the program's choice.
//
//	telemetry, err := semelotel.New(semelotel.Config{})
//	...
//	engine, err := semel.New(store, semel.Config{Observe: telemetry.Observe})
//	...
//	err = telemetry.Watch(engine)
//
// With other observers beside it: Observe: [semel.Observers](telemetry.Observe, ...).
//
// # Spans
//
// The span of the request, which the instrumentation of the server or the program has begun, says what
// became of it: semel.outcome (executed, replayed, in_flight, outcome_unknown, conflict),
// semel.replayed, semel.route if the call has one, semel.bytes of the response that was kept, and with
// Config.Refs semel.ref. Its events semel.claim, semel.takeover and semel.commit say when: between the
// claim and the commit the handler has run and its response was stored.
//
// What most requests do not have is a span below it: semel.release, semel.abandon, semel.recover, and any step
// that failed, with its time and its error. With Config.Steps each step has one: semel.reserve,
// semel.complete and so on. So it has where there is no span of a request, as in a sweep or a job, and
// where that is in another process only. Renewals and purges are about many attempts and make no spans.
//
// Nothing is done in a trace that the sampler does not want. What a traced request costs beside the
// span that it has anyway is in docs/benchmarks.md.
//
// The handler of an attempt runs in the context of the request, so its own spans are
// children of the request's; that the client has hung up does not change it.
//
// # Metrics
//
// They are those of semelprom with dots: semel.requests by outcome and route,
// semel.store.operation.duration by step, and so on. By way of Prometheus they have the same
// names and labels, so one dashboard shows both. That is why their attributes are short names.
// After Config.MaxRoutes routes further ones count as "other", and attempts without one as
// "none". Spans have the name as it is.
//
// Nothing of a request is in a span or a metric: no key, no scope, no path.
package semelotel
