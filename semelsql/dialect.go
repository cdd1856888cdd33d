package semelsql

import (
	"context"
	"database/sql"

	"github.com/semel-go/semel"
)

// Dialect is what a store's module knows about its database. It is safe for
// concurrent use.
type Dialect interface {
	// Begin begins a transaction on conn, which belongs to that transaction alone
	// until it has ended. isolation may be LevelDefault. After an error conn is
	// closed, so Begin need not clean up. The context never ends.
	Begin(ctx context.Context, conn *sql.Conn, isolation sql.IsolationLevel) (Session, error)
	// Damage says what err, of a statement, has done to its transaction. It is
	// not asked about contexts that ended, which are taken for [Gone].
	Damage(err error) Damage
	// Again reports whether err, of any statement or of the commit, says that
	// nothing of the transaction has happened and that the same work may succeed
	// in a new one, see [semel.Transactions]. A connection that ended counts: of a
	// commit it is asked only where Refused says yes.
	Again(err error) bool
	// Refused reports whether err, of a commit, proves that nothing of the
	// transaction is committed, nor will be: the server has said so, or was never
	// asked. Everything else is [semel.ErrCommitUnknown].
	Refused(err error) bool
}

// Ender is a [Dialect] of a database in which other statements than COMMIT and its
// kin end a transaction, as DDL does in MySQL.
type Ender interface {
	// Ends reports whether a statement that begins with these words, in upper
	// case, would end the transaction that it runs in. A word that is not one is empty.
	Ends(words [5]string) bool
}

// Session is one transaction that a [Dialect] began.
type Session struct {
	// Tx is the transaction. Business code uses it through a [Tx].
	Tx *sql.Tx
	// Steps are the store's steps in it. They are not used at the same time as
	// Tx is by business code, and no more after a step has failed.
	Steps semel.TxSteps
	// End, unless nil, gives back what the connection holds beyond the
	// transaction, such as a named lock. It is called once, after the commit or
	// the rollback; after an error, and when the end itself was not
	// clean, the connection is closed instead.
	End func(ctx context.Context) error
	// Gone, unless nil, tells that the database has rolled the transaction back,
	// and why, where Damage cannot: an error of a prepared statement, which the
	// handle does not see, or one that does not tell what it has done. It does no
	// I/O, and is not asked any more once Commit or Rollback was called.
	Gone func() error
	// Watch, unless nil, is told of each statement of the handle before it is sent, and
	// of its first word in upper case. For one that may end the transaction in a way
	// that nobody sees, as a procedure can, it returns what marks the transaction; for
	// all others nil. It does no I/O.
	Watch func(first, query string) Mark
	// Unseen, unless nil, is told before the handle gives out a statement whose text
	// nobody can see, which StmtContext does. It does no I/O.
	Unseen func()
	// Fate, unless nil, tells of a transaction that was not committed whether a statement
	// had ended it before, and may have committed what came before that: [semel.ErrTxEnded],
	// also when nobody can tell. It may ask the database, if what Watch and Unseen were told
	// of gives reason to, on another connection or in End, and for no longer than a moment. over is true when
	// Rollback or Commit was called, and false while a step of the session hangs.
	Fate func(over bool) error
	// Done, unless nil, gives back what the transaction holds outside of its
	// connection. It is called once, last of all, however the transaction has ended.
	Done func()
}

// Damage is what an error of a statement has done to its transaction.
type Damage uint8

// The damages.
const (
	// None: the transaction goes on as if the statement had not been sent.
	None Damage = iota
	// Aborted: the database takes no more statements but a rollback to a
	// savepoint, which heals it.
	Aborted
	// Gone: the database has rolled it back, or will: the connection ended.
	Gone
)

// String returns "none", "aborted" or "gone".
func (d Damage) String() string {
	switch d {
	case None:
		return "none"
	case Aborted:
		return "aborted"
	case Gone:
		return "gone"
	}
	return "invalid"
}
