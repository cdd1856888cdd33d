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
// A [Preset] makes the middleware speak as an API that clients know: Stripe, Adyen,
// PayPal, Open Banking UK, OASIS Repeatable Requests. docs/presets.md has them all.
//
// On the client, [NewTransport] makes an [net/http.RoundTripper] that makes a key
// once per request and retries under it.
//
// Put authentication and rate limits outside the middleware: what they answer
// is never kept. Put compression outside too, so that the kept bytes have one
// coding. Put CORS outside as well, and let it expose the fields that pages read, such as
// [HeaderReplayed]. Semel's own answers are problem details (RFC 9457), see [Problem], or
// what the preset has for them.
package semelhttp
