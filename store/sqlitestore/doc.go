// Package sqlitestore keeps records in one SQLite file: the durable default for
// one machine, without a server.
//
// # Use
//
//	store, err := sqlitestore.Open("semel.db", sqlitestore.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	engine, err := semel.New(store, semel.Config{})
//
// # Transactions
//
// A handler that writes to SQLite itself can have its writes and the record committed
// together, so that a crash leaves both or neither. They must be in one file: a
// database that is attached is another one, which SQLite commits apart from the first.
// Open the application's file with [Config.Guest], or keep the application's tables in
// the store's, if they use no collation or function of its own. [Store.Transactions]
// begins transactions for [semel.Engine.InTx], [semel.DoTx] and the middleware; [Tx]
// takes one that the application has begun. The application's *sql.DB must use the
// driver of this package, modernc.org/sqlite: a second copy of SQLite in one process
// breaks the locks of the first.
//
// SQLite has one writer at a time, so a transaction holds up every other step that
// writes: keep it short, and call nobody else within. In one process they take turns;
// with other processes, and with what the application writes on its own, the store
// competes for SQLite's lock, which is passed on in no order. Isolation is always
// serializable.
//
// # Advice
//
// The file belongs to one process at a time: [Open] takes a lock that the
// kernel gives back when the process dies, except with [Config.Guest]. An operator may look at the file
// with [Config.ReadOnly] and write to it with [Config.Shared] while that
// process runs. Keep the file on a local disk: SQLite's write-ahead log does
// not work on network file systems. Beside it lie PATH-wal, PATH-shm (parts of
// the database) and PATH-lock; copy a live file with sqlite3's .backup.
//
// Steps that wait at the same time share one transaction and one fsync, so
// throughput grows with the number of callers. Run [semel.Engine.RunPurge]:
// nothing else gives space back, and given-back space is used again but the
// file does not shrink. A program that keeps a read transaction open on the
// file holds back the log, which then grows.
//
// What operators did is in the table audit (semel_audit with [Config.Guest]), see
// [Store.Audit]. Triggers refuse to change, replace or remove an entry; who may write to
// the file may drop them.
//
// # Promise
//
// Grade B. A step that returned nil is on the disk: it survives a kill of the
// process at any point and, if the disk keeps what it has synced, a power loss.
// It does not survive the loss of the disk. When the disk is full, steps fail
// with [semel.ErrFull] and succeed again when there is space. When the disk
// refuses to sync, or the file is damaged, the store fails every further write
// with [ErrPoisoned] until it is opened anew: nobody knows then what the disk
// holds. What was kept before is replayed all the while.
//
// Leases are measured by this process's clock, which never goes back while it
// runs; fences grow whatever the clock does.
package sqlitestore
