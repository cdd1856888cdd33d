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
// Each step of an attempt is a span: semel.reserve, semel.complete, semel.release,
// semel.abandon, semel.recover and so on, below the span of the request, if there is one. A
// reserve has semel.outcome (executed, replayed, in_flight, outcome_unknown, conflict) and
// semel.replayed, which the span of the request gets too, and that one gets the events
// semel.claim, semel.takeover and semel.commit. All have semel.route, if the call has one, and with
// Config.Refs semel.ref. A step that failed has its error. Renewals and purges are about many
// attempts and make no spans.
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
