package semelhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// I1: a request that two middlewares of one engine guard is one attempt, in one
// transaction.
func TestInTxInside(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{
		"directly":       func(h http.Handler) http.Handler { return h },
		"another path":   func(h http.Handler) http.Handler { return http.StripPrefix("/v1", h) },
		"another writer": hideWriter,
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					outer, db := txMiddleware(t, mode)
					plain, err := outer.With(func(c *semelhttp.Config) { c.Tx = nil })
					if err != nil {
						t.Fatal(err)
					}
					runs := 0
					handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
						runs++
						payInTx(w, q)
					})
					for i, inner := range []*semelhttp.Middleware{outer, plain} {
						guarded := outer.Wrap(between(inner.Wrap(handler)))
						first, again := postTo(t, guarded, fmt.Sprint(i)), postTo(t, guarded, fmt.Sprint(i))
						if first.Code != 201 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
							t.Errorf("got %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
						}
					}
					want := map[semel.TxMode]int{semel.ClaimTx: 2, semel.SingleTx: 4}[mode] // a replay needs one too
					if rows := db.committed(); runs != 2 || len(rows) != 2 || db.begun != want {
						t.Errorf("got %d runs in %d transactions, rows %q, want %d", runs, db.begun, rows, want)
					}
				})
			}
		})
	}
}

// A handler that was promised a transaction never runs without one.
func TestInTxInsideWithout(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{
		"directly":     func(h http.Handler) http.Handler { return h },
		"another path": func(h http.Handler) http.Handler { return http.StripPrefix("/v1", h) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					inner, _ := txMiddleware(t, mode)
					outer, err := inner.With(func(c *semelhttp.Config) { c.Tx = nil })
					if err != nil {
						t.Fatal(err)
					}
					handler := outer.Wrap(between(inner.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
						t.Error("the handler has run without a transaction")
					}))))
					for range 2 {
						if a := postTo(t, handler, "k"); a.Code != 500 || !strings.Contains(a.Body.String(), "not_committed") || a.Header().Get("Idempotent-Replayed") != "" {
							t.Errorf("got %d %s, want a fresh not-committed", a.Code, a.Body)
						} else if !strings.Contains(a.Body.String(), `"retryable":false`) {
							t.Errorf("got %s, want that a retry does not help", a.Body)
						}
					}
				})
			}
		})
	}
}

// An attempt of another engine, under the same key, is another attempt.
func TestInTxTwoEngines(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			otherTx, _ := txMiddleware(t, mode)
			for name, outer := range map[string]*semelhttp.Middleware{
				"plain": nestedMiddleware(t, semelhttp.Config{}), "in a transaction": otherTx,
			} {
				inner, db := txMiddleware(t, mode)
				handler := outer.Wrap(inner.Wrap(http.HandlerFunc(payInTx)))
				first, again := postTo(t, handler, "k"), postTo(t, handler, "k")
				if first.Code != 201 || first.Body.String() != again.Body.String() || !slices.Equal(db.committed(), []string{"paid"}) {
					t.Errorf("%s: got %d %s, then %s, rows %q", name, first.Code, first.Body, again.Body, db.committed())
				}
			}
		})
	}
}

// Another key inside is another attempt, in a transaction of its own.
func TestInTxAnotherKeyInside(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			outer, db := txMiddleware(t, mode)
			inner, err := outer.With(func(c *semelhttp.Config) { c.Headers = []string{"X-Second-Key"} })
			if err != nil {
				t.Fatal(err)
			}
			guarded := inner.Wrap(http.HandlerFunc(payInTx))
			handler := outer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				insert(q, "outer")
				q.Header.Set("X-Second-Key", "second")
				guarded.ServeHTTP(w, q)
			}))
			if a := postTo(t, handler, "first"); a.Code != 201 {
				t.Errorf("got %d %s", a.Code, a.Body)
			}
			if rows := db.committed(); !slices.Equal(rows, []string{"paid", "outer"}) {
				t.Errorf("got rows %q, want the inner one's first", rows)
			}
		})
	}
}

// When the attempt is over, its context opens no door any more.
func TestInTxContextThatOutlives(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			mw, db := txMiddleware(t, mode)
			left := make(chan context.Context, 1)
			handler := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				left <- context.WithoutCancel(q.Context())
				payInTx(w, q)
			}))
			first := postTo(t, handler, "k")
			q := httptest.NewRequestWithContext(<-left, http.MethodPost, "/v1/payments", nil)
			q.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, q)
			if w.Body.String() != first.Body.String() || w.Header().Get("Idempotent-Replayed") != "true" || len(db.committed()) != 1 {
				t.Errorf("got %d %s, rows %q, want the replay", w.Code, w.Body, db.committed())
			}
		})
	}
}

func txMiddleware(t *testing.T, mode semel.TxMode) (*semelhttp.Middleware, *txStore) {
	t.Helper()
	db := newTxStore()
	engine, err := semel.New(db, semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Tx: transactions{db, mode}})
	if err != nil {
		t.Fatal(err)
	}
	return mw, db
}
