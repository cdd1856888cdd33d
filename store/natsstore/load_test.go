package natsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// ledger is what the workers of a load were told.
type ledger struct {
	mu        sync.Mutex
	completed map[string]semel.Response
	reserved  map[string]semel.Token
	deferred  map[string]bool // of those that run for ever: whether they have not begun
}

func answerOf(id string) semel.Response {
	return semel.Response{Status: 201, Header: []byte("of " + id), Body: bytes.Repeat([]byte(id), 20)}
}

func request(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "load", ID: id}, Fingerprint: semel.FingerprintOf([]byte(id)), Token: semel.NewToken(),
		Lease: time.Hour, Retention: 24 * time.Hour, Owner: "host/1",
	}
}

// insist repeats a step with the same token, as the engine does, until it is
// done or refused.
func insist(t *testing.T, step func() error) error {
	t.Helper()
	var err error
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if err = step(); err == nil || errors.Is(err, semel.ErrLost) {
			return err
		}
	}
	return fmt.Errorf("not done in a minute: %w", err)
}

// work reserves and completes one key after another until stop is closed, and
// writes down what was acknowledged.
func (l *ledger) work(t *testing.T, s *natsstore.Store, worker int, stop <-chan struct{}, done *atomic.Int64) {
	t.Helper()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		r := request(fmt.Sprintf("%d/%d", worker, n))
		r.Deferred = n%4 == 3
		id := r.Key.ID
		var held semel.Record
		err := insist(t, func() (err error) {
			held, err = s.Reserve(t.Context(), r)
			return err
		})
		if err != nil || held.Token != r.Token {
			t.Errorf("reserve %s: got it held by %v, error %v, want %v (I11)", id, held.Token, err, r.Token)
			return
		}
		l.mu.Lock()
		l.reserved[id] = r.Token
		l.mu.Unlock()
		if n%4 == 3 { // in flight for ever
			if begins := n%8 == 3; begins {
				if err := insist(t, func() error { return s.BeginEffects(t.Context(), r.Key, r.Token) }); err != nil {
					t.Errorf("begin effects %s: %v (I11)", id, err)
					return
				}
			}
			l.mu.Lock()
			l.deferred[id] = n%8 != 3
			l.mu.Unlock()
			continue
		}
		c := semel.Completion{Key: r.Key, Token: r.Token, Response: answerOf(id), Retention: r.Retention}
		if err := insist(t, func() error { return s.Complete(t.Context(), c) }); err != nil {
			t.Errorf("complete %s: %v (I11)", id, err)
			return
		}
		l.mu.Lock()
		l.completed[id] = c.Response
		l.mu.Unlock()
		done.Add(1)
	}
}

// contend lets workers own one slot by turns.
func contend(t *testing.T, s semel.Store, owner *atomic.Pointer[semel.Token], fence *atomic.Int64, stop <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-stop:
			return
		default:
		}
		r := request("hot")
		var held semel.Record
		err := insist(t, func() (err error) {
			held, err = s.Reserve(t.Context(), r)
			return err
		})
		if err != nil {
			t.Errorf("reserve: %v", err)
			return
		}
		if held.Token != r.Token {
			continue
		}
		if !owner.CompareAndSwap(nil, &r.Token) {
			t.Error("two owners of one slot (I1)")
			return
		}
		if last := fence.Swap(held.Fence); held.Fence <= last {
			t.Errorf("got fence %d after %d (I6)", held.Fence, last)
		}
		owner.Store(nil)
		// A release whose answer was lost may be told as lost when it is repeated.
		if err := insist(t, func() error { return s.Release(t.Context(), r.Key, r.Token) }); err != nil && !errors.Is(err, semel.ErrLost) {
			t.Errorf("release: %v", err)
			return
		}
	}
}

// check compares what the store has with what was acknowledged.
func (l *ledger) check(t *testing.T, s *natsstore.Store) {
	t.Helper()
	kept := make(map[string]semel.Record)
	if err := insist(t, func() error { // replies are lost, these too
		for rec, err := range s.List(t.Context(), semel.Filter{Scope: "load", Bodies: true}) {
			if err != nil {
				return err
			}
			kept[rec.Key.ID] = rec
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for id, token := range l.reserved {
		if got := kept[id]; got.Token != token {
			t.Errorf("%s: got a %v record of %v, want one of %v (I10)", id, got.State, got.Token, token)
		}
	}
	for id, want := range l.deferred {
		if got := kept[id]; got.Deferred != want {
			t.Errorf("%s: got a %v record, deferred %v, want %v (I7, I10)", id, got.State, got.Deferred, want)
		}
	}
	for id, want := range l.completed {
		got := kept[id].Response
		if got.Status != want.Status || !bytes.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body) {
			t.Errorf("%s: got another response than was kept (I3, I10)", id)
		}
	}
}

// load runs workers on the store while disturb disturbs the servers. Between
// two disturbances some steps get through: service is restored by itself (L4).
func load(t *testing.T, s *natsstore.Store, disturbances int, disturb func(round int)) {
	t.Helper()
	l := &ledger{completed: make(map[string]semel.Response), reserved: make(map[string]semel.Token), deferred: make(map[string]bool)}
	var (
		wg    sync.WaitGroup
		done  atomic.Int64
		owner atomic.Pointer[semel.Token]
		fence atomic.Int64
	)
	stop := make(chan struct{})
	for worker := range 8 {
		wg.Go(func() { l.work(t, s, worker, stop, &done) })
	}
	for range 3 {
		wg.Go(func() { contend(t, s, &owner, &fence, stop) })
	}
	progress := func() {
		before := done.Load()
		natstest.Poll(t, "steps get through (L4)", func() error {
			if n := done.Load() - before; n < 100 && !t.Failed() {
				return fmt.Errorf("%d completions", n)
			}
			return nil
		})
	}
	progress()
	for round := range disturbances {
		disturb(round)
		progress()
	}
	close(stop)
	wg.Wait()
	l.check(t, s)
	t.Logf("%d reservations, %d completions, fence %d", len(l.reserved), len(l.completed), fence.Load())
}
