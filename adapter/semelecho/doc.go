// Package semelecho guards handlers of echo v5 with idempotency keys.
//
//	mw, err := semelhttp.New(engine, semelecho.ByKey("user"), semelhttp.Config{})
//	...
//	e.POST("/payments", pay, authenticate, semelecho.Wrap(mw))
//
// [Wrap] is a middleware for an Echo, a group or a route. What differs per route is said
// with [semelhttp.Middleware.With].
//
// # Order
//
// Register outside, which is before: logger, Recover, CORS, body limit, rate limits,
// authentication, compression. A panic then holds the key and becomes the 500 of Recover;
// what authentication refuses reserves nothing.
//
// # Errors
//
// An error that a handler returns goes to the application's HTTPErrorHandler at once, and
// what that answers is the outcome: a declined payment that is returned as an
// echo.HTTPError is kept as the client saw it. Middlewares outside get no error then, but
// find its status in the response. An error without a status is logged, as nobody else
// could. One that HTTPErrorHandler does not answer holds the key and is returned.
package semelecho
