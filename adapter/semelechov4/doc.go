// Package semelechov4 guards the handlers of echo v4 with idempotency keys.
//
//	mw, err := semelhttp.New(engine, semelechov4.ByKey("account"), semelhttp.Config{})
//	...
//	e := echo.New()
//	e.Use(middleware.Logger(), middleware.Recover(), authenticate)
//	e.Use(semelechov4.Wrap(mw))
//	e.POST("/payments", pay)
//
// The order is what counts. What stands before Wrap runs for each request and each replay:
// logs, recovery, authentication, rate limits, compression, CORS. What stands after it makes the
// answer and runs once for a key: also a middleware that turns one error into another.
//
// A route that differs has a Middleware of its own ([semelhttp.Middleware.With]), around its handler
// or inside the one of its group: of two of one engine the outer one guards.
package semelechov4
