package semelhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// endings are what handlers do that have locked their slot, and forget CompleteIn.
var endings = map[string]struct {
	end  func(w http.ResponseWriter, q *http.Request, tx ownTx)
	open bool // the transaction outlives the handler
	rows []string
}{
	"silent, rolled back": {end: func(_ http.ResponseWriter, q *http.Request, tx ownTx) { tx.Rollback(q.Context()) }},
	"201, rolled back":    {end: func(w http.ResponseWriter, q *http.Request, tx ownTx) { pay(w, q); tx.Rollback(q.Context()) }},
	"silent, left open":   {end: func(http.ResponseWriter, *http.Request, ownTx) {}, open: true},
	"201, left open":      {end: func(w http.ResponseWriter, q *http.Request, _ ownTx) { pay(w, q) }, open: true},
	"silent, committed":   {end: func(_ http.ResponseWriter, q *http.Request, tx ownTx) { must(tx.Commit(q.Context())) }, rows: []string{"paid"}},
	"201, committed": {end: func(w http.ResponseWriter, q *http.Request, tx ownTx) { pay(w, q); must(tx.Commit(q.Context())) }, rows: []string{
		"paid",
	}},
	"held, rolled back": {end: func(w http.ResponseWriter, q *http.Request, tx ownTx) {
		semel.FromContext(q.Context()).Settle(semel.Unknown)
		tx.Rollback(q.Context())
		pay(w, q)
	}},
}

// I7, I8: a handler that locks its slot, succeeds and has not completed in its transaction is not
// believed: whether its writes are committed nobody knows, so nothing of it is told, and
// nothing runs again, whatever its route has promised.
func TestLockInWithoutCompleteIn(t *testing.T) {
	for name, c := range endings {
		for _, deferred := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", deferred: ", deferred), func(t *testing.T) {
				db := newTxStore()
				left := make(chan ownTx, 1)
				r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
					tx := ownTx{db.begin()}
					must(semelhttp.LockIn(q.Context(), tx))
					must(tx.insert("paid"))
					c.end(w, q, tx)
					left <- tx
				}, func(c *semelhttp.Config) { c.DeferEffects = deferred })
				first := r.post(secretKey, "x")
				r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
				if first.header.Get("Location") != "" {
					t.Errorf("got %+v, want nothing of its own", first)
				}
				for _, want := range []string{"does not count", `reason="LockIn without CompleteIn"`} {
					if !strings.Contains(r.log.String(), want) {
						t.Errorf("%q is not in the log:\n%s", want, r.log)
					}
				}
				if strings.Contains(r.log.String(), "may still be open") != c.open {
					t.Errorf("the log says that it may still be open, want %v:\n%s", c.open, r.log)
				}
				(<-left).Rollback(t.Context())
				a := r.post(secretKey, "x")
				if a.status != 409 || a.header.Get("Idempotent-Replayed") != "" {
					t.Errorf("again: got %+v, want that nothing is known", a)
				}
				r.wantRuns(1)
				r.wantRows(c.rows...)
			})
		}
	}
}

// What such a handler refuses is kept as ever: it does not claim that anything has happened.
// So is what it says after it has asked what became of its transaction, and what it says of
// its end by itself.
func TestLockInAndAnswerOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, q *http.Request)
		status int
		again  bool // it runs again
	}{
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusConflict) }, 409, false},
		"a failure": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, 500, false},
		"confirmed": {func(w http.ResponseWriter, q *http.Request) {
			out, err := semel.FromContext(q.Context()).Confirm(q.Context())
			must(err)
			_, _ = io.WriteString(w, out.Kind.String())
		}, 200, false},
		"told to keep": {func(w http.ResponseWriter, q *http.Request) {
			semel.FromContext(q.Context()).Settle(semel.Keep)
			_, _ = io.WriteString(w, "nothing to do")
		}, 200, false},
		"told to free": {func(_ http.ResponseWriter, q *http.Request) { semel.FromContext(q.Context()).Settle(semel.Free) }, 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				tx := ownTx{db.begin()}
				must(semelhttp.LockIn(q.Context(), tx))
				tx.Rollback(q.Context())
				c.answer(w, q)
			}, deferring)
			first := r.post(secretKey, "x")
			if first.status != c.status {
				t.Errorf("got %+v, want %d", first, c.status)
			}
			again := r.post(secretKey, "x")
			if c.again {
				r.wantRuns(2)
				return
			}
			r.wantReplay(again, first)
			r.wantRuns(1)
		})
	}
}

// I8: a handler that completes by its claim, rolls back and succeeds all the same: that nothing
// is committed is known.
func TestClaimCompletedAndRolledBack(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		r := paysNext(t, deferred, func(w http.ResponseWriter, q *http.Request, tx ownTx) {
			must(semelhttp.LockIn(q.Context(), tx))
			must(tx.insert("paid"))
			must(semel.FromContext(q.Context()).CompleteIn(q.Context(), tx, semel.Response{Status: 201}))
			tx.Rollback(q.Context())
			pay(w, q)
		})
		first := r.post(secretKey, "x")
		if deferred {
			r.wantNothingHappened(first)
			continue
		}
		r.wantProblem(first, 409, semelhttp.ProblemOutcomeUnknown)
		r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
		r.wantRows()
	}
}

// stubborn is a store that ends no promise as long as it is told so.
type stubborn struct {
	*txStore
	refuses chan bool // full while it refuses
	asked   chan struct{}
}

func (s stubborn) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	if len(s.refuses) > 0 {
		return errBroken
	}
	return s.txStore.BeginEffects(ctx, key, token)
}

// I7: that the promise does not hold may have to be written down later. The lease stands until
// then, or the next attempt would run by it.
func TestLockInWithoutCompleteInWhileTheStoreFails(t *testing.T) {
	db := stubborn{newTxStore(), make(chan bool, 1), make(chan struct{}, 1)}
	db.refuses <- true
	r := newRigOn(t, db, semel.Config{}, func(w http.ResponseWriter, q *http.Request) {
		claim := semel.FromContext(q.Context())
		tx := inStubborn{ownTx{db.begin()}}
		must(claim.LockIn(q.Context(), tx))
		must(tx.insert("paid"))
		pay(w, q)
		must(tx.Commit(q.Context()))
	}, deferring)
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemInFlight) // and does not run
	<-db.refuses
	for range 2 { // at first, and in the background
		select {
		case <-db.asked:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody ends the promise")
		}
	}
	r.wantRuns(1)
}

// inStubborn makes a transaction one of a stubborn store.
type inStubborn struct{ ownTx }

func (x inStubborn) Steps(semel.Store) (semel.TxSteps, error) { return x.dbTx, nil }
