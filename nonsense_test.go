package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// A panic of the store goes on in the goroutine of the caller, where a server
// can catch it, and not in one of the engine's, where it would end the process.
// What the step did is unknown, so the key is held.
func TestPanicOfTheStore(t *testing.T) {
	for _, step := range []semel.Step{semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := newWitness(t)
				e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Observe: seen.observe})
				c := reserve(t, e, call("order-1", "x"))
				w.set(nil, at(step, func() error { panic("a bug in the driver") }))
				func() {
					defer func() {
						if got := fmt.Sprint(recover()); !strings.Contains(got, "a bug in the driver") || !strings.Contains(got, "nonsense_test.go") {
							t.Errorf("got panic %s, want the store's with its stack", got)
						}
					}()
					switch step {
					case semel.StepReserve:
						_, _ = e.Begin(t.Context(), call("order-2", "x"))
					case semel.StepComplete:
						_ = c.Complete(t.Context(), answer("paid"))
					case semel.StepRelease:
						_ = c.Release(t.Context())
					case semel.StepAbandon:
						c.Abandon(t.Context())
					case semel.StepRenew, semel.StepRecover, semel.StepPurge, semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSweep, semel.StepSeal, semel.StepOpen, semel.StepWait, semel.StepPoll:
					}
				}()
				if got := seen.take(step); got[len(got)-1].Err == nil {
					t.Errorf("got the event %+v, want an error", got[len(got)-1])
				}
				w.heal()
				time.Sleep(lapse)
				if step == semel.StepReserve {
					wantUnknown(t, begin(t, e, call("order-2", "x")))
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
