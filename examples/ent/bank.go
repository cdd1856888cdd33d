package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/semel-go/semel"
	entbank "github.com/semel-go/semel/examples/ent/bank"
	"github.com/semel-go/semel/examples/ent/bank/account"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
	_ "modernc.org/sqlite" // the driver of package sql
)

// bank keeps accounts, and beside them the answers to idempotency keys.
type bank struct {
	pool    *sql.DB
	store   *sqlitestore.Store
	engine  *semel.Engine
	guarded *semelhttp.Middleware
	own     *semelhttp.Middleware // of the handler that has a transaction of its own
	commit  func(tx *sql.Tx) error
}

func newBank(ctx context.Context, file string) (_ *bank, err error) {
	b := &bank{commit: (*sql.Tx).Commit}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if strings.Contains(file, "://") {
		return b, errors.New("this example is on SQLite: its database is a file, such as bank.db, and has no URL")
	}
	if b.store, err = sqlitestore.Open(file, sqlitestore.Config{Guest: true}); err != nil {
		return b, err
	}
	// ent wants foreign keys; a writer waits for the one before it.
	if b.pool, err = sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)"); err != nil {
		return b, err
	}
	if err := b.makeTables(ctx); err != nil {
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
	txs, err := b.store.Transactions(b.pool, sqlitestore.TxConfig{})
	if err != nil {
		return b, err
	}
	b.guarded, err = plain.InTx(txs)
	return b, err
}

func (b *bank) makeTables(ctx context.Context) error {
	client := entbank.NewClient(entbank.Driver(entsql.OpenDB(dialect.SQLite, b.pool)))
	if err := client.Schema.Create(ctx); err != nil {
		return err
	}
	if n, err := client.Account.Query().Count(ctx); err != nil || n > 0 {
		return err
	}
	return client.Account.CreateBulk(
		client.Account.Create().SetName("alice").SetBalance(100_000),
		client.Account.Create().SetName("bob").SetBalance(100_000),
	).Exec(ctx)
}

// clientOf makes ent use a transaction: that of a request, or a *sql.Tx of one's own. Where
// ent would begin one by itself it does not: it is in one.
func clientOf(tx entsql.ExecQuerier) *entbank.Client {
	conn := entsql.Conn{ExecQuerier: tx}
	return entbank.NewClient(entbank.Driver(joined{entsql.NewDriver(dialect.SQLite, conn)}))
}

type joined struct{ dialect.Driver }

func (d joined) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d.Driver), nil }

func (b *bank) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	if b.engine != nil {
		err = b.engine.Close(ctx)
	}
	if b.pool != nil {
		err = errors.Join(err, b.pool.Close())
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
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
// an answer below 500 commits, any other rolls back.
func transfer(w http.ResponseWriter, r *http.Request) {
	o, ok := orderOf(w, r)
	if !ok {
		return
	}
	id, err := move(r.Context(), clientOf(semelsql.TxFrom(r.Context())), o)
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

func answer(w http.ResponseWriter, id int, err error) {
	switch {
	case errors.Is(err, errNoMoney):
		http.Error(w, err.Error(), http.StatusPaymentRequired) // kept: a retry is told the same
	case err != nil:
		http.Error(w, "try again", http.StatusInternalServerError) // rolled back: a retry runs
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]int{"transfer": id})
	}
}

// move is what the bank does for its money. It knows nothing of keys.
func move(ctx context.Context, client *entbank.Client, o order) (int, error) {
	enough, err := client.Account.Query().Where(account.Name(o.From), account.BalanceGTE(o.Amount)).Exist(ctx)
	if err != nil {
		return 0, err
	}
	there, err := client.Account.Query().Where(account.Name(o.To)).Exist(ctx)
	if err != nil {
		return 0, err
	}
	if !enough || !there {
		return 0, errNoMoney
	}
	if err := client.Account.Update().Where(account.Name(o.From)).AddBalance(-o.Amount).Exec(ctx); err != nil {
		return 0, err
	}
	if err := client.Account.Update().Where(account.Name(o.To)).AddBalance(o.Amount).Exec(ctx); err != nil {
		return 0, err
	}
	t, err := client.Transfer.Create().SetDebtor(o.From).SetCreditor(o.To).SetAmount(o.Amount).Save(ctx)
	if err != nil {
		return 0, err
	}
	return t.ID, nil
}
