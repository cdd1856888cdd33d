package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
	_ "modernc.org/sqlite" // the driver of package sql
)

// The outbox is a table like any other. Its key goes to whoever gets the message.
const schema = `
CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, mail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
	key  TEXT PRIMARY KEY,
	mail TEXT NOT NULL,
	text TEXT NOT NULL,
	sent INTEGER NOT NULL DEFAULT 0, -- or refused
	refusal TEXT NOT NULL DEFAULT '', -- what the provider said who will never take it
	tries INTEGER NOT NULL DEFAULT 0, -- that failed
	next_at INTEGER NOT NULL DEFAULT 0 -- when it is due again, in seconds since 1970
);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (next_at) WHERE sent = 0`

// shop keeps orders, and beside them the answers to idempotency keys.
type shop struct {
	pool    *sql.DB
	store   *sqlitestore.Store
	engine  *semel.Engine
	guarded *semelhttp.Middleware
}

func newShop(ctx context.Context, file string) (_ *shop, err error) {
	s := &shop{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if strings.Contains(file, "://") {
		return s, errors.New("this example is on SQLite: its database is a file, such as shop.db, and has no URL")
	}
	if s.store, err = sqlitestore.Open(file, sqlitestore.Config{Guest: true}); err != nil {
		return s, err
	}
	if s.pool, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)"); err != nil {
		return s, err
	}
	if _, err := s.pool.ExecContext(ctx, schema); err != nil {
		return s, fmt.Errorf("%w: if an older version of this example has made %s, delete that file", err, file)
	}
	// The secret makes keys for others that nobody can guess. It must stay the same; a
	// real program reads it from where its secrets are.
	if s.engine, err = semel.New(s.store, semel.Config{Secret: semel.Secret("a secret of the example")}); err != nil {
		return s, err
	}
	plain, err := semelhttp.New(s.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return s, err
	}
	txs, err := s.store.Transactions(s.pool, sqlitestore.TxConfig{Mode: semel.SingleTx})
	if err != nil {
		return s, err
	}
	s.guarded, err = plain.InTx(txs)
	return s, err
}

func (s *shop) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	if s.engine != nil {
		err = s.engine.Close(ctx)
	}
	if s.pool != nil {
		err = errors.Join(err, s.pool.Close())
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /orders", s.guarded.Wrap(http.HandlerFunc(takeOrder)))
	return mux
}

// takeOrder writes down the order and that a mail is to be sent, in one transaction with
// its answer. It sends nothing: a mail that has been sent cannot be rolled back.
func takeOrder(w http.ResponseWriter, r *http.Request) {
	var o struct{ Item, Mail string }
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Item == "" || o.Mail == "" {
		http.Error(w, "an order is {item, mail}", http.StatusBadRequest)
		return
	}
	tx, claim := semelsql.TxFrom(r.Context()), semel.FromContext(r.Context())
	var id int64
	err := tx.QueryRowContext(r.Context(), "INSERT INTO orders (item, mail) VALUES (?, ?) RETURNING id", o.Item, o.Mail).Scan(&id)
	if err == nil {
		_, err = tx.ExecContext(r.Context(), "INSERT INTO outbox (key, mail, text) VALUES (?, ?, ?)",
			claim.DerivedKey("confirmation"), o.Mail, "Thank you for ordering: "+o.Item)
	}
	if err != nil {
		http.Error(w, "try again", http.StatusInternalServerError) // rolled back: a retry runs
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]int64{"order": id})
}
