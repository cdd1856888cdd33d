package semel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// keyless is a sealer that works until it is told not to.
type keyless struct {
	*gcm
	open error
}

func (f *keyless) Open(aad, sealed []byte) ([]byte, error) {
	if f.open != nil {
		return nil, f.open
	}
	return f.gcm.Open(aad, sealed)
}

var errForeign = errors.New("sealed under a key that is not here")

// What does not open is reported to the caller with the ref, and to the observer; no fn ever
// runs again, whatever the policy. When the key is there again, the value is.
func TestUnopenedIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		damaged bool
	}{
		"damaged or foreign":     {errForeign, true},
		"the key is not at hand": {semel.ErrKeyUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t := in.T
				sealer, seen := &keyless{gcm: newGCM(t)}, newWitness(t)
				b := newBank(t)
				e, s := b.teller(t, semel.Config{Sealer: sealer, Observe: seen.observe, Lapsed: semel.Rerun})
				ran := 0
				fn := func(context.Context) (int, error) { ran++; return 7, nil }
				do := map[string]func() (semel.Result[int], error){
					"Do": func() (semel.Result[int], error) { return semel.Do(t.Context(), e, semel.Call{Key: secretKey}, fn) },
					"DoTx": func() (semel.Result[int], error) {
						return semel.DoTx(t.Context(), e, semel.Call{Key: secretKey}, s.mode(in.TxMode), fn)
					},
				}
				if _, err := do["DoTx"](); err != nil {
					t.Fatal(err)
				}
				if got := seen.take(semel.StepSeal); len(got) != 1 || got[0].Err != nil {
					t.Errorf("got %+v of sealing, want one event", got)
				}
				sealer.open = c.err
				for which, call := range do {
					got, err := call()
					wantError(t, err, c.err)
					if errors.Is(err, semel.ErrDamaged) != c.damaged || got != (semel.Result[int]{}) || !strings.Contains(err.Error(), e.Ref(secretKey)) || leaks(err.Error()) {
						t.Errorf("%s: got %+v, %v, want nothing but an error with the ref", which, got, err)
					}
					events := seen.take(semel.StepOpen)
					if len(events) != 1 || !errors.Is(events[0].Err, c.err) {
						t.Errorf("%s: got %+v of opening, want the error", which, events)
					}
				}
				sealer.open = nil
				for which, call := range do {
					if got, err := call(); err != nil || got.Value != 7 || !got.Replayed {
						t.Errorf("%s: got %+v, %v, want the value that was kept", which, got, err)
					}
				}
				if ran != 1 {
					t.Errorf("fn ran %d times, want once", ran)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// I8: a value that cannot be sealed is rolled back with its transaction, and observed: the
// next call runs.
func TestUnsealedRollsBack(t *testing.T) {
	inModes(t, func(in modal) {
		t := in.T
		sealer, seen := newGCM(t), newWitness(t)
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Sealer: sealer, Observe: seen.observe})
		sealer.broken = errForeign
		fn := func(ctx context.Context) (int, error) {
			return 7, cashierOf(ctx).pay(semel.FromContext(ctx).Key(), "alice", "bob", 10)
		}
		_, err := semel.DoTx(t.Context(), e, call("order-1", "x"), s.mode(in.TxMode), fn)
		wantError(t, err, errForeign)
		if got := seen.take(semel.StepSeal); len(got) == 0 || !errors.Is(got[0].Err, errForeign) {
			t.Errorf("got %+v of sealing, want the error", got)
		}
		b.wantPaid(t, call("order-1", "x").Key, 0)
		sealer.broken = nil
		if got, err := semel.DoTx(t.Context(), e, call("order-1", "x"), s.mode(in.TxMode), fn); err != nil || got.Replayed {
			t.Errorf("got %+v, %v, want that it runs", got, err)
		}
		b.wantPaid(t, call("order-1", "x").Key, 1)
		time.Sleep(time.Second)
	})
}

// A sealer that panics is told to the observer, and leaves nothing half done.
func TestSealerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Sealer: panicking{}, Observe: seen.observe})
		c := reserve(t, e, call("order-1", "x"))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_ = c.Complete(t.Context(), answer("paid"))
		}()
		if got := seen.take(semel.StepSeal); len(got) != 1 || got[0].Err == nil {
			t.Errorf("got %+v, want an error", got)
		}
		time.Sleep(lapse)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
	})
}

type panicking struct{}

func (panicking) Seal(_, _ []byte) ([]byte, error) { panic("a bug in the sealer") }
func (panicking) Open(_, _ []byte) ([]byte, error) { panic("a bug in the sealer") }

// unready is a sealer that knows beforehand that it cannot seal.
type unready struct {
	*gcm
	why  error
	slow time.Duration
}

func (u *unready) Prepare() error { time.Sleep(u.slow); return u.why }

// I1, I7: nothing runs whose answer could not be sealed. The slot is given back, and one whose
// outcome is unknown stays so; what is kept is replayed all the while.
func TestUnreadySealer(t *testing.T) {
	inModes(t, func(in modal) {
		t := in.T
		sealer := &unready{gcm: newGCM(t)}
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Sealer: sealer, Lapsed: semel.Recover, Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{Verdict: semel.NotExecuted}, nil
		}})
		ran := 0
		fn := func(context.Context) (int, error) { ran++; return 7, nil }
		tx := func(id string) (semel.Result[int], error) {
			return semel.DoTx(t.Context(), e, call(id, "x"), s.mode(in.TxMode), fn)
		}
		do := func(id string) (semel.Result[int], error) { return semel.Do(t.Context(), e, call(id, "x"), fn) }
		if _, err := do("kept"); err != nil {
			t.Fatal(err)
		}
		reserve(t, e, call("lapsed", "x")).Abandon(t.Context())

		sealer.why = semel.ErrKeyUnavailable
		for _, id := range []string{"tx", "do", "lapsed"} {
			call := do
			if id == "tx" {
				call = tx
			}
			_, err := call(id)
			wantError(t, err, semel.ErrKeyUnavailable)
		}
		if got, err := tx("kept"); err != nil || !got.Replayed {
			t.Errorf("got %+v, %v, want the kept value", got, err)
		}
		if ran != 1 {
			t.Errorf("fn ran %d times, want once", ran)
		}
		time.Sleep(time.Second) // it is given back in the background
		if got := raw(t, b.records, call("lapsed", "x").Key); got.State != semel.StateReserved {
			t.Errorf("got %v of the slot whose outcome is unknown", got.State)
		}
		sealer.why = nil
		for _, id := range []string{"tx", "do", "lapsed"} {
			if got, err := do(id); err != nil || got.Replayed {
				t.Errorf("%s: got %+v, %v, want that it runs", id, got, err)
			}
		}
	})
}

// I1: a sealer that is ready when the lease is nearly over is not: nobody runs without a lease.
func TestSlowSealer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sealer := &unready{gcm: newGCM(t), slow: semel.DefaultLease * 5 / 6}
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Sealer: sealer})
		_, err := e.Begin(t.Context(), call("order-1", "x"))
		wantError(t, err, semel.ErrKeyUnavailable)
		time.Sleep(time.Second)
		sealer.slow = 0
		reserve(t, e, call("order-1", "x"))
	})
}
