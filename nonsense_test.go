package semel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// oddStore answers what no store may answer.
type oddStore struct {
	semel.Store
	change func(*semel.Record)
}

func (s oddStore) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	held, err := s.Store.Reserve(ctx, r)
	s.change(&held)
	return held, err
}

// oddImmediate does so without a wire.
type oddImmediate struct{ oddStore }

func (oddImmediate) Immediate() {}

// A store that answers nonsense is a failure, on every path, and nobody runs.
func TestNonsenseOfTheStore(t *testing.T) {
	for name, change := range map[string]func(*semel.Record){
		"a free slot":         func(r *semel.Record) { r.State = semel.StateFree },
		"no such state":       func(r *semel.Record) { r.State = semel.StateCompleted + 1 },
		"another fingerprint": func(r *semel.Record) { r.Fingerprint[0]++ },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := newWitness(t)
				for _, cfg := range []semel.Config{{}, {Observe: seen.observe}} {
					store := memstore.New(memstore.Config{})
					e := newEngine(t, oddImmediate{oddStore{store, change}}, cfg)
					out, err := e.Begin(t.Context(), call("order-1", "x"))
					var failed *semel.StoreError
					if !errors.As(err, &failed) || out.Claim != nil || out.Kind != 0 {
						t.Errorf("got %v, %v, want a StoreError", out.Kind, err)
					}
				}
				if got := seen.take(semel.StepReserve); len(got) != 1 || got[0].Err == nil {
					t.Errorf("got events %+v, want one with an error", got)
				}
			})
		})
	}
}

// I7: a store that takes over although nobody asked for it: what it says is
// unknown stays unknown under hold.
func TestTakeOverThatNobodyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e := newEngine(t, oddImmediate{oddStore{store, func(r *semel.Record) { r.Lapses = 1 }}}, semel.Config{})
		wantUnknown(t, begin(t, e, call("order-1", "x")))
	})
}
