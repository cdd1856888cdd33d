// Package ledger moves money while everything is killed, and then counts it.
//
// # What runs
//
// Client processes send transfers with idempotency keys to app processes and retry
// until they have an answer that counts. The app processes keep accounts and records in
// one database. A supervisor kills app processes and the database's server with kill -9,
// again and again for a bounded time, and starts them again. When it stops, the clients
// finish what they have begun, and the books are audited.
//
// # What is counted
//
// Each transfer is a row with its key, and nothing but Semel keeps a key from having
// two. Five routes do the same work: in claim mode, in single transaction mode, in a
// transaction of the handler's own in which it completes, in one that does not lock the
// slot at its first try, and in one of its own that Semel does not know. Each app
// process works at another isolation level. Some requests ask their app to kill itself at
// about the commit, on the last route right after it, or to do nothing for longer than a
// lease, so that others overtake it.
//
// On PostgreSQL one app reaches the server by a line that is broken, mostly while a commit
// is under way that a deferred trigger makes slow: such a commit goes on, and its handler
// neither knows that nor what becomes of it. In the end
//
//   - the money has gone where the orders said, and its sum is what it was;
//   - each key has no effect or one, and one exactly where a client was told
//     success or the record is complete (I8);
//   - all answers that count for one key are equal (I3);
//   - an attempt whose client was told that nothing was done has done nothing (I8);
//   - no attempt in a transaction leaves its key unknown (I7);
//   - on the last route, a crash between the commit and the record leaves lapsed records, and
//     never a second effect (I7).
//
// # What it cannot see
//
// The mutants that make it fail are those called "ledger" in
// [github.com/semel-go/semel/proof]. Where two guards stand behind one another, breaking
// one of them changes nothing for clients and books, and only the tests of the store see it:
// the token in the lock alone or in the completion alone (whoever passes one is stopped at
// the other, and a slot that somebody has completed takes no second completion), and the
// look of claim and single mode after a commit whose end is unknown (a lock, or a reserve,
// comes before the business code runs again). The client of an attempt that has lost its
// slot may be told outcome-unknown while another attempt is at work; that is counted, and
// not held to be broken.
package ledger
