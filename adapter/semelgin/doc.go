// Package semelgin guards gin handlers with idempotency keys.
//
//	mw, err := semelhttp.New(engine, semelgin.ByKey("user"), semelhttp.Config{})
//	...
//	router.Use(authenticate, semelgin.Wrap(mw), renderErrors)
//
// [Wrap] is a middleware, [Handle] guards one handler. What differs per route is said with
// [semelhttp.Middleware.With].
//
// # Order
//
// Register outside, which is before: logger, [gin.Recovery], CORS, rate limits,
// authentication, compression. A panic then holds the key and becomes the 500 of Recovery;
// what authentication refuses reserves nothing.
//
// Register inside, which is after: the middleware that renders c.Errors when c.Next has
// returned. Only then is its answer the one that is kept.
//
// # Errors that are rendered outside
//
// A handler that leaves an error in c.Errors and writes nothing has not answered. Nothing
// is kept then, because nobody here knows what the client will see: the key is held, the
// log says why, and a middleware outside may answer. A handler that has answered, be it
// with the status of AbortWithError, has answered whole: what is written outside later goes
// nowhere and is [ErrAnswered]. In a transaction such an error rolls back and frees the key.
//
// # What goes past
//
// [gin.Engine.HandleContext] gives handlers gin's own writer. Nothing is known of what they
// answer, so the key is held: forward outside of Wrap.
package semelgin
