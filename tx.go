package semel

import (
	"context"
	"errors"
)

// The sentinel errors of transactions.
var (
	// ErrCommitUnknown: the connection ended while a commit was under way, so
	// the transaction may have committed. A [Looker] tells.
	ErrCommitUnknown = errors.New("semel: whether the transaction has committed is not known")
	// ErrTxOver: the transaction of an attempt was used after the attempt had
	// returned. What was asked for did not happen.
	ErrTxOver = errors.New("semel: the transaction is over")
	// ErrTxOwned: a handler wanted to commit or roll back a transaction that is
	// not its own: whoever began it ends it. What was asked for did not happen,
	// and the transaction will be rolled back.
	ErrTxOwned = errors.New("semel: the transaction is committed by who began it, not by the handler")
	// ErrTxEnded: the transaction was over before it was completed. A statement of the
	// business code has ended it behind its handle, such as "INSERT …; COMMIT" in one text, or
	// a handler has committed its own before CompleteIn. What it wrote may be committed without
	// its record, so the outcome is unknown.
	ErrTxEnded = errors.New("semel: the transaction had ended before its record was in it, and may have been committed")
	// ErrOtherStore: a transaction does not belong to the engine's store.
	ErrOtherStore = errors.New("semel: the transaction is not one of the engine's store")
)

// Tx is a caller's open transaction in the database that holds the records. The
// module of a store makes one from its driver's transaction: pgstore.Tx,
// pgstore.SQLTx, mysqlstore.Tx, sqlitestore.Tx. See [Claim.LockIn] and
// [Claim.CompleteIn].
type Tx interface {
	// Steps returns the steps of store in this transaction. It returns
	// [ErrOtherStore] when store is not of the kind that made the Tx. It does no
	// I/O.
	Steps(store Store) (TxSteps, error)
}

// TxSteps are the steps of a store inside one open transaction: they take effect
// if and when it commits. They are made for one goroutine, as the transaction
// is. After any error, ErrLost included, the transaction must be rolled back.
// The context carries values only.
type TxSteps interface {
	// Lock takes the lock of the row that key's slot has and keeps it to the end of
	// the transaction, if token holds the slot, whether its lease is over or
	// not; otherwise it returns [ErrLost]. As long as the transaction is open,
	// nobody can take the slot over: the lock is a lease that the store's clock
	// does not end. Other attempts do not wait for it, see [Store]. In a caller's own
	// transaction it also ends the promise of [Call].DeferEffects, unless that is rolled back.
	Lock(ctx context.Context, key Key, token Token) error
	// Complete turns the reservation of c.Token into a kept response. Unlike
	// [Completer] it returns [ErrLost] also when that token has completed the
	// slot before: whoever reads nil commits business writes with it.
	Complete(ctx context.Context, c Completion) error
	// Reserve is [Store].Reserve within the transaction, for [SingleTx]. It never
	// waits for another transaction that is at work on the slot: it answers
	// with a record that is reserved by the zero token, with r's key and
	// fingerprint. It takes over nothing that is lapsed, whatever r says.
	Reserve(ctx context.Context, r Reservation) (Record, error)
}

// Looker reads a slot past transactions. A store with transactions has it.
type Looker interface {
	// Look tells what the slot holds when no transaction is at work on it any
	// more: it waits for those that are, as long as the store's time-outs
	// allow, and then fails. A slot that nobody ever used, or whose record is
	// gone, is free. The record has the kept response; its Lapsed is never
	// set. Only this answers whether a commit whose reply was lost has
	// happened: a plain read may see the moment before it.
	Look(ctx context.Context, key Key) (Record, error)
}

// TxMode says what of an attempt lies in its business transaction.
type TxMode uint8

// The modes.
const (
	// ClaimTx reserves on its own, then locks the slot, runs the business writes and
	// completes in one transaction. Others see the attempt from its first
	// moment, and nobody ever waits. Two commits a request. The default.
	ClaimTx TxMode = iota
	// SingleTx does everything in one transaction: one commit a request, and
	// after a crash nothing at all is left. For handlers that touch this database
	// alone and end in well under a second: a duplicate under another mode waits
	// for them.
	SingleTx
)

// String returns "claim" or "single".
func (m TxMode) String() string {
	switch m {
	case ClaimTx:
		return "claim"
	case SingleTx:
		return "single"
	}
	return "invalid"
}

// Transactions begins transactions on the database that holds the records of one
// store, for [Engine.InTx]. The stores make them: pgstore.Store.Transactions and
// its siblings. It is safe for concurrent use.
type Transactions interface {
	// Mode is the same at every call.
	Mode() TxMode
	// Store is the store whose records the transactions complete.
	Store() Store
	// Begin begins a transaction. An error means that there is none. ctx carries
	// values only: a transaction never ends because a context does, as
	// the driver would roll it back beside the statements of its caller
	// (golang/go#34775).
	Begin(ctx context.Context) (Transaction, error)
	// Again reports whether err, of any step of a transaction, of its Err or of its
	// Commit, says that nothing of it has happened and that the same work may
	// succeed in a new one: a serialization failure, a deadlock, a lock that was
	// not to be had in time, a connection that broke before the commit. It is
	// false for an error that wraps [ErrCommitUnknown].
	Again(err error) bool
}

// CompleteCommitter is a [Transaction] that completes and commits in one round trip. An
// engine prefers it to the two.
type CompleteCommitter interface {
	// CompleteAndCommit is [TxSteps].Complete and then [Transaction].Commit, unless
	// Complete fails: an error is one of either, and after any that does not wrap
	// [ErrCommitUnknown] nothing of the transaction has happened. It ends the transaction.
	// Observers hear of it as [StepCommit] alone.
	CompleteAndCommit(ctx context.Context, c Completion) error
}

// Transaction is one transaction of [Transactions]. Commit or Rollback ends it.
type Transaction interface {
	TxSteps
	// Attach returns a context that carries the handle by which the business
	// code writes; the store's module says how to get it out. The handle refuses
	// to commit or roll back ([ErrTxOwned]), and all its methods return
	// [ErrTxOver] once Commit or Rollback was called.
	Attach(ctx context.Context) context.Context
	// Err returns why the transaction cannot be committed: the first error of
	// the handle's statements after which the database takes no more in
	// this transaction or has rolled it back, or ErrTxOwned. Nil when it can be.
	//
	// After an end without a commit, also while a step hangs, it returns [ErrTxEnded]
	// when a statement may have committed what came before it. It may ask the database
	// for that, which takes a moment, but does not if no statement of the handle was
	// one that could.
	Err() error
	// Commit commits. Nil: it is durable. An error that wraps [ErrCommitUnknown]:
	// it may be. Any other: nothing of it has happened, nor will.
	Commit(ctx context.Context) error
	// Rollback ends the transaction so that nothing of it has happened. It may be
	// called at any time, also after Commit, when it does nothing. It
	// gives the connection back, or closes one that cannot be used again.
	Rollback(ctx context.Context)
}
