package semelhttp_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// I7, I8: after a transaction that had ended before its record was in it nobody knows what has
// happened, whatever the handler says next: neither is that kept, nor is the key free.
func TestEndedWhateverIsSaid(t *testing.T) {
	for _, status := range []int{200, 402, 500, 502, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			db := newTxStore()
			r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
				tx := ownTx{db.begin()}
				must(semelhttp.LockIn(q.Context(), tx))
				must(tx.insert("paid"))
				pay(w, q)
				must(tx.Commit(q.Context()))
				if err := semelhttp.CompleteIn(q.Context(), w, endedTx{tx}); !errors.Is(err, semel.ErrTxEnded) {
					t.Errorf("CompleteIn: got %v, want ErrTxEnded", err)
				}
				must(semelhttp.Reset(w))
				http.Error(w, "it failed", status)
			}, deferring)
			for range 2 {
				r.wantProblem(r.post(secretKey, "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
			}
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}

// unlockableTx is one that is over: nothing can be locked in it.
type unlockableTx struct{ ownTx }

func (x unlockableTx) Steps(semel.Store) (semel.TxSteps, error) { return nil, errors.New("it is over") }

// I7, I8: an answer that is hidden from CompleteIn is not sent either when its transaction is
// over already, and may have been committed.
func TestHiddenAndOver(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, hideWriter(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		tx := ownTx{db.begin()}
		must(tx.insert("paid"))
		pay(w, q)
		must(tx.Commit(q.Context()))
		if semelhttp.CompleteIn(q.Context(), w, unlockableTx{tx}) == nil {
			t.Error("CompleteIn: got no error")
		}
	})).ServeHTTP, deferring)
	for range 2 {
		r.wantProblem(r.post(secretKey, "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
	}
	r.wantRuns(1)
	r.wantRows("paid")
}

// I7: an attempt whose route promises that it has no effect but in its transaction, and that
// lost its slot before, has done nothing. Its client is told of the attempt that works, not
// that nobody knows.
func TestLostWhileAnotherWorks(t *testing.T) {
	db := newTxStore()
	r := newOwnRig(t, db, func(_ http.ResponseWriter, q *http.Request) {
		ctx, claim := q.Context(), semel.FromContext(q.Context())
		must(db.Release(ctx, claim.Key(), claim.Token()))
		_, err := db.Reserve(ctx, semel.Reservation{
			Key: claim.Key(), Fingerprint: claim.Fingerprint(), Token: semel.NewToken(), Lease: time.Hour, Retention: time.Hour, Deferred: true,
		})
		must(err)
		tx := ownTx{db.begin()}
		defer tx.Rollback(ctx)
		if err := semelhttp.LockIn(ctx, tx); !errors.Is(err, semel.ErrLost) {
			t.Errorf("LockIn: got %v, want ErrLost", err)
		}
	}, deferring)
	r.wantProblem(r.post(secretKey, "x"), http.StatusConflict, semelhttp.ProblemInFlight)
	r.wantRuns(1)
}

// I7: the store fails while it is asked what has become of a transaction, and then says that it
// was rolled back. An attempt that promised no effect but in it has done nothing.
func TestRolledBackIsFoundOutLate(t *testing.T) {
	db := newTxStore()
	asked := 0
	db.lookErr = func() error {
		if asked++; asked == 1 {
			return errors.New("the store has fallen")
		}
		return nil
	}
	r := newOwnRig(t, db, func(w http.ResponseWriter, q *http.Request) {
		tx := payOwn(db, w, q)
		tx.Rollback(q.Context())
		must(semelhttp.Reset(w))
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}, deferring)
	r.wantProblem(r.post(secretKey, "x"), http.StatusInternalServerError, semelhttp.ProblemNotCommitted)
	r.wantRows()
}
