// Package mysqlstore keeps records in a table of MySQL 8 or MariaDB 10.5 and
// newer, for services that have such a server already.
//
// # Use
//
//	store, err := mysqlstore.Open(ctx, "mysql://semel:secret@db.example.org/payments", mysqlstore.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	if err := store.Migrate(ctx); err != nil { // or in a step of your deployment
//		return err
//	}
//	engine, err := semel.New(store, semel.Config{})
//
// [New] takes a pool of the program instead.
//
// Business writes that are to commit with the record go into a transaction:
// [Store.Transactions] for [semel.Engine.InTx] and [semel.DoTx], where
// semelsql.TxFrom has the handle, or [Tx] for a transaction of your own.
//
// # Advice
//
// Connect to the server that takes writes, and to it alone: a proxy that sends
// reads to a replica shows old rows. Keep innodb_flush_log_at_trx_commit and,
// with a binary log, sync_binlog at 1. [Store.Inspect] says which settings
// weaken the promise. Never add a unique index to the table.
//
// Steps are single statements that commit by themselves. A fresh key costs one
// round trip, a replay two, a completion one. On MySQL a fresh key costs two when the
// sessions are not READ COMMITTED, as they are with [Open]. Give the pool about as many
// connections as requests run at the same time, and not more than the server's
// max_connections divided by the processes. Each connection prepares up to thirteen
// statements, and up to six for transactions; the server's max_prepared_stmt_count must
// have room for them.
//
// A transaction adds four round trips to its own BEGIN and COMMIT, and the reservation
// before it in claim mode. Write in it to InnoDB tables only.
//
// Run [semel.Engine.RunPurge]: nothing else gives space back. InnoDB uses it
// again and does not shrink the file.
//
// # Operators
//
// [Store.List] goes through an index in the order of age, wherever a page begins, and
// starts at the ages that are wanted. A page without other conditions costs what is on
// it. One by scope, id or route looks at the records between those that it chooses too,
// at most a thousand in a statement: there is no index for them, which every reservation
// would pay for. A whole key is found by its slot.
//
// The trail ([Store.Audit]) is the table TABLE_audit. Nothing in Semel changes or deletes
// its rows, and no right to do so is needed: grant the service SELECT and INSERT on it and no
// more. There are no triggers that refuse, because making one needs SUPER or
// log_bin_trust_function_creators where there is a binary log.
//
// # Promise
//
// The grade depends on the server, see [Store.Grade]. A server that syncs at
// each commit is grade B: a step that returned nil survives a crash of server
// and machine. With group replication, or with semi-synchronous replication
// that waits (AFTER_SYNC, a time-out of a day or more), it is grade A: the step
// is on another server too. Galera is refused unless [Config.AcceptGalera] says
// otherwise, and then is grade C, as is every server that does not sync.
//
// When the disk is full, steps fail with [semel.ErrFull]. A server that is away
// fails every step, and serves when it is back. Deadlocks are repeated inside
// the step. Leases are measured by the server's clock, whatever the time zones
// are; fences grow as long as that clock is not set back by more than a
// retention.
//
// A transaction commits the record and the business writes, or neither (invariant
// I8), at every isolation level. Nobody waits for one that is open, see
// [Store.Transactions] for the exception. MySQL and MariaDB commit by themselves at DDL:
// the handle refuses that. A stored procedure that commits is found out, and its
// attempt is one whose outcome nobody knows.
//
// The tests run on MariaDB 10.11, also with the statements that are for MySQL and
// for MariaDB 10.5; tests of MySQL itself run where SEMEL_TEST_MYSQL_DSN names a server.
package mysqlstore
