//go:build unix

package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// TestEngine lets clients retry against an engine on each store, under the policy
// Hold, while everything fails that can: no key runs twice (I7), and whatever a
// client is told is what every other one is told (I3).
func TestEngine(t *testing.T) {
	for _, r := range rigs {
		t.Run(r.name, func(t *testing.T) {
			n := seed(t)
			rig := r.open(t)
			rounds := 1
			if long() {
				rounds = 12
			}
			engine, err := semel.New(rig.Store, semel.Config{Lease: time.Second, Margin: 50 * time.Millisecond, MaxRun: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			shop := &shop{engine: engine, scope: fmt.Sprintf("engine %d", n)}
			ctx, cancel := context.WithCancel(t.Context())
			var clients sync.WaitGroup
			for range 12 {
				clients.Go(func() { shop.visit(ctx) })
			}
			Nemesis(ctx, rand.New(rand.NewPCG(n, 0)), rig.Faults(t), rounds)
			cancel()
			clients.Wait()
			rig.WaitUntilServing(t)
			closing, done := context.WithTimeout(context.Background(), time.Minute)
			defer done()
			if err := engine.Close(closing); err != nil {
				t.Error(err)
			}
			shop.check(t, rig.Name, n)
		})
	}
}

// shop sells numbers: each order should be given one.
type shop struct {
	engine *semel.Engine
	scope  string
	next   atomic.Int64
	orders sync.Map // order number -> *order
}

// order is what is known of one key.
type order struct {
	effects atomic.Int64
	mu      sync.Mutex
	told    map[string]int
	failed  int // handlers that said nothing happened, or did not say
}

// visit sends orders, each by several clients at once and again and again.
func (s *shop) visit(ctx context.Context) {
	for ctx.Err() == nil {
		// The number moves on with time, so that all clients send the same orders.
		id := int(s.next.Add(1) / 40)
		o, _ := s.orders.LoadOrStore(id, &order{told: make(map[string]int)})
		s.send(ctx, id, o.(*order))
		time.Sleep(time.Millisecond)
	}
}

// send is one request. The handler has one effect and now and then a failure
// after it, or none and says so.
func (s *shop) send(ctx context.Context, id int, o *order) {
	call := semel.Call{Key: semel.Key{Scope: s.scope, ID: fmt.Sprint(id)}, Fingerprint: requests[0]}
	got, err := semel.Do(ctx, s.engine, call, func(context.Context) (string, error) {
		if rand.IntN(4) == 0 {
			return "", semel.Retryable(errLine)
		}
		n := o.effects.Add(1)
		if rand.IntN(10) == 0 {
			return "", errLine // nobody knows what happened: the key is held
		}
		return fmt.Sprintf("order %d, effect %d", id, n), nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.failed++
		return
	}
	o.told[got.Value]++
}

func (s *shop) check(t *testing.T, store string, seed uint64) {
	t.Helper()
	var orders, effects, told, failed, replayed int
	s.orders.Range(func(id, value any) bool {
		o := value.(*order)
		orders++
		n := int(o.effects.Load())
		effects += n
		failed += o.failed
		if n > 1 {
			t.Errorf("I7: order %v had %d effects", id, n)
		}
		if len(o.told) > 1 {
			t.Errorf("I3: order %v was answered in %d ways", id, len(o.told))
		}
		for _, times := range o.told {
			told++
			replayed += times - 1
		}
		return true
	})
	t.Logf("%s, engine under hold, every fault, seed %d: %d orders, %d effects, %d answered, %d replays, %d requests failed or refused",
		store, seed, orders, effects, told, replayed, failed)
	if effects == 0 || replayed == 0 || failed == 0 {
		t.Error("the run proves nothing")
	}
}
