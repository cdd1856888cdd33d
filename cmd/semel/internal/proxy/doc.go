// Package proxy is the sidecar: idempotency for a service in any language,
// without a change to it.
//
// A request that the middleware of package semelhttp guards goes upstream at
// most once per attempt. Whether it may have happened is never guessed:
//
//   - no byte of it left this process: the key is free again, and the client is
//     told upstream-unreachable (502);
//   - something was sent and no whole answer came back: the key is held, and the
//     client is told outcome-unknown (504);
//   - a whole answer came back: it is kept, then sent.
//
// The upstream sees the request as the client sent it, the key included, and
// [HeaderAttempt] and [HeaderFence]. It may answer [HeaderSettle].
//
// A whole answer is one whose length or last chunk says so. An HTTP/1 upstream
// that marks the end of its answer by closing the connection gives no way to
// tell; then the close is taken for the end (RFC 9112 section 8).
//
// Everything else passes: requests without a key where they are allowed, other
// methods, upgrades, event streams and responses that are too large to keep.
package proxy
