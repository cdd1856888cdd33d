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
// two. Four routes do the same work: in claim mode, in single transaction mode, in a
// transaction of the handler's own in which it completes, and in one of its own that
// Semel does not know. Each app process works at another isolation level. Some requests
// ask their app to kill itself at about the commit, on the last route right after it. In
// the end
//
//   - the money has gone where the orders said, and its sum is what it was;
//   - each key has no effect or one, and one exactly where a client was told
//     success or the record is complete (I8);
//   - all answers that count for one key are equal (I3);
//   - no attempt in a transaction is ever of an unknown outcome (I7);
//   - on the last route, a crash between the commit and the record leaves lapsed records, and
//     never a second effect (I7).
//
// A mutant of each guard makes it fail, see [github.com/semel-go/semel/proof].
package ledger
