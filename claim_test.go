package semel_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// endings are the ways to end a claim.
var endings = []struct {
	name string
	how  semel.Disposition
	end  func(ctx context.Context, c *semel.Claim, in semel.Completer) error
}{
	{"complete", semel.Keep, func(ctx context.Context, c *semel.Claim, _ semel.Completer) error {
		return c.Complete(ctx, answer("a"))
	}},
	{"complete in", semel.Keep, func(ctx context.Context, c *semel.Claim, in semel.Completer) error {
		return c.CompleteIn(ctx, ofTx{in}, answer("a"))
	}},
	{"release", semel.Free, func(ctx context.Context, c *semel.Claim, _ semel.Completer) error { return c.Release(ctx) }},
	{"abandon", semel.Unknown, func(ctx context.Context, c *semel.Claim, _ semel.Completer) error { c.Abandon(ctx); return nil }},
}

func TestClaimEndsOnce(t *testing.T) {
	for _, first := range endings {
		t.Run(first.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{})
				c := reserve(t, e, call("order-1", "x"))
				if how, ok := c.Settled(); ok {
					t.Fatalf("got settled %v before the end, want none", how)
				}
				if err := first.end(t.Context(), c, store); err != nil {
					t.Fatal(err)
				}
				before := w.count(semel.StepComplete) + w.count(semel.StepRelease) + w.count(semel.StepAbandon)
				for _, second := range endings[:3] {
					wantError(t, second.end(t.Context(), c, store), semel.ErrSettled)
				}
				if first.name != "complete in" { // whose abandon has a meaning of its own
					c.Abandon(t.Context())
				}
				if got := w.count(semel.StepComplete) + w.count(semel.StepRelease) + w.count(semel.StepAbandon); got != before {
					t.Errorf("a claim that has ended made %d more steps", got-before)
				}
				if how, ok := c.Settled(); how != first.how || !ok {
					t.Errorf("got settled %v, %v, want %v", how, ok, first.how)
				}
			})
		})
	}
}

// Of many who end one claim at once, one does.
func TestClaimEndsOnceUnderARace(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	c := reserve(t, e, call("order-1", "x"))
	ended := make(chan error)
	for range 8 {
		go func() { ended <- c.Complete(t.Context(), answer("a")) }()
		go func() { ended <- c.Release(t.Context()) }()
	}
	done := 0
	for range 16 {
		if err := <-ended; err == nil {
			done++
		} else {
			wantError(t, err, semel.ErrSettled)
		}
	}
	if done != 1 {
		t.Errorf("%d have ended the claim, want 1", done)
	}
}

func TestSettleWritesNothing(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	c := reserve(t, e, call("order-1", "x"))
	if d, ok := c.Settlement(); ok || d != semel.Unknown {
		t.Errorf("got settlement %v, %v, want none", d, ok)
	}
	for _, want := range []semel.Disposition{semel.Keep, semel.Free, semel.Unknown} {
		c.Settle(want)
		if d, ok := c.Settlement(); d != want || !ok {
			t.Errorf("got settlement %v, %v, want %v: the last call counts", d, ok, want)
		}
	}
	if how, ok := c.Settled(); ok {
		t.Errorf("got settled %v, want not", how)
	}
	wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
}

// L1: an abandoned attempt lapses at once, whatever the margin, and is not
// renewed any more.
func TestAbandonLapsesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Margin: time.Hour})
		c := reserve(t, e, call("order-1", "x"))
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		c.Abandon(t.Context())
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		time.Sleep(time.Minute)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		if got := w.count(semel.StepRenew); got != 0 {
			t.Errorf("got %d renewals after the end, want none", got)
		}
	})
}

// A renewal that is under way must not bring an abandoned attempt back for good:
// at worst it lapses one lease later.
func TestAbandonDuringARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.set(at(semel.StepRenew, hangs(3*time.Second, nil)), nil)
		time.Sleep(semel.DefaultLease/3 + time.Second) // a renewal has left and not arrived
		if w.count(semel.StepRenew) != 1 {
			t.Fatalf("got %d renewals under way, want 1", w.count(semel.StepRenew))
		}
		c.Abandon(t.Context())
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		time.Sleep(lapse + 3*time.Second)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
	})
}

// A slow end of the lease is not overtaken by a renewal of the next look.
func TestNoRenewalWhileAbandoning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.set(nil, at(semel.StepAbandon, hangs(1500*time.Millisecond, nil)))
		time.Sleep(2*semel.DefaultLease/3 - 500*time.Millisecond) // the next look would renew
		c.Abandon(t.Context())
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		if got := w.count(semel.StepRenew); got != 1 {
			t.Errorf("got %d renewals, want the one before", got)
		}
	})
}

// A store that cannot renew: the abandoned attempt lapses by itself, and so
// does one that still runs, whose handler is told before.
func TestStoreWithoutRenewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, memstore.New(memstore.Config{}))
		e := newEngine(t, plain{w}, semel.Config{})
		abandonedClaim := reserve(t, e, call("order-1", "x"))
		running := reserve(t, e, call("order-2", "x"))
		ctx := running.Attach(t.Context())
		defer running.Detach()
		abandonedClaim.Abandon(t.Context())
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		time.Sleep(semel.DefaultLease - time.Nanosecond)
		wantError(t, context.Cause(ctx), semel.ErrLost)
		time.Sleep(semel.DefaultMargin + time.Nanosecond)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		wantUnknown(t, begin(t, e, call("order-2", "x")))
		complete(t, running, answer("late")) // nobody took it over
	})
}

// Abandoning never fails, and says so when the store does not take it.
func TestAbandonWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Logger: log.logger()})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, semel.Call{Key: secretKey})
		w.cut()
		c.Abandon(t.Context())
		wantOutcome(t, begin(t, other, semel.Call{Key: secretKey}), semel.InFlight)
		time.Sleep(lapse)
		wantUnknown(t, begin(t, other, semel.Call{Key: secretKey}))
		if got := log.String(); !strings.Contains(got, "abandoned") || !strings.Contains(got, e.Ref(secretKey)) || leaks(got) {
			t.Errorf("got log %s, want a word about the ref and no key", got)
		}
	})
}

// A late complete is welcome while nobody took over, and its retention begins
// anew: it must not be over before the client has seen it.
func TestLateComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		late, w := crashed(t, store, call("order-1", "x"))
		e, _ := process(t, store, semel.Config{})
		time.Sleep(100 * time.Hour)
		w.heal()
		complete(t, late, answer("late"))
		time.Sleep(semel.DefaultRetention - time.Second)
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("late"))
	})
}

// Asking what became of the slot changes nothing, whatever the answer and even
// if it never comes: the claim's own reservation is never given back by it.
func TestConfirmChangesNothing(t *testing.T) {
	for name, fault := range map[string]func(w *wire){
		"no fault":               func(*wire) {},
		"the store is down":      func(w *wire) { w.set(at(semel.StepReserve, fails), nil) },
		"answers are lost":       func(w *wire) { w.set(nil, at(semel.StepReserve, fails)) },
		"the request is late":    func(w *wire) { w.set(once(semel.StepReserve, hangs(time.Minute, nil)), nil) },
		"the answer is late":     func(w *wire) { w.set(nil, once(semel.StepReserve, hangs(time.Minute, nil))) },
		"the answer never comes": func(w *wire) { w.set(nil, once(semel.StepReserve, hangs(time.Minute, errCut))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{})
				other, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
				c := reserve(t, e, call("order-1", "x"))
				fault(w)
				out, err := c.Confirm(t.Context())
				if err == nil && (out.Kind != semel.Reserved || out.Claim != nil || out.Record.Token != c.Token()) {
					t.Errorf("got %v by %v, want reserved by the claim", out.Kind, out.Record.Token)
				}
				if (err == nil) != (name == "no fault") {
					t.Errorf("got error %v", err)
				}
				w.heal()
				for range 4 {
					wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
					time.Sleep(time.Minute)
				}
				complete(t, c, answer("paid"))
				out, err = c.Confirm(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				wantReplay(t, out, answer("paid"))
			})
		})
	}
}

// I7: the response is not stored and the store hardly answers. Whoever asks
// meanwhile must not free the slot of an effect that has happened.
func TestConfirmAfterNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.set(func(s semel.Step) error {
			if s == semel.StepReserve || s == semel.StepComplete {
				return errCut
			}
			return nil
		}, nil)
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrNotStored)
		_, err := c.Confirm(t.Context())
		wantStoreError(t, err, semel.StepReserve, errCut)
		time.Sleep(10 * time.Second)
		wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
		w.heal()
		time.Sleep(10 * time.Second)
		wantReplay(t, begin(t, other, call("order-1", "x")), answer("paid"))
	})
}

// An empty slot says nothing about the attempt, and is empty after the look.
func TestConfirmOnAnEmptySlot(t *testing.T) {
	for name, empty := range map[string]func(t *testing.T, store *memstore.Store, c *semel.Claim){
		"freed": func(t *testing.T, store *memstore.Store, c *semel.Claim) {
			t.Helper()
			if err := store.Release(t.Context(), c.Key(), c.Token()); err != nil {
				t.Fatal(err)
			}
		},
		"purged": func(t *testing.T, store *memstore.Store, c *semel.Claim) {
			t.Helper()
			if err := store.Release(t.Context(), c.Key(), c.Token()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * semel.DefaultRetention)
			if n, err := store.Purge(t.Context(), 10); n != 1 || err != nil {
				t.Fatalf("purged %d, %v, want 1", n, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, _ := process(t, store, semel.Config{})
				c := reserve(t, e, call("order-1", "x"))
				empty(t, store, c)
				wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrLost)
				out, err := c.Confirm(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				wantUnknown(t, out)
				if out.Record.State != semel.StateFree {
					t.Errorf("got a %v record, want free", out.Record.State)
				}
				synctest.Wait()
				reserve(t, e, call("order-1", "x"))
			})
		})
	}
}

// Another request owns the slot now.
func TestConfirmOnAnotherRequestsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		if err := store.Release(t.Context(), c.Key(), c.Token()); err != nil {
			t.Fatal(err)
		}
		complete(t, reserve(t, e, call("order-1", "y")), answer("of another"))
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrLost)
		out, err := c.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, out, semel.Conflict)
		if out.Record.Response.Body != nil {
			t.Error("the other request's answer is shown")
		}
	})
}

// A handler settles by what is in its context, also where nothing is guarded.
func TestSettleWithoutAClaim(t *testing.T) {
	semel.FromContext(t.Context()).Settle(semel.Free)
}
