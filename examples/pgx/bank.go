package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/pgstore"
)

const schema = `
CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE IF NOT EXISTS transfers (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, debtor text NOT NULL, creditor text NOT NULL, amount bigint NOT NULL);
INSERT INTO accounts VALUES ('alice', 100000), ('bob', 100000) ON CONFLICT DO NOTHING`

// bank keeps accounts, and beside them the answers to idempotency keys.
type bank struct {
	pool    *pgxpool.Pool
	engine  *semel.Engine
	guarded *semelhttp.Middleware
	own     *semelhttp.Middleware // of the handler that has a transaction of its own
	commit  func(ctx context.Context, tx pgx.Tx) error
}

func newBank(ctx context.Context, pool *pgxpool.Pool, mode semel.TxMode) (*bank, error) {
	if _, err := pool.Exec(ctx, schema); err != nil {
		return nil, err
	}
	store, err := pgstore.New(pool, pgstore.Config{})
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		return nil, err
	}
	plain, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return nil, err
	}
	guarded, err := plain.InTx(store.Transactions(pgstore.TxConfig{Mode: mode, Isolation: pgx.Serializable}))
	if err != nil {
		return nil, err
	}
	// What is not committed has had no effect: DeferEffects says so.
	own, err := plain.With(func(c *semelhttp.Config) { c.DeferEffects = true })
	if err != nil {
		return nil, err
	}
	return &bank{pool: pool, engine: engine, guarded: guarded, own: own, commit: commit}, nil
}

func (b *bank) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return b.engine.Close(ctx)
}

func (b *bank) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /transfers", b.guarded.Wrap(http.HandlerFunc(transfer)))
	mux.Handle("POST /own/transfers", b.own.Wrap(http.HandlerFunc(b.transferOwn)))
	mux.HandleFunc("GET /accounts", b.accounts)
	return mux
}

type order struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"` // in cents
}

var errNoMoney = errors.New("no account with enough money")

// transfer writes in the transaction of its request. It neither commits nor rolls back:
// an answer below 500 commits, any other rolls back.
func transfer(w http.ResponseWriter, r *http.Request) {
	o, ok := orderOf(w, r)
	if !ok {
		return
	}
	id, err := move(r.Context(), pgstore.TxFrom(r.Context()), o)
	answer(w, id, err)
}

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

// move is what the bank does for its money. It knows nothing of keys.
func move(ctx context.Context, tx pgx.Tx, o order) (id int64, err error) {
	var enough bool
	err = tx.QueryRow(ctx, `SELECT (SELECT balance FROM accounts WHERE name = $1) >= $2
		AND EXISTS (SELECT FROM accounts WHERE name = $3)`, o.From, o.Amount, o.To).Scan(&enough)
	if err != nil {
		return 0, err
	}
	if !enough {
		return 0, errNoMoney
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET balance = balance + CASE name WHEN $1 THEN -$2::bigint ELSE $2 END
		WHERE name IN ($1, $3)`, o.From, o.Amount, o.To); err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, `INSERT INTO transfers (debtor, creditor, amount) VALUES ($1, $2, $3) RETURNING id`,
		o.From, o.To, o.Amount).Scan(&id)
	return id, err
}

func (b *bank) accounts(w http.ResponseWriter, r *http.Request) {
	rows, err := b.pool.Query(r.Context(), "SELECT name, balance FROM accounts ORDER BY name")
	if err != nil {
		http.Error(w, "try again", http.StatusInternalServerError)
		return
	}
	balances := map[string]int64{}
	var name string
	var balance int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &balance}, func() error {
		balances[name] = balance
		return nil
	}); err != nil {
		http.Error(w, "try again", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(balances)
}
