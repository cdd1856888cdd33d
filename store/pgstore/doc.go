// Package pgstore keeps records in PostgreSQL, 12 or newer.
//
// # Use
//
//	store, err := pgstore.New(pool, pgstore.Config{}) // a *pgxpool.Pool
//	if err != nil {
//		return err
//	}
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	engine, err := semel.New(store, semel.Config{})
//
// [Open] makes the pool too, from a URL.
//
// Business writes that are to commit with the record go into a transaction:
// [Store.Transactions] for [semel.Engine.InTx] and [semel.DoTx], where [TxFrom] has
// the handle; [Store.SQLTransactions] for database/sql; or [Tx] and [SQLTx] for a
// transaction of your own.
//
// # Advice
//
// Leave synchronous_commit on, for this role at least, and name the primary: a
// replica is refused. Run [semel.Engine.RunPurge] with a batch of 1,000, in as
// many processes as you like; autovacuum makes the room of purged records usable
// again. Give the pool as many connections as steps are to run at once: the
// server shares one sync of its log among all that commit at the same time, so
// throughput grows with them.
//
// pgbouncer works in session and in transaction mode. Prepared statements cannot
// be relied on behind it; the store sees that and lets the server parse each
// statement, which halves the throughput of a busy server. See [Config.ExecMode], and
// [Config.ListenURL] for [semel.Config.Hints].
//
// A role that may use the schema and SELECT, INSERT, UPDATE and DELETE in the
// table, and SELECT in its version table, is enough to serve. Who may do more
// runs [Store.Migrate], or what [Store.Schema] returns. An operator needs SELECT and
// INSERT in the table of the trail, NAME_audit, too: see [Store.Audit]. A trigger there
// refuses UPDATE, DELETE and TRUNCATE, to its owner as well, who could drop the trigger.
//
// # Promise
//
// Grade B with the settings that PostgreSQL comes with: a step that returned nil
// survives a kill of the server and, if its disk keeps what it has synced, a
// power loss. Grade A with a synchronous standby, when that one takes over. Grade
// C when fsync, full_page_writes or synchronous_commit is off: such a server is
// not refused, but the log says so when the store begins to serve. See
// [Store.Grade] and [Store.Inspect].
//
// A step is one statement, and all times are the server's. A reservation that is
// refused, or answered with a kept response, writes nothing: no transaction id,
// no byte of log. When the server has no room for the table, steps fail with
// [semel.ErrFull] and replays go on. When it has none for its log, it ends: free
// space and start it again; nothing that was acknowledged is lost. While it is
// away, steps fail with the driver's error. In each case they succeed again
// afterwards, without a restart of this process.
//
// No step is canceled at the server by this process. While a commit waits for a
// standby that does not answer, so does the step; the engine answers
// [semel.ErrTimeout], and the step goes on. Only when a connection breaks does the
// driver cancel what the server is at; no later step of this store succeeds then
// before the standby has confirmed all that came before.
//
// A transaction commits the record and the business writes, or neither (invariant
// I8), at every isolation level. One whose commit got no answer is looked up under
// the locks that it had.
package pgstore
