package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// The accounts are few, so that transfers meet.
const (
	accounts = 8
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
	key    string
	amount int64
}

// books is what an audit finds.
type books struct {
	sum       int64
	transfers []transfer
	records   map[string]semel.Record // by key
}

// bank is a database with accounts and records. A process opens it once.
type bank interface {
	store() semel.Store
	transactions(mode semel.TxMode) (semel.Transactions, error)
	// move transfers money in the transaction that ctx carries.
	move(ctx context.Context, key string, o order) error
	// moveAlone does it in a transaction of its own. unknown says that the
	// commit may have happened although err is not nil.
	moveAlone(ctx context.Context, key string, o order) (unknown bool, err error)
	// again reports whether another try may help.
	again(err error) bool
	// migrate makes and fills the tables.
	migrate(ctx context.Context) error
	audit(ctx context.Context) (*books, error)
	close()
}

// openBank opens the bank of a kind, by the URL of its database.
func openBank(ctx context.Context, kind, dsn string) (bank, error) {
	switch kind {
	case "postgres":
		return openPostgres(ctx, dsn)
	case "mariadb":
		return openMariaDB(dsn)
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
