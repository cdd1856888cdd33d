// Package console shows operators what a store holds, and lets those who may resolve
// what nobody else can. It is an http.Handler for your own mux; the sidecar serves the
// same on its admin listener. There is no build step: html/template, a style sheet and
// a small script, which only adds to pages that work without it.
//
//	meter := console.NewMeter()
//	engine, err := semel.New(store, semel.Config{Observe: meter.Observe})
//	desk, err := operator.New(engine, operator.Config{Actor: "console"})
//	pages, err := console.New(desk, console.Config{
//		Base:   "/console",
//		Meter:  meter,
//		Tokens: []console.Token{{Name: "ann", Secret: secret, Role: console.RoleWrite}},
//	})
//	mux.Handle("/console/", pages)
//	defer pages.Close(ctx)
//
// # Who may do what
//
// Whoever signs in may look; a [Token] or a user of a [ProxyHeader] with [RoleWrite]
// may also resolve and reveal. Without either, [Config].Open shows the pages to
// whoever reaches the handler, and nobody may change anything.
//
// # What is not shown
//
// A key never is, and nothing of a response but its status, until somebody reveals
// them with a reason, which goes into the trail first. Everything that came over the
// wire is escaped and cut to a length.
package console
