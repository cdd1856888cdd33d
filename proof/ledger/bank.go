package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// The accounts are few, so that transfers meet.
const (
	accounts = 16
	balance  = 1_000_000
)

func account(n int) string { return fmt.Sprintf("account-%d", n%accounts) }

// order is the body of a request.
type order struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"`
}

// errNoMoney is a refusal of the bank, which is kept as the outcome.
var errNoMoney = errors.New("there is not so much money on the account")

// transfer is one effect.
type transfer struct {
	key     string
	attempt string // that had it
	order
}

// attempt names the attempt of ctx.
func attempt(ctx context.Context) string { return semel.FromContext(ctx).Token().String() }

// books is what an audit finds.
type books struct {
	balances  map[string]int64 // by account
	transfers []transfer
	records   map[string]semel.Record // by key
}

// bank is a database with accounts and records. A process opens it once.
type bank interface { //nolint:interfacebloat // all that differs between databases
	store() semel.Store
	transactions(mode semel.TxMode) (semel.Transactions, error)
	// move transfers money in the transaction that ctx carries.
	move(ctx context.Context, key string, o order) error
	// own begins a transaction, runs f in it, which calls move to transfer money, and
	// commits unless f returns an error. unknown says that the commit may have happened
	// although err is not nil.
	own(ctx context.Context, key string, o order, f func(tx semel.Tx, move func() error) error) (unknown bool, err error)
	// again reports whether another try may help.
	again(err error) bool
	// migrate makes and fills the tables.
	migrate(ctx context.Context) error
	audit(ctx context.Context) (*books, error)
	close()
}

// watcher is a bank that sees when a slow commit of a session called [FarName] is under way.
type watcher interface {
	committing(ctx context.Context) bool
}

// levels are those of the app processes: each has another one, beside the others.
var levels = []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}

// openBank opens the bank of a kind, by the URL of its database. Its transactions are of
// the level, where the database knows several.
func openBank(ctx context.Context, kind, dsn string, level sql.IsolationLevel) (bank, error) {
	switch kind {
	case "postgres":
		return openPostgres(ctx, dsn, level)
	case "mariadb":
		return openMariaDB(dsn, level)
	case "sqlite":
		return openSQLite(dsn)
	}
	return nil, fmt.Errorf("ledger: unknown kind of bank %q", kind)
}

// list reads all records of a store.
func list(ctx context.Context, s semel.Store, to map[string]semel.Record) error {
	lister, ok := semel.As[semel.Lister](s)
	if !ok {
		return errors.New("the store cannot list")
	}
	for rec, err := range lister.List(ctx, semel.Filter{}) {
		if err != nil {
			return err
		}
		to[rec.Key.ID] = rec
	}
	return nil
}
