package semelhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// Decision 6: when no transaction can begin, nothing runs.
func TestInTxCannotBegin(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			db := newTxStore()
			down := true
			db.beginErr = func() error {
				if down {
					return errBroken
				}
				return nil
			}
			r := newTxRig(t, mode, db, payInTx, nil)
			a := r.post(secretKey, "x")
			r.wantProblem(a, 503, semelhttp.ProblemStoreUnavailable)
			if a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "broken") {
				t.Errorf("got %+v", a)
			}
			r.wantRuns(0)
			down = false
			if a := r.post(secretKey, "x"); a.status != 201 {
				t.Errorf("the key is not free: got %+v", a)
			}
			r.wantRows("paid")
		})
	}
}

// I8, I14: a commit whose reply was lost is looked up: it is sent, or run again. When
// nobody can look, the client is told to try again, and gets the truth then.
func TestInTxCommitUnknown(t *testing.T) {
	for _, c := range []struct {
		name   string
		lost   error
		blind  bool
		runs   int32
		status int
	}{
		{"happened", errHappened, false, 1, 201},
		{"did not happen", errNotHappened, false, 2, 201},
		{"happened, and nobody can look", errHappened, true, 1, 503},
		{"did not happen, and nobody can look", errNotHappened, true, 2, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					db := newTxStore()
					db.commitErr = func(n int) error {
						if n == 1 {
							return c.lost
						}
						return nil
					}
					db.lookErr = func() error {
						if c.blind {
							return errBroken
						}
						return nil
					}
					r := &txRig{db: db, rig: newRigOn(t, db, semel.Config{CompleteTimeout: 10 * time.Millisecond}, payInTx,
						func(cfg *semelhttp.Config) { cfg.Tx = transactions{db, mode} })}
					first := r.post(secretKey, "x")
					if c.blind {
						d := r.wantProblem(first, 503, semelhttp.ProblemStoreUnavailable)
						if strings.Contains(d.Detail, "Nothing was done") || !d.ReuseKey || first.header.Get("Retry-After") != "1" {
							t.Errorf("got %+v, want no claim that nothing was done", d)
						}
					} else if first.status != c.status || first.header.Get("Idempotent-Replayed") != "" {
						t.Errorf("got %+v", first)
					}
					again := r.post(secretKey, "x")
					if again.status != 201 {
						t.Errorf("again: got %+v", again)
					}
					if !c.blind {
						r.wantReplay(again, first)
					}
					r.wantRuns(c.runs)
					r.wantRows("paid")
				})
			}
		})
	}
}

// I8: what a handler makes of its transaction that cannot be committed: never a
// success that did not happen.
func TestInTxMistakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(w http.ResponseWriter, q *http.Request)
		alone  int // the status that is kept alone; 0: not committed
	}{
		{"it commits by itself", func(w http.ResponseWriter, q *http.Request) {
			payInTx(w, q)
			if err := handleOf(q.Context()).commitByHandler(); !errors.Is(err, semel.ErrTxOwned) {
				panic(fmt.Sprint("commit: got ", err))
			}
		}, 0},
		{"it goes on after an error", func(w http.ResponseWriter, q *http.Request) {
			_ = handleOf(q.Context()).fail(errUnique)
			w.WriteHeader(http.StatusCreated)
		}, 0},
		{"it keeps a failure of its own", func(w http.ResponseWriter, q *http.Request) {
			_ = handleOf(q.Context()).fail(errUnique)
			semel.FromContext(q.Context()).Settle(semel.Keep)
			w.WriteHeader(http.StatusInternalServerError)
		}, 0},
		{"it refuses, as is right", func(w http.ResponseWriter, q *http.Request) {
			insert(q, "row")
			_ = handleOf(q.Context()).fail(errUnique)
			http.Error(w, "there is such an order already", http.StatusConflict)
		}, 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					var r *txRig
					r = newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
						if r.runs.Load() == 1 {
							c.handle(w, q)
							return
						}
						payInTx(w, q)
					}, nil)
					first := r.post(secretKey, "x")
					if c.alone != 0 {
						if first.status != c.alone || !strings.Contains(first.body, "such an order") {
							t.Errorf("got %+v", first)
						}
						r.wantReplay(r.post(secretKey, "x"), first)
						r.wantRuns(1)
						r.wantRows()
						return
					}
					d := r.wantProblem(first, 500, semelhttp.ProblemNotCommitted)
					if !d.Retryable || !d.ReuseKey || first.header.Get("Location") != "" {
						t.Errorf("got %+v", first)
					}
					for _, want := range []string{"not committed", " ref=", ` route=""`, " fence="} {
						if !strings.Contains(r.log.String(), want) {
							t.Errorf("the log does not say %q:\n%s", want, r.log)
						}
					}
					r.wantRows()
					if a := r.post(secretKey, "x"); a.status != 201 {
						t.Errorf("the key is not free: got %+v", a)
					}
					r.wantRows("paid")
				})
			}
		})
	}
}

// The claim belongs to the middleware.
func TestInTxClaimIsNotTheHandlers(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			var r *txRig
			r = newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				ctx, c := q.Context(), semel.FromContext(q.Context())
				own := ownTx{r.db.begin()}
				defer own.Rollback(ctx)
				kept, _ := semelhttp.Kept{Status: 207}.Encode()
				for name, err := range map[string]error{
					"complete":   c.Complete(ctx, kept),
					"release":    c.Release(ctx),
					"lock":       semelhttp.LockIn(ctx, own),
					"completeIn": c.CompleteIn(ctx, own, kept),
				} {
					if !errors.Is(err, semel.ErrSettled) {
						t.Errorf("%s: got %v, want ErrSettled", name, err)
					}
				}
				if err := semelhttp.CompleteIn(ctx, w, own); !errors.Is(err, semel.ErrTxOwned) {
					t.Errorf("CompleteIn: got %v, want ErrTxOwned", err)
				}
				if err := c.BeginEffects(ctx); !errors.Is(err, semel.ErrInTx) {
					t.Errorf("BeginEffects: got %v, want ErrInTx", err)
				}
				c.Abandon(ctx)
				_, _ = io.WriteString(w, "forgotten")
				if err := semelhttp.Reset(w); err != nil {
					t.Errorf("Reset: got %v", err)
				}
				payInTx(w, q)
			}, nil)
			first := r.post(secretKey, "x")
			if first.status != 201 || strings.Contains(first.body, "forgotten") {
				t.Errorf("got %+v", first)
			}
			r.wantReplay(r.post(secretKey, "x"), first)
			r.wantRows("paid")
		})
	}
}

// An attempt that has run for too long is not committed.
func TestInTxOverran(t *testing.T) {
	db := newTxStore()
	r := &txRig{db: db, rig: newRigOn(t, db, semel.Config{Lease: time.Second},
		func(w http.ResponseWriter, q *http.Request) {
			<-q.Context().Done()
			payInTx(w, q)
		}, func(c *semelhttp.Config) {
			c.Tx, c.MaxRun = transactions{db, semel.ClaimTx}, time.Millisecond
		})}
	r.wantProblem(r.post(secretKey, "x"), 500, semelhttp.ProblemNotCommitted)
	r.wantRows()
}

// Transactions of another store would complete nothing.
func TestInTxOfAnotherStore(t *testing.T) {
	r := newTxRig(t, semel.ClaimTx, newTxStore(), payInTx, nil)
	other := transactions{newTxStore(), semel.ClaimTx}
	if _, err := semelhttp.New(r.engine, semelhttp.Global(), semelhttp.Config{Tx: other}); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("New: got %v", err)
	}
	if _, err := r.mw.InTx(other); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("InTx: got %v", err)
	}
	if _, err := r.mw.InTx(nil); err == nil {
		t.Error("InTx without transactions gives a Middleware without")
	}
	if _, err := r.mw.InTx(transactions{r.db, semel.SingleTx}); err != nil {
		t.Errorf("its own: got %v", err)
	}
}
