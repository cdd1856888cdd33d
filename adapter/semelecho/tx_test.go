package semelecho_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelecho"
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
	mw, err := semelhttp.New(engine, semelecho.ByKey("account"), semelhttp.Config{Logger: quiet})
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

// I8: handlers that run again in another transaction find their request as it was, and what
// is kept is the last answer, an error's too.
func TestHandlersRunAgain(t *testing.T) {
	for _, status := range []int{http.StatusCreated, http.StatusPaymentRequired} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			faults := new(atomic.Int64)
			faults.Store(2)
			db, mw := ledger(t, faults)
			r := newRigOn(t, func(r *rig, e *echo.Echo) {
				e.POST("/pay/:id", r.counted(func(c *echo.Context) error {
					body, err := io.ReadAll(c.Request().Body)
					if responseOf(c).Committed || string(body) != `{"amount":1}` {
						t.Errorf("run %d finds what another has left: body %q (%v)", r.runs.Load(), body, err)
					}
					ctx := c.Request().Context()
					if _, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO payments VALUES (?)", r.runs.Load()); err != nil {
						return err
					}
					text := fmt.Sprint("run ", r.runs.Load())
					if status >= 400 {
						return echo.NewHTTPError(status, text)
					}
					return c.String(status, text)
				}), authenticate, semelecho.Wrap(mw))
			})
			first := r.pay("k1")
			if first.status != status || !strings.Contains(first.body, "run 3") {
				t.Errorf("got %+v, want the answer of the third run", first)
			}
			r.wantReplay(first, r.pay("k1"))
			r.wantRuns(3)
			wantPayments(t, db, 1)
		})
	}
}
