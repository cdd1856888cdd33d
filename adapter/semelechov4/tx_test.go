package semelechov4_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

var errAgain = errors.New("could not serialize access")

// contended are transactions of a real database of which the first cannot be committed.
type contended struct {
	semel.Transactions
	begun int
}

func (x *contended) Again(err error) bool {
	return errors.Is(err, errAgain) || x.Transactions.Again(err)
}

func (x *contended) Begin(ctx context.Context) (semel.Transaction, error) {
	tx, err := x.Transactions.Begin(ctx)
	x.begun++
	if err != nil || x.begun > 1 {
		return tx, err
	}
	return loser{tx}, nil
}

type loser struct{ semel.Transaction }

func (l loser) Commit(ctx context.Context) error {
	l.Rollback(ctx)
	return errAgain
}

// newBank opens a database with accounts and the records of requests.
func newBank(t *testing.T) (*sql.DB, *semelhttp.Middleware) {
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
	mw, err := semelhttp.New(engine, semelechov4.ByKey("user"), semelhttp.Config{Logger: frameworktest.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	if mw, err = mw.InTx(&contended{Transactions: txs}); err != nil {
		t.Fatal(err)
	}
	return db, mw
}

// I8: what comes after Wrap runs again when its transaction must, and what it has written
// is committed once, with its answer. A decline commits too; a failure does not.
func TestInTx(t *testing.T) {
	for _, row := range []struct {
		err      error
		status   int
		text     string
		payments int
		replayed bool
	}{
		{nil, http.StatusCreated, "paid seven", 1, true},
		{echo.NewHTTPError(http.StatusPaymentRequired, "declined"), http.StatusPaymentRequired, "declined", 1, true},
		{frameworktest.ErrPlain, http.StatusInternalServerError, "Internal Server Error", 0, false},
	} {
		db, mw := newBank(t)
		runs := 0
		e := newEcho()
		e.POST("/payments/:id", func(c echo.Context) error {
			runs++
			if responseOf(c).Committed {
				t.Errorf("run %d finds the answer of another", runs)
			}
			body, err := io.ReadAll(c.Request().Body)
			if err != nil {
				return err
			}
			ctx := c.Request().Context()
			if _, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO payments (user) VALUES (?)", c.Get("user")); err != nil {
				t.Error(err)
			}
			if row.err != nil {
				return row.err
			}
			return c.String(http.StatusCreated, "paid "+string(body))
		}, authenticate, semelechov4.Wrap(mw))
		r := &frameworktest.Rig{T: t, Seen: make(chan int, 2)}
		r.Serve(e)
		first, again := r.Post("k", "seven"), r.Post("k", "seven")
		if first.Status != row.status || !strings.Contains(first.Body, row.text) || again.Body != first.Body || again.Replayed() != row.replayed {
			t.Errorf("got %+v, then %+v", first, again)
		}
		if runs != 2 || count(t, db) != row.payments {
			t.Errorf("%s: got %d runs and %d payments, want 2 and %d", row.text, runs, count(t, db), row.payments)
		}
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
