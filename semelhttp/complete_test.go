package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// newOwnRig is a rig whose handlers begin transactions of db by themselves.
func newOwnRig(t *testing.T, db *txStore, h http.HandlerFunc, change func(*semelhttp.Config)) *txRig {
	t.Helper()
	return &txRig{db: db, rig: newRigOn(t, db, semel.Config{CompleteTimeout: 20 * time.Millisecond}, h, change)}
}

func deferring(c *semelhttp.Config) { c.DeferEffects = true }

// must is for the steps of a handler that succeed in its test.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// payOwn pays in a transaction of its own, up to the commit.
func payOwn(db *txStore, w http.ResponseWriter, q *http.Request) ownTx {
	tx := ownTx{db.begin()}
	must(semelhttp.LockIn(q.Context(), tx))
	must(tx.insert("paid"))
	pay(w, q)
	must(semelhttp.CompleteIn(q.Context(), w, tx))
	return tx
}

// I3, I8, I14: answer and rows are committed together, and then the answer is sent as
// it was frozen.
func TestCompleteIn(t *testing.T) {
	order := &trace{}
	db := newTxStore()
	db.commitErr = func(int) error { order.note("commit"); return nil }
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Omitted", "1")
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "1") // both a field and a trailer field
		tx := payOwn(db, w, q)
		w.Header().Set("X-Sum", "2")
		w.Header().Set("Location", "elsewhere")
		must(tx.Commit(q.Context()))
		order.note("returned")
	}, func(c *semelhttp.Config) { c.Omit = []string{"X-Omitted"} })
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Outer", "1")
		inner.ServeHTTP(tracedWriter{w, order}, q)
	})
	first, again := r.post(secretKey, "x"), r.post(secretKey, "x")
	if first.status != 201 || first.header.Get("Location") != "/payments/1" || first.trailer.Get("X-Sum") != "1" || first.header.Get("X-Outer") != "1" {
		t.Errorf("got %+v", first)
	}
	if first.header.Get("X-Omitted") != "1" || again.header.Get("X-Omitted") != "" {
		t.Errorf("a field that is not kept: got %q, then %q", first.header.Get("X-Omitted"), again.header.Get("X-Omitted"))
	}
	r.wantReplay(again, first)
	r.wantRuns(1)
	r.wantRows("paid")
	if want := []string{"commit", "returned", "header 201", "body", "header 201", "body"}; !slices.Equal(order.seen, want) {
		t.Errorf("got %q, want %q", order.seen, want)
	}
}

// I3: what is written when the answer is frozen goes nowhere, and the handler and
// the log are told.
func TestCompleteInFreezes(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		tx := payOwn(db, w, q)
		late := func() {
			w.WriteHeader(http.StatusInternalServerError)
			_, err1 := io.WriteString(w, "late")
			_, err2 := w.Write([]byte("late"))
			err3 := semelhttp.CompleteIn(q.Context(), w, tx)
			if !errors.Is(err1, semelhttp.ErrFrozen) || !errors.Is(err2, semelhttp.ErrFrozen) || !errors.Is(err3, semelhttp.ErrFrozen) {
				t.Errorf("got %v, %v and %v, want ErrFrozen", err1, err2, err3)
			}
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("flush: got %v", err)
			}
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("hijack: got %v", err)
			}
		}
		late()
		must(tx.Commit(q.Context()))
		late()
	}, nil)
	first := r.post(secretKey, "x")
	if first.status != 201 || strings.Contains(first.body, "late") {
		t.Errorf("got %+v", first)
	}
	r.wantReplay(r.post(secretKey, "x"), first)
	r.wantRuns(1)
	r.wantRows("paid")
	if n := strings.Count(r.log.String(), "a handler writes to its answer"); n != 1 {
		t.Errorf("it is logged %d times, want once:\n%s", n, r.log)
	}
}

// I8: an answer whose transaction was not committed is never sent. What the route has
// promised says whether another try may run.
func TestCompleteInThatIsNotCommitted(t *testing.T) {
	ends := map[string]func(q *http.Request, w http.ResponseWriter, tx ownTx){
		"rolled back": func(q *http.Request, _ http.ResponseWriter, tx ownTx) { tx.Rollback(q.Context()) },
		"rolled back, and answered without Reset": func(q *http.Request, w http.ResponseWriter, tx ownTx) {
			tx.Rollback(q.Context())
			http.Error(w, "no", http.StatusConflict)
		},
		"rolled back, and begun again without Reset": func(q *http.Request, w http.ResponseWriter, tx ownTx) {
			tx.Rollback(q.Context())
			tx = ownTx{tx.store.begin()}
			defer tx.Rollback(q.Context())
			must(semelhttp.LockIn(q.Context(), tx))
			w.(http.Flusher).Flush()
			if err := semelhttp.CompleteIn(q.Context(), w, tx); !errors.Is(err, semelhttp.ErrFrozen) {
				panic(fmt.Sprint("CompleteIn: got ", err))
			}
		},
		"rolled back, Reset and given up": func(q *http.Request, w http.ResponseWriter, tx ownTx) {
			tx.Rollback(q.Context())
			must(semelhttp.Reset(w))
		},
		"given back": func(q *http.Request, _ http.ResponseWriter, tx ownTx) {
			tx.Rollback(q.Context())
			semel.FromContext(q.Context()).Abandon(q.Context())
		},
		"panic": func(q *http.Request, _ http.ResponseWriter, tx ownTx) {
			defer tx.Rollback(q.Context())
			panic("before the commit")
		},
	}
	for name, end := range ends {
		for _, deferred := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", deferred: ", deferred), func(t *testing.T) {
				db := newTxStore()
				var r *txRig
				r = newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
					tx := payOwn(db, w, q)
					if r.runs.Load() > 1 {
						must(tx.Commit(q.Context()))
						return
					}
					end(q, w, tx)
				}, func(c *semelhttp.Config) { c.DeferEffects = deferred })
				first := r.post(secretKey, "x")
				switch {
				case name == "panic":
					if first.err == nil {
						t.Errorf("got %+v, want a cut connection", first)
					}
				case deferred:
					r.wantProblem(first, 500, semelhttp.ProblemNotCommitted)
				default:
					d := r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
					if d.Extra["ref"] == nil {
						t.Errorf("got %+v, want a ref", d)
					}
				}
				if first.header.Get("Location") != "" {
					t.Errorf("got %+v, want nothing of its own", first)
				}
				if name != "panic" && !strings.Contains(r.log.String(), "does not count") {
					t.Errorf("the log does not say so:\n%s", r.log)
				}
				again := r.post(secretKey, "x")
				if !deferred {
					r.wantProblem(again, 409, semelhttp.ProblemOutcomeUnknown)
					r.wantRows()
					return
				}
				if again.status != 201 {
					t.Errorf("again: got %+v", again)
				}
				r.wantReplay(r.post(secretKey, "x"), again)
				r.wantRuns(2)
				r.wantRows("paid")
			})
		}
	}
}

// lostTx is a transaction in which the lock cannot be had.
type lostTx struct {
	ownTx
	err error
}

func (x lostTx) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (x lostTx) Lock(context.Context, semel.Key, semel.Token) error { return x.err }

// paysNext is a rig whose handler does first with a transaction at its first request, and pays
// at the next.
func paysNext(t *testing.T, deferred bool, first func(w http.ResponseWriter, q *http.Request, tx ownTx)) *txRig {
	t.Helper()
	db := newTxStore()
	var r *txRig
	r = newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		if r.runs.Load() > 1 {
			must(payOwn(db, w, q).Commit(q.Context()))
			return
		}
		tx := ownTx{db.begin()}
		defer tx.Rollback(q.Context())
		first(w, q, tx)
	}, func(c *semelhttp.Config) { c.DeferEffects = deferred })
	return r
}

// wantNothingHappened wants that a request is told so, and that the next one pays.
func (r *txRig) wantNothingHappened(first answer) {
	r.t.Helper()
	r.wantProblem(first, 500, semelhttp.ProblemNotCommitted)
	if again := r.post(secretKey, "x"); again.status != 201 {
		r.t.Errorf("again: got %+v", again)
	}
	r.wantRuns(2)
	r.wantRows("paid")
}

// I8: a handler that did not get the lock and returns has not said that it has succeeded:
// nothing of it is kept, whether its slot is still its own or not.
func TestLockInThatFails(t *testing.T) {
	for name, lost := range map[string]error{"a lease that is over": semel.ErrLost, "the store": errNotHappened} {
		for _, deferred := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", deferred: ", deferred), func(t *testing.T) {
				r := paysNext(t, deferred, func(_ http.ResponseWriter, q *http.Request, tx ownTx) {
					if err := semelhttp.LockIn(q.Context(), lostTx{tx, lost}); !errors.Is(err, lost) {
						panic(fmt.Sprint("LockIn: got ", err))
					}
				})
				first := r.post(secretKey, "x")
				if !deferred {
					r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
					return
				}
				r.wantNothingHappened(first)
			})
		}
	}
}

// I8: a handler that has the lock, rolls back, takes back its answer and gives up before
// CompleteIn has not succeeded, and its empty answer is not that of the key.
func TestGivesUpAfterReset(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		t.Run(fmt.Sprint("deferred: ", deferred), func(t *testing.T) {
			r := paysNext(t, deferred, func(w http.ResponseWriter, q *http.Request, tx ownTx) {
				must(semelhttp.LockIn(q.Context(), tx))
				must(tx.insert("paid"))
				tx.Rollback(q.Context()) // as after a deadlock
				must(semelhttp.Reset(w))
			})
			first := r.post(secretKey, "x")
			if !deferred {
				r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
				return
			}
			r.wantNothingHappened(first)
		})
	}
}

// A handler that could not begin, and says that nothing has happened, frees its key.
func TestLockInThatFailsAndIsReleased(t *testing.T) {
	r := paysNext(t, false, func(_ http.ResponseWriter, q *http.Request, tx ownTx) {
		if err := semelhttp.LockIn(q.Context(), lostTx{tx, errNotHappened}); !errors.Is(err, errNotHappened) {
			panic(fmt.Sprint("LockIn: got ", err))
		}
		semel.FromContext(q.Context()).Settle(semel.Free)
	})
	r.wantNothingHappened(r.post(secretKey, "x"))
}

// endedTx is a transaction that a statement has ended: its steps find it out at last.
type endedTx struct{ ownTx }

func (x endedTx) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (x endedTx) Complete(context.Context, semel.Completion) error { return semel.ErrTxEnded }

// I7: what a statement has ended behind the handler's back is not known, whatever the
// handler has promised or wishes.
func TestCompleteInEndedByAStatement(t *testing.T) {
	for _, wish := range []bool{false, true} {
		db := newTxStore()
		r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
			tx := ownTx{db.begin()}
			defer tx.Rollback(q.Context())
			must(semelhttp.LockIn(q.Context(), tx))
			pay(w, q)
			if err := semelhttp.CompleteIn(q.Context(), w, endedTx{tx}); !errors.Is(err, semel.ErrTxEnded) {
				panic(fmt.Sprint("CompleteIn: got ", err))
			}
			if wish {
				semel.FromContext(q.Context()).Settle(semel.Free)
			}
		}, deferring)
		for range 2 {
			r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
		}
		r.wantRuns(1)
		if text := r.log.String(); !strings.Contains(text, "CompleteIn has failed") || strings.Contains(text, "rolled back") {
			t.Errorf("the log does not say that CompleteIn has failed:\n%s", text)
		}
	}
}

// Who is told to try again finds the attempt ended.
func TestCompleteInAbandonsFirst(t *testing.T) {
	order := &trace{}
	db := newTxStore()
	r := newRigOn(t, db, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		return ctx, func(semel.Event) {
			if op.Step == semel.StepAbandon {
				order.note("abandoned")
			}
		}
	}}, func(w http.ResponseWriter, q *http.Request) { payOwn(db, w, q).Rollback(q.Context()) }, deferring)
	r.server.Config.Handler.ServeHTTP(tracedWriter{httptest.NewRecorder(), order}, r.request("POST", "/payments", secretKey, "x"))
	if want := []string{"abandoned", "header 500", "body"}; !slices.Equal(order.seen, want) {
		t.Errorf("got %q, want %q", order.seen, want)
	}
}

// A panic after the commit cuts the connection, and the answer stands.
func TestCompleteInAndPanic(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		must(payOwn(db, w, q).Commit(q.Context()))
		panic("after the commit")
	}, nil)
	if a := r.post(secretKey, "x"); a.err == nil {
		t.Errorf("got %+v, want a cut connection", a)
	}
	if a := r.post(secretKey, "x"); a.status != 201 || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %+v, want the replay", a)
	}
	r.wantRuns(1)
	r.wantRows("paid")
}

// A transaction that its handler leaves open may still be committed: nothing is sent.
func TestCompleteInLeftOpen(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		t.Run(fmt.Sprint("deferred: ", deferred), func(t *testing.T) {
			db := newTxStore()
			left := make(chan ownTx, 1)
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				left <- payOwn(db, w, q)
			}, func(c *semelhttp.Config) { c.DeferEffects = deferred })
			first := r.post(secretKey, "x")
			if deferred { // the next one finds the answer, or runs
				d := r.wantProblem(first, 503, semelhttp.ProblemStoreUnavailable)
				if strings.Contains(d.Detail, "Nothing was done") {
					t.Errorf("got %+v, want no claim that nothing was done", d)
				}
			} else {
				r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
			}
			if !strings.Contains(r.log.String(), "may still be open") {
				t.Errorf("the log does not say so:\n%s", r.log)
			}
			must((<-left).Commit(t.Context()))
			if a := r.post(secretKey, "x"); a.status != 201 || a.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("got %+v, want the replay", a)
			}
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}

// After a roll back a handler may answer otherwise, or try again.
func TestReset(t *testing.T) {
	for name, c := range map[string]struct {
		goOn   func(db *txStore, w http.ResponseWriter, q *http.Request)
		status int
		rows   []string
	}{
		"another answer": {func(_ *txStore, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "no money")
		}, 409, nil},
		"a large one": {func(_ *txStore, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, strings.Repeat("no money ", 100))
		}, 409, nil},
		"another try": {func(db *txStore, w http.ResponseWriter, q *http.Request) {
			tx := ownTx{db.begin()}
			must(semelhttp.LockIn(q.Context(), tx))
			must(tx.insert("second try"))
			_, _ = io.WriteString(w, "second try")
			must(semelhttp.CompleteIn(q.Context(), w, tx))
			must(tx.Commit(q.Context()))
		}, 200, []string{"second try"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Set("X-Sum", "1")
				w.Header().Set("Content-Length", "44")
				w.Header().Del("X-Outer")
				_, _ = io.WriteString(w, strings.Repeat("x", 44))
				tx := ownTx{db.begin()}
				must(semelhttp.LockIn(q.Context(), tx))
				must(tx.insert("first try"))
				must(semelhttp.CompleteIn(q.Context(), w, tx))
				tx.Rollback(q.Context())
				must(semelhttp.Reset(w))
				c.goOn(db, w, q)
			}, func(c *semelhttp.Config) { c.MaxResponse = 500 })
			inner := r.server.Config.Handler
			r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("X-Outer", "1")
				inner.ServeHTTP(w, q)
			})
			first := r.post(secretKey, "x")
			if first.status != c.status || strings.Contains(first.body, "xx") || first.header.Get("X-Outer") != "1" || first.header.Get("X-Sum") != "" || len(first.trailer) > 0 {
				t.Errorf("got %+v", first)
			}
			if name == "a large one" {
				if len(first.body) != 900 {
					t.Errorf("got %d bytes, want the whole answer", len(first.body))
				}
				r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
			} else {
				r.wantReplay(r.post(secretKey, "x"), first)
			}
			r.wantRuns(1)
			r.wantRows(c.rows...)
		})
	}
}

// I8: a handler that does not know whether its commit has happened finds out by
// LockIn; what was committed is what is sent.
func TestCompleteInRetryLoop(t *testing.T) {
	for name, lost := range map[string]error{
		"a serialization failure": errSerial, "it did not happen": errNotHappened, "it happened": errHappened,
	} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			db.commitErr = func(n int) error {
				if n == 1 {
					return lost
				}
				return nil
			}
			tries := 0
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				try := func() error {
					tries++
					must(semelhttp.Reset(w))
					tx := ownTx{db.begin()}
					defer tx.Rollback(q.Context())
					if err := semelhttp.LockIn(q.Context(), tx); err != nil {
						return err
					}
					must(tx.insert("paid"))
					fmt.Fprintf(w, "paid in try %d", tries)
					must(semelhttp.CompleteIn(q.Context(), w, tx))
					return tx.Commit(q.Context())
				}
				err := try()
				if errors.Is(err, lost) {
					err = try()
				}
				switch {
				case errors.Is(err, semel.ErrLost): // committed, or somebody else's: the middleware knows
				case err != nil:
					t.Errorf("got %v", err)
				}
			}, nil)
			first := r.post(secretKey, "x")
			want := "paid in try 2"
			if lost == errHappened { //nolint:errorlint // the table's own
				want = "paid in try 1"
			}
			if first.status != 200 || first.body != want || first.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("got %+v, want %s", first, want)
			}
			r.wantReplay(r.post(secretKey, "x"), first)
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}

// I8: under the lock of a transaction no answer leaves early, whatever its size: it
// may still be rolled back.
func TestLargeAnswerUnderALock(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, commits := range map[string]bool{"committed": true, "rolled back": false} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				tx := ownTx{db.begin()}
				must(semelhttp.LockIn(q.Context(), tx))
				must(tx.insert("row"))
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, long[:2000])
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, errors.ErrUnsupported) {
					panic(fmt.Sprint("flush: got ", err))
				}
				if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errors.ErrUnsupported) {
					panic(fmt.Sprint("hijack: got ", err))
				}
				_, _ = io.WriteString(w, long[2000:])
				must(semelhttp.CompleteIn(q.Context(), w, tx))
				if commits {
					must(tx.Commit(q.Context()))
					return
				}
				tx.Rollback(q.Context())
			}, func(c *semelhttp.Config) { c.MaxResponse, c.DeferEffects = 1500, true })
			first := r.post(secretKey, "x")
			if !commits {
				r.wantProblem(first, 500, semelhttp.ProblemNotCommitted)
				r.wantRows()
				return
			}
			if first.status != 201 || first.body != long {
				t.Errorf("got %d with %d bytes, want the whole answer", first.status, len(first.body))
			}
			d := r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
			if got := fmt.Sprint(d.Extra["original_status"]); got != "201" {
				t.Errorf("original status: got %s", got)
			}
			r.wantRuns(1)
			r.wantRows("row")
		})
	}
}

// A handler that has locked and rolled back, and refuses: its answer is kept as ever.
func TestLockInAndRefuse(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		tx := ownTx{db.begin()}
		must(semelhttp.LockIn(q.Context(), tx))
		tx.Rollback(q.Context())
		http.Error(w, "no money", http.StatusPaymentRequired)
	}, nil)
	first := r.post(secretKey, "x")
	if first.status != 402 {
		t.Errorf("got %+v", first)
	}
	r.wantReplay(r.post(secretKey, "x"), first)
	r.wantRuns(1)
}

// CompleteIn says why it cannot, and then what was written is not sent as if it had.
func TestCompleteInCannot(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(db *txStore, w http.ResponseWriter, q *http.Request) error
		want  string
	}{
		{"a short answer", func(db *txStore, w http.ResponseWriter, q *http.Request) error {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "12345")
			return semelhttp.CompleteIn(q.Context(), w, ownTx{db.begin()})
		}, "another length"},
		{"no final answer", func(db *txStore, w http.ResponseWriter, q *http.Request) error {
			w.WriteHeader(http.StatusSwitchingProtocols)
			return semelhttp.CompleteIn(q.Context(), w, ownTx{db.begin()})
		}, "final status"},
		{"a transaction of another store", func(_ *txStore, w http.ResponseWriter, q *http.Request) error {
			pay(w, q)
			return semelhttp.CompleteIn(q.Context(), w, ownTx{newTxStore().begin()})
		}, semel.ErrOtherStore.Error()},
		{"a context of another request", func(db *txStore, w http.ResponseWriter, q *http.Request) error {
			pay(w, q)
			must(semelhttp.LockIn(context.Background(), ownTx{db.begin()})) // does not know it yet
			return semelhttp.CompleteIn(context.Background(), w, ownTx{db.begin()})
		}, "context"},
		{"too large for the store", func(db *txStore, w http.ResponseWriter, q *http.Request) error {
			_, _ = io.WriteString(w, strings.Repeat("x", 3000))
			tx := ownTx{db.begin()}
			defer tx.Rollback(q.Context())
			return semelhttp.CompleteIn(q.Context(), w, tx)
		}, semel.ErrTooLarge.Error()},
		{"taken over", func(db *txStore, w http.ResponseWriter, q *http.Request) error {
			pay(w, q)
			claim := semel.FromContext(q.Context())
			must(db.base.Release(q.Context(), claim.Key(), claim.Token()))
			tx := ownTx{db.begin()}
			defer tx.Rollback(q.Context())
			return semelhttp.CompleteIn(q.Context(), w, tx)
		}, semel.ErrLost.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := newTxStore()
			db.room = 2000
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				if err := c.steps(db, w, q); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				w.(http.Flusher).Flush()
				http.Error(w, "sorry", http.StatusInternalServerError)
			}, nil)
			a := r.post(secretKey, "x")
			r.wantProblem(a, 409, semelhttp.ProblemOutcomeUnknown)
			if a.header.Get("Location") != "" {
				t.Errorf("got %+v, want nothing of its own", a)
			}
			r.wantRuns(1)
		})
	}
}

// A part of the answer has left: it cannot be completed any more, nor forgotten.
func TestCompleteInAfterFlush(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		for name, err := range map[string]error{
			"CompleteIn": semelhttp.CompleteIn(q.Context(), w, ownTx{db.begin()}),
			"Reset":      semelhttp.Reset(w),
		} {
			if err == nil || !strings.Contains(err.Error(), "sent") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		_, _ = io.WriteString(w, "two")
	}, nil)
	if a := r.post(secretKey, "x"); a.status != 200 || a.body != "one two" {
		t.Errorf("got %+v", a)
	}
}

// I3: what is kept is sent, and not what was frozen, when the two differ.
func TestFrozenAnswerThatIsNotTheKeptOne(t *testing.T) {
	for name, c := range map[string]struct {
		other bool // another attempt has kept it
		kept  semelhttp.Kept
		want  int
		body  string
	}{
		"the handler's":     {false, semelhttp.Kept{Status: 207, Body: []byte("theirs")}, 207, "theirs"},
		"another attempt's": {true, semelhttp.Kept{Status: 207, Body: []byte("theirs")}, 207, "theirs"},
		// Its blob is that of the frozen answer, which has not happened.
		"another attempt's, without bytes": {true, semelhttp.Kept{Status: 201, NotKept: true}, 410, "response_not_kept"},
	} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				ctx, claim := q.Context(), semel.FromContext(q.Context())
				tx := ownTx{db.begin()}
				must(claim.LockIn(ctx, tx))
				w.Header()["Content-Type"] = nil
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, strings.Repeat("mine", 100))
				must(semelhttp.CompleteIn(ctx, w, tx))
				tx.Rollback(ctx)
				kept, _ := c.kept.Encode()
				token := claim.Token()
				if c.other {
					must(db.base.Release(ctx, claim.Key(), token))
					token = semel.NewToken()
					_, err := db.base.Reserve(ctx, semel.Reservation{
						Key: claim.Key(), Fingerprint: claim.Fingerprint(), Token: token, Lease: time.Minute, Retention: time.Hour,
					})
					must(err)
				}
				must(db.base.Complete(ctx, semel.Completion{Key: claim.Key(), Token: token, Response: kept}))
			}, func(cfg *semelhttp.Config) { cfg.MaxResponse = 100 })
			a := r.post(secretKey, "x")
			if a.status != c.want || !strings.Contains(a.body, c.body) || strings.Contains(a.body, "mine") {
				t.Errorf("got %+v", a)
			}
			r.wantRuns(1)
			r.wantRows()
		})
	}
}

// A middleware between may wrap the writer if it says what it wraps. When it does not,
// the handler is told, and what it wrote is no outcome.
func TestCompleteInThroughAnotherWriter(t *testing.T) {
	for name, c := range map[string]struct {
		between func(http.Handler) http.Handler
		ok      bool
		locks   bool
	}{
		"with Unwrap": {func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapping{w}, r) })
		}, true, true},
		"without":             {hideWriter, false, true},
		"without, nor LockIn": {hideWriter, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			handler := c.between(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				tx := ownTx{db.begin()}
				defer tx.Rollback(q.Context())
				if c.locks {
					must(semelhttp.LockIn(q.Context(), tx))
				}
				must(tx.insert("paid"))
				pay(w, q)
				err := semelhttp.CompleteIn(q.Context(), w, tx)
				if !c.ok {
					if err == nil || !strings.Contains(err.Error(), "Unwrap") || semelhttp.Reset(w) == nil {
						t.Errorf("got %v", err)
					}
					return
				}
				must(err)
				must(tx.Commit(q.Context()))
			}))
			r := newOwnRig(t, db, handler.ServeHTTP, nil)
			first := r.post(secretKey, "x")
			if c.ok {
				r.wantReplay(r.post(secretKey, "x"), first)
				r.wantRows("paid")
				return
			}
			r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown) // and not of what it wrote
			r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
			r.wantRuns(1)
			r.wantRows()
		})
	}
}

// A hidden answer holds the key also where its transaction cannot have the lock.
func TestCompleteInOfAnotherStoreThroughAnotherWriter(t *testing.T) {
	r := newOwnRig(t, newTxStore(), hideWriter(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		pay(w, q)
		if semelhttp.CompleteIn(q.Context(), w, ownTx{newTxStore().begin()}) == nil {
			t.Error("got no error")
		}
	})).ServeHTTP, nil)
	r.post(secretKey, "x")
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
	r.wantRuns(1)
}

// Without an attempt the handler runs as ever, and Semel takes no part in it.
func TestCompleteInWithoutAKey(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		tx := payOwn(db, w, q)
		must(tx.Commit(q.Context()))
		_, _ = io.WriteString(w, " and more")
		if err := semelhttp.Reset(w); err == nil {
			t.Error("Reset: got no error")
		}
	}, func(c *semelhttp.Config) { c.Optional = true })
	for range 2 {
		if a := r.post("", "x"); a.status != 201 || !strings.HasSuffix(a.body, " and more") {
			t.Errorf("got %+v", a)
		}
	}
	r.wantRuns(2)
	r.wantRows("paid", "paid")
}

// When the handler has returned, nothing is forgotten any more.
func TestResetComesTooLate(t *testing.T) {
	writer := make(chan http.ResponseWriter, 1)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { writer <- w }, nil)
	r.post(secretKey, "x")
	if err := semelhttp.Reset(<-writer); err == nil {
		t.Error("got no error")
	}
}

// An attempt that has promised to have had no effect may be run again when it ends
// without an answer; one that has begun may not (docs/adr/0020).
func TestDeferEffects(t *testing.T) {
	for name, begins := range map[string]bool{"before the first effect": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			var r *txRig
			r = newOwnRig(t, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				c := semel.FromContext(q.Context())
				if !c.Deferred() {
					t.Error("nothing is deferred")
				}
				if begins {
					must(c.BeginEffects(q.Context()))
				}
				if r.runs.Load() == 1 {
					panic("boom")
				}
				pay(w, q)
			}, deferring)
			if a := r.post(secretKey, "x"); a.err == nil {
				t.Errorf("got %+v, want a cut connection", a)
			}
			again := r.post(secretKey, "x")
			if begins {
				r.wantProblem(again, 409, semelhttp.ProblemOutcomeUnknown)
				r.wantRuns(1)
				return
			}
			if again.status != 201 {
				t.Errorf("again: got %+v", again)
			}
			r.wantRuns(2)
		})
	}
}

// BeginEffects counts also when what is frozen was rolled back: what happened outside
// is not known.
func TestCompleteInAfterBeginEffects(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		must(semel.FromContext(q.Context()).BeginEffects(q.Context()))
		payOwn(db, w, q).Rollback(q.Context())
	}, deferring)
	for range 2 {
		r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
	}
	r.wantRuns(1)
}

// remembering is a writer that believes what it has written, as those of frameworks do.
type remembering struct {
	http.ResponseWriter
	reset int
}

func (w *remembering) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *remembering) ResetResponse()              { w.reset++ }

// Writers between the handler and the middleware forget what Reset takes back.
func TestResetTellsWritersBetween(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		lower := &remembering{ResponseWriter: w}
		upper := &remembering{ResponseWriter: lower}
		if err := semelhttp.Reset(upper); err != nil {
			t.Error(err)
		}
		if lower.reset != 1 || upper.reset != 1 {
			t.Errorf("told %d and %d times, want once each", upper.reset, lower.reset)
		}
	}, nil)
	r.post(secretKey, "x")
	r.wantRuns(1)
}
