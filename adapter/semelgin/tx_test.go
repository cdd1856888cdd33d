package semelgin_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

var errFault = errors.New("could not serialize access")

// faulty are transactions of a real store, of which some are rolled back when they are to
// be committed.
type faulty struct {
	semel.Transactions
	faults *atomic.Int64
}

func (f faulty) Begin(ctx context.Context) (semel.Transaction, error) {
	tx, err := f.Transactions.Begin(ctx)
	return faultyTx{tx, f.faults}, err
}

func (f faulty) Again(err error) bool { return errors.Is(err, errFault) || f.Transactions.Again(err) }

type faultyTx struct {
	semel.Transaction
	faults *atomic.Int64
}

func (f faultyTx) Commit(ctx context.Context) error {
	if f.faults.Add(-1) >= 0 {
		f.Transaction.Rollback(ctx)
		return errFault
	}
	return f.Transaction.Commit(ctx)
}

// ledger is a database with Semel's records, and a middleware of its transactions.
func ledger(t *testing.T, faults *atomic.Int64) (*sql.DB, *semelhttp.Middleware) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	quiet, path := slog.New(slog.DiscardHandler), filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=wal_autocheckpoint(0)")
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE payments (n INTEGER)")
	must(err)
	store, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	must(err)
	t.Cleanup(func() { _ = store.Close() })
	engine, err := semel.New(store, semel.Config{Logger: quiet})
	must(err)
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	txs, err := store.Transactions(db, sqlitestore.TxConfig{})
	must(err)
	mw, err := semelhttp.New(engine, semelgin.ByKey("account"), semelhttp.Config{Logger: quiet})
	must(err)
	mw, err = mw.InTx(faulty{txs, faults})
	must(err)
	return db, mw
}

func wantPayments(t *testing.T, db *sql.DB, want int) {
	t.Helper()
	var got int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments").Scan(&got); err != nil || got != want {
		t.Errorf("payments: got %d (%v), want %d", got, err, want)
	}
}

func book(c *gin.Context, n int64) {
	if _, err := semelsql.TxFrom(c.Request.Context()).ExecContext(c.Request.Context(), "INSERT INTO payments VALUES (?)", n); err != nil {
		panic(err)
	}
}

// I8: a handler that runs again in another transaction finds gin's context as it was, and what
// is kept is the last answer.
func TestHandleRunsAgain(t *testing.T) {
	faults := new(atomic.Int64)
	faults.Store(2)
	db, mw := ledger(t, faults)
	r := newRigOn(t, func(r *rig, e *gin.Engine) {
		e.POST("/pay/:id", authenticate, semelgin.Handle(mw, r.counted(func(c *gin.Context) {
			if _, seen := c.Get("seen"); seen || len(c.Errors) > 0 || c.Writer.Written() || c.GetString("account") != "alice" {
				t.Errorf("run %d finds what another has left: keys %v, errors %v", r.runs.Load(), c.Keys, c.Errors)
			}
			c.Set("seen", true)
			_ = c.Error(errors.New("logged"))
			book(c, r.runs.Load())
			c.String(http.StatusCreated, fmt.Sprint("run ", r.runs.Load()))
		})))
	})
	first := r.pay("k1")
	if first.status != 201 || first.body != "run 3" {
		t.Errorf("got %+v, want the answer of the third run", first)
	}
	r.wantReplay(first, r.pay("k1"))
	r.wantRuns(3)
	wantPayments(t, db, 1)
}

// I8: an answer that others are to make is none: the transaction is rolled back, and the key is free.
func TestHandleRollsBackUnrenderedErrors(t *testing.T) {
	db, mw := ledger(t, new(atomic.Int64))
	r := newRigOn(t, func(r *rig, e *gin.Engine) {
		e.POST("/pay/:id", renderErrors, authenticate, semelgin.Handle(mw, r.counted(func(c *gin.Context) {
			book(c, 1)
			decline(c)
		})))
	})
	for range 2 {
		if got := r.pay("k1"); got.status != 402 || got.body != `{"error":"declined"}` {
			t.Errorf("got %+v", got)
		}
	}
	r.wantRuns(2)
	wantPayments(t, db, 0)
}

// A chain cannot run twice, so Wrap does not begin.
func TestWrapRefusesTransactions(t *testing.T) {
	_, mw := ledger(t, new(atomic.Int64))
	for name, f := range map[string]func(){
		"transactions":  func() { semelgin.Wrap(mw) },
		"no middleware": func() { semelgin.Wrap(nil) },
		"no handler":    func() { semelgin.Handle(mw, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it did not panic")
				}
			}()
			f()
		})
	}
}
