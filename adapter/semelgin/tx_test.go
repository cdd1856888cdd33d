package semelgin_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

var errAgain = errors.New("could not serialize access")

// contended are transactions of a real database of which the first cannot be committed,
// or some are spoiled by a statement.
type contended struct {
	semel.Transactions
	begun, spoiled int
}

func (x *contended) Again(err error) bool {
	return errors.Is(err, errAgain) || x.Transactions.Again(err)
}

func (x *contended) Begin(ctx context.Context) (semel.Transaction, error) {
	tx, err := x.Transactions.Begin(ctx)
	x.begun++
	switch {
	case err == nil && x.begun <= x.spoiled:
		return spoiled{tx}, nil
	case err == nil && x.spoiled == 0 && x.begun == 1:
		return loser{tx}, nil
	}
	return tx, err
}

type spoiled struct{ semel.Transaction }

func (spoiled) Err() error { return errAgain }

type loser struct{ semel.Transaction }

func (l loser) Commit(ctx context.Context) error {
	l.Rollback(ctx)
	return errAgain
}

// newBank opens a database with payments and the records of requests.
func newBank(t *testing.T, spoiled int) (*sql.DB, *semelhttp.Middleware) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bank.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE payments (id INTEGER PRIMARY KEY, user TEXT)"); err != nil {
		t.Fatal(err)
	}
	store, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	engine, err := semel.New(store, semel.Config{Logger: frameworktest.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	txs, err := store.Transactions(db, sqlitestore.TxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelgin.ByKey("user"), semelhttp.Config{Logger: frameworktest.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	if mw, err = mw.InTx(&contended{Transactions: txs, spoiled: spoiled}); err != nil {
		t.Fatal(err)
	}
	return db, mw
}

// I8: the handler runs again when its transaction must, and what it has written is
// committed once, with its answer.
func TestHandleInTx(t *testing.T) {
	db, mw := newBank(t, 0)
	runs := 0
	router := gin.New()
	router.POST("/payments/:id", func(c *gin.Context) { c.Set("notes", "outside") }, renderErrors, authenticate,
		semelgin.Handle(mw, func(c *gin.Context) {
			runs++
			if c.GetString("notes") != "outside" || len(c.Errors) != 0 || c.Writer.Written() || c.Writer.Status() != http.StatusOK {
				t.Errorf("run %d finds what another has left: %q, %v, %v", runs, c.GetString("notes"), c.Errors, c.Writer.Written())
			}
			c.Set("notes", "handler")
			body, _ := c.GetRawData()
			if _, err := semelsql.TxFrom(c.Request.Context()).ExecContext(c.Request.Context(), "INSERT INTO payments (user) VALUES (?)", c.GetString("user")); err != nil {
				t.Error(err)
			}
			if runs == 1 {
				_ = c.Error(errors.New("of the first try"))
			}
			c.String(http.StatusCreated, "paid "+string(body))
		}))
	r := &frameworktest.Rig{T: t, Seen: make(chan int, 2)}
	r.Serve(router)
	first, again := r.Post("k", "seven"), r.Post("k", "seven")
	if first.Status != http.StatusCreated || first.Body != "paid seven" || again.Body != first.Body || !again.Replayed() {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if runs != 2 || count(t, db) != 1 {
		t.Errorf("got %d runs and %d payments, want 2 and 1", runs, count(t, db))
	}
}

// I8: with an error that is rendered outside nothing is committed, and nothing has happened.
func TestErrorRenderedOutsideInTx(t *testing.T) {
	db, mw := newBank(t, 0)
	router := gin.New()
	router.POST("/payments/:id", renderErrors, authenticate, semelgin.Handle(mw, func(c *gin.Context) {
		if _, err := semelsql.TxFrom(c.Request.Context()).ExecContext(c.Request.Context(), "INSERT INTO payments (user) VALUES ('ada')"); err != nil {
			t.Error(err)
		}
		decline(c)
	}))
	r := &frameworktest.Rig{T: t, Seen: make(chan int, 2)}
	r.Serve(router)
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusPaymentRequired || a.Replayed() {
			t.Errorf("got %+v, want 402 of the handler", a)
		}
	}
	if n := count(t, db); n != 0 {
		t.Errorf("got %d payments, want 0", n)
	}
}

// gin cannot run the rest of a chain twice, so nobody may ask for it.
func TestWrapInTx(t *testing.T) {
	_, mw := newBank(t, 0)
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "use Handle") {
			t.Errorf("got %q, want a panic that names Handle", text)
		}
	}()
	semelgin.Wrap(mw)
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What a try has left with its error is none of the next one's: neither the status nor, if
// none comes through, what the Middleware answers then.
func TestErrorOfATry(t *testing.T) {
	for _, row := range []struct {
		spoiled, runs, payments int
		status                  int
		body                    string
	}{
		{1, 2, 1, http.StatusOK, "paid"},
		{5, 5, 0, http.StatusServiceUnavailable, semelhttp.ProblemStoreUnavailable.Details().Code},
	} {
		db, mw := newBank(t, row.spoiled)
		runs := 0
		router := gin.New()
		router.POST("/payments/:id", renderErrors, authenticate, semelgin.Handle(mw, func(c *gin.Context) {
			runs++
			if c.Writer.Status() != http.StatusOK || len(c.Errors) != 0 {
				t.Errorf("run %d finds %d and %v", runs, c.Writer.Status(), c.Errors)
			}
			tx := semelsql.TxFrom(c.Request.Context())
			if _, err := tx.ExecContext(c.Request.Context(), "INSERT INTO payments (user) VALUES ('ada')"); err != nil {
				t.Error(err)
			}
			if runs <= row.spoiled {
				c.Status(http.StatusConflict)
				_ = c.Error(errAgain)
				return
			}
			_, _ = c.Writer.WriteString("paid")
		}))
		r := &frameworktest.Rig{T: t, Seen: make(chan int, 2)}
		r.Serve(router)
		if a := r.Post("k", "x"); a.Status != row.status || !strings.Contains(a.Body, row.body) || strings.Contains(a.Body, "message") {
			t.Errorf("got %+v, want %d %s", a, row.status, row.body)
		}
		if n := count(t, db); runs != row.runs || n != row.payments {
			t.Errorf("got %d runs and %d payments, want %d and %d", runs, n, row.runs, row.payments)
		}
	}
}
