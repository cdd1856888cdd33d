// Package semelhttp guards net/http handlers with idempotency keys, and gives
// clients the other end of the wire.
//
// On the server, [New] takes an engine and a scope, and [Middleware.Wrap] guards
// a handler:
//
//	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
//	mux.Handle("POST /payments", mw.Wrap(payments))
//
// Where the records lie in the database that a handler writes to,
// [Middleware.InTx] commits its writes and its answer together; [CompleteIn] is
// for handlers that begin their transactions themselves.
//
// On the client, [NewTransport] makes an [net/http.RoundTripper] that makes a key
// once per request and retries under it.
//
// Put authentication and rate limits outside the middleware: what they answer
// is never kept. Put compression outside too, so that the kept bytes have one
// coding. Semel's own answers are problem details (RFC 9457), see [Problem].
package semelhttp
