// Package semel makes an operation that a client may send many times run once.
//
// The first request with an idempotency key runs, and its whole response is
// kept. Every retry gets that response back, byte for byte. A duplicate that
// arrives while the first one runs is told so. The same key with another
// payload is refused.
//
// # Use
//
// Most programs need one of these:
//
//   - package semelhttp, the middleware and client transport for net/http;
//   - [Do], for messages, jobs and commands;
//   - the command semel proxy, for services in any language.
//
// All of them run on an [Engine], which [New] makes over a [Store]: memstore for
// tests, sqlitestore for one machine.
//
// # Advice
//
// Forgetting is safe: an attempt that is neither completed nor released holds
// its key, so a crash, a panic or an early return never lets a payment run
// twice. Such an attempt lapses when its lease ends; what happens then is a
// [Policy], and the default is to refuse until somebody knows more.
//
// Only the store's clock decides what is over. Safety never rests on a clock at
// all: the lease decides when somebody else may try, the token decides who wins.
//
// # Promise
//
// docs/guarantees.md lists the invariants (I1 to I14, L1 to L4) and, for each
// store, the faults it survives. Semel makes the record of an effect exact. It
// can make the effect itself exact only when both commit in one transaction
// ([Claim.CompleteIn]) or when the work downstream recognises
// [Claim.DerivedKey]; otherwise a crash between effect and record leaves an
// outcome that is unknown, and Semel says so instead of guessing.
package semel
