// Package semelgin guards gin's handlers with idempotency keys.
//
//	mw, err := semelhttp.New(engine, semelgin.ByKey("account"), semelhttp.Config{})
//	...
//	r := gin.New()
//	r.Use(gin.Logger(), gin.Recovery(), authenticate)
//	r.Use(semelgin.Wrap(mw), renderErrors)
//	r.POST("/payments", pay)
//
// The order is what counts. What stands before Wrap runs for each request and each replay:
// logs, recovery, authentication, rate limits, compression. What stands after it makes the
// answer, runs once for a key, and its answer is kept: also a middleware that
// turns c.Errors into answers.
//
// A route that differs has a Middleware of its own ([semelhttp.Middleware.With]), around its handler
// or inside the one of its group: of two of one engine the outer one guards.
package semelgin
