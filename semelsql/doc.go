// Package semelsql is what transactions of [semel.Engine.InTx] on database/sql have
// in common: the handle by which business code writes, and the life of a
// transaction on a connection of its own. It needs the standard library only; the
// module of a store adds its [Dialect].
//
// # Use
//
// A handler writes by the handle that its context carries. It is a DBTX of sqlc, a
// ConnPool of GORM, an ExecQuerier of ent, and has the methods of *sql.Tx that most
// other libraries ask for:
//
//	tx := semelsql.TxFrom(ctx)
//	_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE id = ?", amount, id)
//
// # Advice
//
// Return the errors of the database. Whoever goes on after a deadlock, a
// serialization failure or a connection that broke works in a transaction that
// will not be committed. An error that the database lets pass, such as a duplicate
// key on MySQL and SQLite, may be handled; on PostgreSQL it takes a savepoint, as
// nested transactions of GORM use it.
//
// Leave the commit to who began the transaction. Commit and Rollback, and the plain
// SQL for them, are refused, and the transaction is rolled back.
//
// # Promise
//
// A transaction commits as a whole or not at all, whatever its handler does with
// errors and contexts. A context that ends breaks the statement that it was given
// to, and with it the transaction; it never ends the transaction beside the
// handler (golang/go#34775).
package semelsql
