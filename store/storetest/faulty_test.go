package storetest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

var errInjected = errors.New("injected")

func failing(want semel.Step) func(semel.Step) error {
	return func(step semel.Step) error {
		if step == want {
			return errInjected
		}
		return nil
	}
}

func asked() semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "scope", ID: "id"}, Fingerprint: semel.Fingerprint{1}, Token: semel.NewToken(),
		Lease: time.Minute, Retention: time.Hour,
	}
}

// Before: the step fails and did not happen. After: it fails and did happen.
func TestFaultyBeforeAndAfter(t *testing.T) {
	r := asked()
	r.Deferred = true
	holder := []semel.Holder{{Key: r.Key, Token: r.Token}}
	ctx := t.Context()
	for _, c := range []struct {
		step semel.Step
		run  func(*storetest.Faulty) error
	}{
		{semel.StepReserve, func(f *storetest.Faulty) error { _, err := f.Reserve(ctx, r); return err }},
		{semel.StepComplete, func(f *storetest.Faulty) error {
			return f.Complete(ctx, semel.Completion{Key: r.Key, Token: r.Token})
		}},
		{semel.StepRelease, func(f *storetest.Faulty) error { return f.Release(ctx, r.Key, r.Token) }},
		{semel.StepAbandon, func(f *storetest.Faulty) error { _, err := f.Renew(ctx, 0, holder); return err }},
		{semel.StepRenew, func(f *storetest.Faulty) error { _, err := f.Renew(ctx, time.Hour, holder); return err }},
		{semel.StepBeginEffects, func(f *storetest.Faulty) error { return f.BeginEffects(ctx, r.Key, r.Token) }},
	} {
		inner := memstore.New(memstore.Config{})
		if c.step != semel.StepReserve {
			if _, err := inner.Reserve(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		if c.step == semel.StepRenew { // from a lease that is over, so that the renewal shows
			if _, err := inner.Renew(ctx, 0, holder); err != nil {
				t.Fatal(err)
			}
		}
		before := only(t, inner)
		if err := c.run(&storetest.Faulty{Store: inner, Before: failing(c.step)}); !errors.Is(err, errInjected) {
			t.Errorf("%s: before: got error %v, want the injected one", c.step, err)
		}
		if got := only(t, inner); got != before {
			t.Errorf("%s: before: got %+v, want no change from %+v", c.step, got, before)
		}
		if err := c.run(&storetest.Faulty{Store: inner, After: failing(c.step)}); !errors.Is(err, errInjected) {
			t.Errorf("%s: after: got error %v, want the injected one", c.step, err)
		}
		if got := only(t, inner); got == before {
			t.Errorf("%s: after: got no change, want one", c.step)
		}
	}
}

type seen struct {
	state            semel.State
	lapsed, deferred bool
}

// only returns what the one slot of s holds.
func only(t *testing.T, s semel.Lister) (last seen) {
	t.Helper()
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		last = seen{rec.State, rec.Lapsed, rec.Deferred}
	}
	return last
}

// Faulty hides from the engine that its store is immediate, unless it is told not to.
func TestFaultyHidesImmediate(t *testing.T) {
	f := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
	if _, got := semel.As[semel.Immediate](f); got {
		t.Errorf("by default: got an immediate store, want it hidden")
	}
	f.Immediate = true
	if _, got := semel.As[semel.Immediate](f); !got {
		t.Errorf("with Immediate: got none, want an immediate store")
	}
}

// A capability that the inner store lacks is reported, not invented.
func TestFaultyUnsupported(t *testing.T) {
	f := &storetest.Faulty{Store: bare{memstore.New(memstore.Config{})}}
	ctx := t.Context()
	_, renewErr := f.Renew(ctx, time.Second, nil)
	_, purgeErr := f.Purge(ctx, 1)
	var listErr error
	for _, err := range f.List(ctx, semel.Filter{}) {
		listErr = err
	}
	for name, err := range map[string]error{
		"renew": renewErr, "purge": purgeErr, "list": listErr, "resolve": f.Resolve(ctx, semel.Resolution{}),
		"begin effects": f.BeginEffects(ctx, semel.Key{}, semel.Token{}), "send": f.Send(ctx, "text"),
		"listen": f.Listen(ctx, func() {}, func(string) {}),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: got error %v, want ErrUnsupported", name, err)
		}
	}
	if err := f.Ping(ctx); err != nil {
		t.Errorf("ping: got error %v, want none", err)
	}
	if got := f.Grade(); got != (semel.Grade{}) {
		t.Errorf("grade: got %v, want none", got)
	}
}

// bare is a store without any capability.
type bare struct{ semel.Store }
