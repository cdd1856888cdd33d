package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// The middleware owns the transaction: the order and the answer are committed
// together, whatever happens on the way. A handler that meets an error just returns
// a 500, and nothing of it has happened.
func ExampleStore_Transactions_http() {
	shop := openShop()
	defer shop.close()
	txs, err := shop.store.Transactions(shop.db, sqlitestore.TxConfig{})
	check(err)
	mw, err := shop.mw.InTx(txs)
	check(err)

	orders := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tx := semelsql.TxFrom(r.Context())
		result, err := tx.ExecContext(r.Context(), "INSERT INTO orders (item) VALUES (?)", r.URL.Query().Get("item"))
		if err != nil {
			http.Error(w, "no order was made", http.StatusInternalServerError)
			return
		}
		id, _ := result.LastInsertId()
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "order %d", id)
	}))

	post(orders, "key-1")
	post(orders, "key-1")
	fmt.Println("orders:", shop.orders())
	// Output:
	// 201 order 1
	// 201 order 1 (replayed)
	// orders: 1
}

// The handler owns the transaction: it locks the slot first, and completes it with
// what it has written to the client. The answer is sent after the commit.
func ExampleTx() {
	shop := openShop()
	defer shop.close()
	order := func(w http.ResponseWriter, r *http.Request) error {
		ctx := context.WithoutCancel(r.Context()) // package sql rolls back beside you when a context ends
		tx, err := shop.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		own := sqlitestore.Tx(tx)            // one for both calls
		if err := semelhttp.LockIn(ctx, own); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO orders (item) VALUES (?)", r.URL.Query().Get("item"))
		if err != nil {
			return err
		}
		id, _ := result.LastInsertId()
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "order %d", id)
		if err := semelhttp.CompleteIn(ctx, w, own); err != nil {
			return err
		}
		return tx.Commit()
	}
	// Nothing happens outside the transaction, so a try that fails may be followed by another.
	mw, err := shop.mw.With(func(c *semelhttp.Config) { c.DeferEffects = true })
	check(err)
	orders := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := order(w, r)
		if err == nil || errors.Is(err, semel.ErrLost) { // lost: another try has the answer
			return
		}
		_ = semelhttp.Reset(w) // what was written has not happened
		semel.FromContext(r.Context()).Settle(semel.Free)
		http.Error(w, "no order was made", http.StatusServiceUnavailable)
	}))

	post(orders, "key-1")
	post(orders, "key-1")
	fmt.Println("orders:", shop.orders())
	// Output:
	// 201 order 1
	// 201 order 1 (replayed)
	// orders: 1
}

// shop is a service whose orders lie in one file with Semel's records.
type shop struct {
	dir    string
	db     *sql.DB
	store  *sqlitestore.Store
	engine *semel.Engine
	mw     *semelhttp.Middleware
}

func openShop() *shop {
	dir, err := os.MkdirTemp("", "semel")
	check(err)
	path := filepath.Join(dir, "app.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
	check(err)
	_, err = db.ExecContext(context.Background(), "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
	check(err)
	store, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	check(err)
	engine, err := semel.New(store, semel.Config{})
	check(err)
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	check(err)
	return &shop{dir, db, store, engine, mw}
}

func (s *shop) orders() (n int) {
	check(s.db.QueryRowContext(context.Background(), "SELECT count(*) FROM orders").Scan(&n))
	return n
}

func (s *shop) close() {
	check(s.engine.Close(context.Background()))
	check(s.store.Close())
	check(s.db.Close())
	_ = os.RemoveAll(s.dir)
}

// post sends an order and prints what comes back.
func post(h http.Handler, key string) {
	r := httptest.NewRequest(http.MethodPost, "/orders?item=book", nil)
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	mark := ""
	if w.Header().Get("Idempotent-Replayed") == "true" {
		mark = " (replayed)"
	}
	fmt.Printf("%d %s%s\n", w.Code, w.Body, mark)
}
