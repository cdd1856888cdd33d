package semelhttp_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// rot13 is a sealer that can be made to fail. It shows who reads what a store has.
type rot13 struct {
	mu         sync.Mutex
	seal, open error
}

func (s *rot13) set(seal, open error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal, s.open = seal, open
}

func turned(b []byte, err error) ([]byte, error) {
	b = bytes.Clone(b)
	for i := range b {
		b[i] ^= 0x55
	}
	return b, err
}

func (s *rot13) Seal(_, plain []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return turned(plain, s.seal)
}

func (s *rot13) Open(_, sealed []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return turned(sealed, s.open)
}

// sealedRig is a rig whose kept answers are sealed.
type sealedRig struct {
	*testing.T
	*rig
	sealer *rot13
	seen   func() []error // the errors of opening that an observer saw
}

// onSealedRigs runs a test without transactions, and in each mode.
func onSealedRigs(t *testing.T, test func(in sealedRig)) {
	t.Helper()
	for name, mode := range map[string]semel.TxMode{"plain": 255, "claim": semel.ClaimTx, "single": semel.SingleTx} {
		t.Run(name, func(t *testing.T) {
			s := &rot13{}
			var mu sync.Mutex
			var errs []error
			ec := semel.Config{Sealer: s, Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
				return ctx, func(ev semel.Event) {
					mu.Lock()
					defer mu.Unlock()
					if op.Step == semel.StepOpen && ev.Err != nil {
						errs = append(errs, ev.Err)
					}
				}
			}}
			r := func() *rig {
				if mode == 255 {
					return newRigOn(t, memstore.New(memstore.Config{}), ec, pay, nil)
				}
				db := newTxStore()
				return newRigOn(t, db, ec, payInTx, func(c *semelhttp.Config) { c.Tx = transactions{db, mode} })
			}()
			test(sealedRig{t, r, s, func() []error { mu.Lock(); defer mu.Unlock(); return errs }})
		})
	}
}

// onlyKey is the key of the only record, as it is stored.
func onlyKey(t *testing.T, r *rig) semel.Key {
	t.Helper()
	store, ok := r.store.(*memstore.Store)
	if !ok {
		store = r.store.(*txStore).base
	}
	for rec, err := range store.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		return rec.Key
	}
	t.Fatal("there is no record")
	return semel.Key{}
}

var errForeign = errors.New("sealed under a key that is not here")

// I3: a kept answer that does not open is a 500 that names the record, a line in the log
// and an event. It never runs again, and is replayed when it opens again.
func TestUnopenedAnswer(t *testing.T) {
	onSealedRigs(t, func(in sealedRig) {
		t, r, s := in.T, in.rig, in.sealer
		first := r.post(secretKey, "x")
		s.set(nil, errForeign)
		ref := r.engine.Ref(onlyKey(t, r))
		for i := range 2 {
			a := r.post(secretKey, "x")
			d := r.wantProblem(a, 500, semelhttp.ProblemRecordDamaged)
			if d.Extra["ref"] != ref || d.Retryable || !d.ReuseKey || strings.Contains(a.body, "paid") || strings.Contains(a.body, errForeign.Error()) {
				t.Errorf("got %+v, want the ref, and neither the answer nor the cause", a)
			}
			if got := in.seen(); len(got) != i+1 || !errors.Is(got[i], errForeign) || !errors.Is(got[i], semel.ErrDamaged) {
				t.Errorf("got the events %v", got)
			}
		}
		if log := r.log.String(); !strings.Contains(log, "ref="+ref) || !strings.Contains(log, errForeign.Error()) {
			t.Errorf("got log %s, want the ref and the cause", log)
		}
		s.set(nil, nil)
		if a := r.post(secretKey, "x"); a.status != first.status || a.body != first.body || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("got %+v, want the replay of %+v", a, first)
		}
		r.wantRuns(1)
	})
}

// While the key service is down a retry is told to come again, in words that are true, and
// nothing runs again.
func TestKeyServiceIsDown(t *testing.T) {
	onSealedRigs(t, func(in sealedRig) {
		t, r, s := in.T, in.rig, in.sealer
		r.post(secretKey, "x")
		s.set(nil, semel.ErrKeyUnavailable)
		a := r.post(secretKey, "x")
		d := r.wantProblem(a, 503, semelhttp.ProblemStoreUnavailable)
		if a.header.Get("Retry-After") != "1" || strings.Contains(d.Detail, "Nothing was done") || !d.Retryable || !d.ReuseKey {
			t.Errorf("got %+v", a)
		}
		if got := in.seen(); len(got) != 1 || !errors.Is(got[0], semel.ErrKeyUnavailable) || errors.Is(got[0], semel.ErrDamaged) {
			t.Errorf("got the events %v", got)
		}
		s.set(nil, nil)
		if a := r.post(secretKey, "x"); a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("got %+v, want a replay", a)
		}
		r.wantRuns(1)
	})
}

// I14: an answer that cannot be sealed is never stored in clear. Without a transaction it is true
// and goes out marked; with one nothing has happened, and the next try runs.
func TestUnsealedAnswer(t *testing.T) {
	onSealedRigs(t, func(in sealedRig) {
		t, r, s := in.T, in.rig, in.sealer
		s.set(errForeign, nil)
		a := r.post(secretKey, "x")
		if _, plain := r.store.(*memstore.Store); plain {
			if a.status != 201 || a.header.Get("Semel-Stored") != "false" {
				t.Errorf("got %+v, want the answer, marked", a)
			}
			r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemInFlight)
			r.wantRuns(1)
			return
		}
		r.wantProblem(a, 503, semelhttp.ProblemStoreUnavailable)
		s.set(nil, nil)
		if a := r.post(secretKey, "x"); a.status != 201 || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("got %+v, want that it runs", a)
		}
		r.wantRuns(2)
	})
}

// I1, I13: with hashed keys a request is found by what the client sends, in every mode, and two
// middlewares around one handler are one attempt.
func TestHashedKeys(t *testing.T) {
	ec := semel.Config{HashKeys: true, Secret: make(semel.Secret, 32)}
	for name, mode := range map[string]semel.TxMode{"plain": 255, "claim": semel.ClaimTx, "single": semel.SingleTx} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			handler := pay
			twice := func(w http.ResponseWriter, q *http.Request) { r.mw.Wrap(http.HandlerFunc(handler)).ServeHTTP(w, q) }
			if mode == 255 {
				r = newRigOn(t, memstore.New(memstore.Config{}), ec, twice, nil)
			} else {
				db := newTxStore()
				handler = payInTx
				r = newRigOn(t, db, ec, twice, func(c *semelhttp.Config) { c.Tx = transactions{db, mode} })
			}
			first, second := r.post(secretKey, "x"), r.post(secretKey, "x")
			if first.status != 201 || second.body != first.body || second.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("got %+v, then %+v", first, second)
			}
			r.wantProblem(r.post(secretKey, "y"), 422, semelhttp.ProblemKeyConflict)
			r.wantRuns(1)
		})
	}
}

// A refusal names the record as it is stored, so that an operator finds it.
func TestHashedKeysInRefusals(t *testing.T) {
	r := newRigOn(t, memstore.New(memstore.Config{}), semel.Config{HashKeys: true, Secret: make(semel.Secret, 32)},
		func(w http.ResponseWriter, q *http.Request) {
			semel.FromContext(q.Context()).Settle(semel.Unknown)
			pay(w, q)
		}, nil)
	r.post(secretKey, "x")
	d := r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
	if ref := d.Extra["ref"]; ref != r.engine.Ref(onlyKey(t, r)) {
		t.Errorf("got the ref %v, want that of the stored key", ref)
	}
}
