// Package semelprom counts what an engine does, for Prometheus.
//
//	metrics := semelprom.New(semelprom.Config{})
//	engine, err := semel.New(store, semel.Config{Observe: metrics.Observe})
//	...
//	metrics.Watch(engine)
//	mw, err := semelhttp.New(engine, scope, metrics.HTTP(semelhttp.Config{}))
//	...
//	prometheus.MustRegister(metrics)
//
// With other observers beside it: Observe: [semel.Observers](metrics.Observe, ...).
//
// No label holds anything of a request. A route is the pattern that the program gave it
// ([semel.Call].Route, [semelhttp.Config].Route); after Config.MaxRoutes of them further ones
// count as "other", and attempts without one as "none". Two engines in one process have a
// Collector each, and the registry tells them apart: [prometheus.WrapRegistererWith].
//
// Names and labels follow the version of the module as its functions do: they change with a
// major version only. Names and labels may be added.
package semelprom
