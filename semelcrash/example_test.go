package semelcrash_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelcrash"
	"github.com/semel-go/semel/semelhttp"
)

// openStore stands for a store of yours, such as pgstore.New(pool, pgstore.Config{}).
var openStore func(dsn string) (semel.Store, error)

// A test of payments. Of these four functions the first is TestMain, the last a test.
func ExampleRun() {
	// In the process of the service: what production has, but for a short lease.
	payments := func(_ context.Context, p *semelcrash.Process) (http.Handler, error) {
		store, err := openStore(p.Args[0])
		if err != nil {
			return nil, err
		}
		engine, err := semel.New(p.Store(store), semel.Config{Lease: time.Second, Margin: -1})
		if err != nil {
			return nil, err
		}
		mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
		if err != nil {
			return nil, err
		}
		return mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// ... book the payment ...
			p.Point("booked") // one more place to be killed at
			w.WriteHeader(http.StatusCreated)
		})), nil
	}

	testMain := func(m *testing.M) {
		semelcrash.Main(payments) // does not return in the process of the service
		os.Exit(m.Run())
	}

	request := func(base, key string) (*http.Request, error) {
		r, err := http.NewRequest(http.MethodPost, base+"/payments", strings.NewReader(`{"amount":2500}`))
		if err == nil {
			r.Header.Set("Authorization", "Bearer alice")
			r.Header.Set("Idempotency-Key", key)
		}
		return r, err
	}

	testPayments := func(t *testing.T) {
		dsn := os.Getenv("TEST_DSN")
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		semelcrash.Run(t, semelcrash.Config{
			Args:    []string{dsn},
			Request: request,
			Effects: func(ctx context.Context, key string) (n int, err error) {
				err = db.QueryRowContext(ctx, "SELECT count(*) FROM payments WHERE client_key = $1", key).Scan(&n)
				return n, err
			},
		})
	}

	_, _ = testMain, testPayments
}
