package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of package sql
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/sqlc/bankdb"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

//go:embed bankdb/schema.sql
var schema string

// bank keeps accounts, and beside them the answers to idempotency keys.
type bank struct {
	pool    *sql.DB
	store   *mysqlstore.Store
	engine  *semel.Engine
	guarded *semelhttp.Middleware
	own     *semelhttp.Middleware // of the handler that has a transaction of its own
	commit  func(tx *sql.Tx) error
}

func newBank(ctx context.Context, database string) (_ *bank, err error) {
	b := &bank{commit: (*sql.Tx).Commit}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if strings.Contains(database, "://") {
		return b, errors.New("this example is on MySQL: its database is a DSN of go-sql-driver/mysql, USER:PASSWORD@tcp(HOST:3306)/DATABASE, and no URL")
	}
	if b.pool, err = sql.Open("mysql", database); err != nil {
		return b, err
	}
	if err := b.makeTables(ctx); err != nil {
		return b, err
	}
	if b.store, err = mysqlstore.New(b.pool, mysqlstore.Config{}); err != nil {
		return b, err
	}
	if err := b.store.Migrate(ctx); err != nil {
		return b, err
	}
	if b.engine, err = semel.New(b.store, semel.Config{}); err != nil {
		return b, err
	}
	// What is not committed has had no effect: DeferEffects says so.
	b.own, err = semelhttp.New(b.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{DeferEffects: true})
	if err != nil {
		return b, err
	}
	plain, err := semelhttp.New(b.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return b, err
	}
	b.guarded, err = plain.InTx(b.store.Transactions(b.pool, mysqlstore.TxConfig{}))
	return b, err
}

func (b *bank) makeTables(ctx context.Context) error {
	for statement := range strings.SplitSeq(strings.TrimSpace(schema), ";") {
		if statement == "" {
			continue
		}
		if _, err := b.pool.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	for _, name := range []string{"alice", "bob"} {
		if err := bankdb.New(b.pool).OpenAccount(ctx, bankdb.OpenAccountParams{Name: name, Balance: 100_000}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bank) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	if b.engine != nil {
		err = b.engine.Close(ctx)
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	if b.pool != nil {
		err = errors.Join(err, b.pool.Close())
	}
	return err
}

func (b *bank) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /transfers", b.guarded.Wrap(http.HandlerFunc(transfer)))
	mux.Handle("POST /own/transfers", b.own.Wrap(http.HandlerFunc(b.transferOwn)))
	return mux
}

type order struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"` // in cents
}

var errNoMoney = errors.New("no account with enough money")

// transfer writes in the transaction of its request. It neither commits nor rolls back:
// an answer below 500 commits, any other rolls back, and so does a wish to free the key.
func transfer(w http.ResponseWriter, r *http.Request) {
	o, ok := orderOf(w, r)
	if !ok {
		return
	}
	id, err := move(r.Context(), bankdb.New(semelsql.TxFrom(r.Context())), o)
	answer(w, id, err)
}

// orderOf reads an order, or answers that it is none.
func orderOf(w http.ResponseWriter, r *http.Request) (o order, ok bool) {
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Amount <= 0 || o.From == o.To {
		http.Error(w, "an order is {from, to, amount}", http.StatusBadRequest)
		return o, false
	}
	return o, true
}

func answer(w http.ResponseWriter, id int64, err error) {
	switch {
	case errors.Is(err, errNoMoney):
		http.Error(w, err.Error(), http.StatusPaymentRequired) // kept: a retry is told the same
	case err != nil:
		http.Error(w, "try again", http.StatusInternalServerError) // rolled back: a retry runs
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]int64{"transfer": id})
	}
}

// move is what the bank does for its money. It knows nothing of keys. Nothing is written
// when it says that there is no money: that answer commits.
func move(ctx context.Context, q *bankdb.Queries, o order) (int64, error) {
	have, err := q.LockBalance(ctx, o.From)
	if err == nil {
		_, err = q.LockBalance(ctx, o.To)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && have < o.Amount:
		return 0, errNoMoney
	case err != nil:
		return 0, err // a deadlock, perhaps: the handler is run again
	}
	if err := q.Add(ctx, bankdb.AddParams{Amount: -o.Amount, Name: o.From}); err != nil {
		return 0, err
	}
	if err := q.Add(ctx, bankdb.AddParams{Amount: o.Amount, Name: o.To}); err != nil {
		return 0, err
	}
	return q.AddTransfer(ctx, bankdb.AddTransferParams{Debtor: o.From, Creditor: o.To, Amount: o.Amount})
}
