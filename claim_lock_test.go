package semel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// own begins a transaction of the handler's own.
func own(t *testing.T, s *teller) *bankTx {
	t.Helper()
	x, err := s.mode(semel.ClaimTx).Begin(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return x.(*bankTx)
}

// pay locks, pays and completes in x, which the caller ends.
func (x *bankTx) pay(t *testing.T, c *semel.Claim, body string) {
	t.Helper()
	if err := c.LockIn(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if err := (cashier{x}).pay(c.Key(), "alice", "bob", 10); err != nil {
		t.Fatal(err)
	}
	if err := c.CompleteIn(t.Context(), x, answer(body)); err != nil {
		t.Fatal(err)
	}
}

func confirm(t *testing.T, c *semel.Claim) semel.Outcome {
	t.Helper()
	out, err := c.Confirm(t.Context())
	if err != nil {
		t.Fatalf("Confirm: %v", err)
	}
	return out
}

// I8: a handler's own transaction, from the lock to the commit. Others see neither
// part before, and both afterwards.
func TestLockInCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{Lapsed: semel.Rerun})
		c := reserve(t, e, deferring("order-1", "x"))
		if c.Locked() {
			t.Error("it is locked before the transaction")
		}
		x := own(t, s)
		x.pay(t, c, "paid")
		wantError(t, c.BeginEffects(t.Context()), semel.ErrInTx)
		for range 4 { // the lock is a lease
			time.Sleep(time.Minute)
			wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
			b.wantPaid(t, c.Key(), 0)
		}
		if err := x.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.wantPaid(t, c.Key(), 1)
		wantReplay(t, confirm(t, c), answer("paid"))
		wantReplay(t, begin(t, other, call("order-1", "x")), answer("paid"))
		for _, err := range []error{c.Release(t.Context()), c.Complete(t.Context(), answer("x")), c.BeginEffects(t.Context()), c.LockIn(t.Context(), spare(t, s))} {
			wantError(t, err, semel.ErrSettled)
		}
		c.Abandon(t.Context())
		wantReplay(t, begin(t, other, call("order-1", "x")), answer("paid"))
	})
}

// spare is a transaction that the test rolls back at its end.
func spare(t *testing.T, s *teller) *bankTx {
	t.Helper()
	x := own(t, s)
	t.Cleanup(func() { x.Rollback(context.Background()) })
	return x
}

// A handler that tries again begins each try with LockIn, which succeeds only if nothing
// was committed; it is paid once.
func TestLockInAfterARollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		c := reserve(t, e, deferring("order-1", "x"))
		for range 3 {
			x := own(t, s)
			x.pay(t, c, "never")
			if how, ok := c.Settled(); how != semel.Keep || !ok {
				t.Errorf("got settled %v, %v after CompleteIn, want keep", how, ok)
			}
			x.Rollback(context.Background())
		}
		x := own(t, s)
		if err := c.LockIn(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		if how, ok := c.Settled(); ok || !c.Locked() {
			t.Errorf("got settled %v, locked %v after LockIn, want it open and locked", how, c.Locked())
		}
		x.Rollback(context.Background())
		x = own(t, s)
		x.pay(t, c, "paid")
		if err := x.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}

		x = spare(t, s) // whoever did not hear of the commit must not pay again
		wantError(t, c.LockIn(t.Context(), x), semel.ErrLost)
		wantReplay(t, confirm(t, c), answer("paid"))
		b.wantPaid(t, c.Key(), 1)
	})
}

// A commit without an answer: Confirm waits for the transaction that is still open, and
// knows.
func TestConfirmWaitsForTheTransaction(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(x *bankTx)
		want semel.Kind
	}{
		"it commits":   {func(x *bankTx) { _ = x.Commit(context.Background()) }, semel.Replay},
		"it goes back": {func(x *bankTx) { x.Rollback(context.Background()) }, semel.Reserved},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				c := reserve(t, e, deferring("order-1", "x"))
				x := own(t, s)
				x.pay(t, c, "paid")
				start := time.Now()
				if out, err := c.Confirm(t.Context()); err == nil {
					t.Fatalf("got %v beside an open transaction, want an error", out.Kind)
				} else {
					wantStoreError(t, err, semel.StepCommit, errLocked)
				}
				if got := time.Since(start); got != patience {
					t.Errorf("it took %v, want the store's patience", got)
				}
				wantError(t, c.Release(t.Context()), semel.ErrSettled) // not before it is known
				go func() { time.Sleep(patience / 2); tt.end(x) }()
				out := confirm(t, c)
				wantOutcome(t, out, tt.want)
				b.wantPaid(t, c.Key(), map[semel.Kind]int{semel.Replay: 1}[tt.want])
				if tt.want == semel.Reserved {
					if err := c.Release(t.Context()); err != nil {
						t.Errorf("got %v, want the claim open again", err)
					}
					reserve(t, e, call("order-1", "y"))
				}
			})
		})
	}
}

// After a transaction that was rolled back the claim can be ended in any way, and
// effects elsewhere may begin, as nothing has happened.
func TestClaimAfterARollBack(t *testing.T) {
	for _, completed := range []bool{false, true} {
		for name, end := range map[string]func(t *testing.T, e *semel.Engine, c *semel.Claim){
			"release": func(t *testing.T, e *semel.Engine, c *semel.Claim) {
				t.Helper()
				if err := c.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
				reserve(t, e, call("order-1", "y"))
			},
			"abandon": func(t *testing.T, e *semel.Engine, c *semel.Claim) {
				t.Helper()
				c.Abandon(t.Context())
				reserve(t, e, call("order-1", "x"))
			},
			"complete": func(t *testing.T, e *semel.Engine, c *semel.Claim) {
				t.Helper()
				complete(t, c, answer("refused"))
				wantReplay(t, begin(t, e, call("order-1", "x")), answer("refused"))
			},
			"effects": func(t *testing.T, e *semel.Engine, c *semel.Claim) {
				t.Helper()
				if err := c.BeginEffects(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.Abandon(t.Context())
				wantUnknown(t, begin(t, e, call("order-1", "x")))
			},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBank(t)
					e, s := b.teller(t, semel.Config{})
					c := reserve(t, e, deferring("order-1", "x"))
					x := own(t, s)
					if completed {
						x.pay(t, c, "never")
					} else if err := c.LockIn(t.Context(), x); err != nil {
						t.Fatal(err)
					}
					x.Rollback(context.Background())
					if !c.Locked() {
						t.Error("it is not locked before Confirm")
					}
					wantOutcome(t, confirm(t, c), semel.Reserved)
					if c.Locked() {
						t.Error("it is locked after Confirm")
					}
					end(t, e, c)
					b.wantPaid(t, c.Key(), 0)
				})
			})
		}
	}
}

// I1: the lock stood for the lease, perhaps for long. Before the attempt goes on
// without its transaction it has a lease again, or it is told to stop.
func TestRollBackAfterALongTransaction(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(t *testing.T, other *semel.Engine, w *wire)
		want      error
	}{
		"nobody came":              {func(*testing.T, *semel.Engine, *wire) {}, nil},
		"the store cannot renew":   {func(_ *testing.T, _ *semel.Engine, w *wire) { w.set(at(semel.StepRenew, fails), nil) }, semel.ErrLost},
		"the renewal hangs":        {func(_ *testing.T, _ *semel.Engine, w *wire) { w.set(at(semel.StepRenew, hangs(time.Minute, nil)), nil) }, semel.ErrLost},
		"its answer is lost":       {func(_ *testing.T, _ *semel.Engine, w *wire) { w.set(nil, at(semel.StepRenew, fails)) }, semel.ErrLost},
		"somebody took it at once": {func(t *testing.T, other *semel.Engine, _ *wire) { t.Helper(); reserve(t, other, call("order-1", "x")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, _ := b.teller(t, semel.Config{Lapsed: semel.Rerun})
				c := reserve(t, e, call("order-1", "x")) // no promise: it may do anything
				ctx := c.Attach(t.Context())
				defer c.Detach()
				x := own(t, s)
				x.pay(t, c, "never")
				time.Sleep(4*time.Minute + time.Second) // between two renewals
				if ctx.Err() != nil {
					t.Fatalf("the attempt is ended in its transaction: %v", context.Cause(ctx))
				}
				x.Rollback(context.Background())
				tt.meanwhile(t, other, s.wire)
				out := confirm(t, c)
				if name == "somebody took it at once" {
					wantUnknown(t, out)
					return
				}
				wantOutcome(t, out, semel.Reserved)
				if got := context.Cause(ctx); !errors.Is(got, tt.want) {
					t.Errorf("got cause %v, want %v", got, tt.want)
				}
				if ctx.Err() == nil { // it may act: nobody else may
					for range 5 {
						wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
						time.Sleep(10 * time.Second)
					}
				}
			})
		})
	}
}

// A lease that is fresh is not renewed for a short transaction.
func TestRollBackAfterAShortTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		x := own(t, s)
		x.pay(t, c, "never")
		time.Sleep(semel.DefaultLease/3 - time.Second)
		x.Rollback(context.Background())
		wantOutcome(t, confirm(t, c), semel.Reserved)
		if got := s.count(semel.StepRenew); got != 0 {
			t.Errorf("got %d renewals, want none", got)
		}
		time.Sleep(4 * time.Minute) // as any other from here on
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		complete(t, c, answer("paid"))
	})
}

// An attempt that must stop locks nothing, and one whose slot is another's hears it.
func TestLockInTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		taken := reserve(t, e, deferring("order-1", "x"))
		b.expire(taken.Key())
		reserve(t, e, call("order-1", "x"))
		wantError(t, taken.LockIn(t.Context(), spare(t, s)), semel.ErrLost)
		wantError(t, taken.CompleteIn(t.Context(), spare(t, s), answer("late")), semel.ErrLost)
		wantUnknown(t, confirm(t, taken))

		overran := reserve(t, e, deferring("order-2", "x"))
		time.Sleep(semel.DefaultMaxRun + time.Minute)
		wantError(t, overran.LockIn(t.Context(), spare(t, s)), semel.ErrOverran)

		closed := reserve(t, e, deferring("order-3", "x"))
		closeEngine(t, e)
		wantError(t, closed.LockIn(t.Context(), spare(t, s)), semel.ErrClosed)
		if got := s.tx.count("lock"); got != 1 {
			t.Errorf("got %d locks, want the first only", got)
		}
		x := own(t, s) // what was done before the close is kept all the same
		if err := closed.CompleteIn(t.Context(), x, answer("paid")); err != nil {
			t.Fatal(err)
		}
		if err := x.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		other, _ := b.teller(t, semel.Config{})
		wantReplay(t, begin(t, other, call("order-3", "x")), answer("paid"))
	})
}

// A transaction of another store, and one that fails, leave the claim as it was.
func TestLockInFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Observe: seen.observe})
		_, elsewhere := newBank(t).teller(t, semel.Config{})
		c := reserve(t, e, deferring("order-1", "x"))
		wantError(t, c.LockIn(t.Context(), spare(t, elsewhere)), semel.ErrOtherStore)
		wantError(t, c.CompleteIn(t.Context(), spare(t, elsewhere), answer("x")), semel.ErrOtherStore)
		if _, ok := c.Settled(); ok || c.Locked() {
			t.Error("the claim is ended or locked, want it as it was")
		}
		s.tx.set(times(1, "lock", errLocked), nil)
		wantStoreError(t, c.LockIn(t.Context(), spare(t, s)), semel.StepLock, errLocked)
		s.tx.set(at("lock", func() error { panic("a bug in the driver") }), nil)
		func() {
			defer func() { _ = recover() }()
			_ = c.LockIn(t.Context(), spare(t, s))
		}()
		if got := seen.take(semel.StepLock); len(got) != 2 || got[0].Err == nil || got[1].Err == nil {
			t.Errorf("got events %+v, want two with errors", got)
		}
		if c.Locked() {
			t.Error("it is locked after a failure")
		}
		s.tx.set(at("complete", func() error { return semel.ErrTooLarge }), nil)
		x := spare(t, s)
		err := c.CompleteIn(t.Context(), x, answer("x"))
		wantStoreError(t, err, semel.StepComplete, semel.ErrTooLarge)
		x.Rollback(context.Background())
		wantOutcome(t, confirm(t, c), semel.Reserved)
		complete(t, c, answer("without bytes"))
	})
}

// The transaction's end is not known and the store does not tell: nothing changes, and
// the claim may be given up, whatever has become of it.
func TestConfirmFails(t *testing.T) {
	for _, committed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBank(t)
			e, s := b.teller(t, notRenewing)
			c := reserve(t, e, deferring("order-1", "x"))
			x := own(t, s)
			x.pay(t, c, "paid")
			if committed {
				_ = x.Commit(context.Background())
			} else {
				x.Rollback(context.Background())
			}
			s.cut()
			_, err := c.Confirm(t.Context())
			wantError(t, err, errCut)
			s.heal()
			if !committed { // the plain read worked, the other hangs
				s.tx.set(at("look", hangs(time.Hour, nil)), nil)
				start := time.Now()
				_, err = c.Confirm(t.Context())
				wantStoreError(t, err, semel.StepCommit, semel.ErrTimeout)
				if got := time.Since(start); got != semel.DefaultCompleteTimeout {
					t.Errorf("it took %v, want %v", got, semel.DefaultCompleteTimeout)
				}
			}
			if how, ok := c.Settled(); how != semel.Keep || !ok {
				t.Errorf("got settled %v, %v, want what it was", how, ok)
			}
			c.Abandon(t.Context())
			out := begin(t, e, call("order-1", "x"))
			if committed {
				wantReplay(t, out, answer("paid"))
			} else {
				wantOutcome(t, out, semel.Reserved)
			}
			time.Sleep(time.Hour)
		})
	}
}

// endedTx is a transaction that a statement has ended: its steps find it out at last.
type endedTx struct{ *bankTx }

func (x endedTx) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (x endedTx) Complete(context.Context, semel.Completion) error { return semel.ErrTxEnded }

// I7, I8: when a statement has ended a transaction of the caller's own, nobody runs again
// before somebody knows, whatever was promised and whatever the caller says next; also when
// the store takes that a moment later.
func TestCompleteInEndedByAStatement(t *testing.T) {
	for name, next := range map[string]func(context.Context, *semel.Claim){
		"abandoned": func(ctx context.Context, c *semel.Claim) { c.Abandon(ctx) },
		"released": func(ctx context.Context, c *semel.Claim) {
			if err := c.Release(ctx); !errors.Is(err, semel.ErrTxEnded) {
				panic(err)
			}
			c.Abandon(ctx)
		},
		"confirmed and released": func(ctx context.Context, c *semel.Claim) {
			_, _ = c.Confirm(ctx)
			if err := c.Release(ctx); !errors.Is(err, semel.ErrTxEnded) {
				panic(err)
			}
			c.Abandon(ctx)
		},
		"forgotten": func(context.Context, *semel.Claim) {},
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, store down %v", name, down), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBank(t)
					e, s := b.teller(t, semel.Config{})
					c := reserve(t, e, deferring("order-1", "x"))
					x := own(t, s)
					if err := c.LockIn(t.Context(), x); err != nil {
						t.Fatal(err)
					}
					if err := (cashier{x}).pay(c.Key(), "alice", "bob", 10); err != nil {
						t.Fatal(err)
					}
					_ = cashier{x}.smuggle()
					if down {
						s.set(at(semel.StepBeginEffects, fails), nil)
					}
					wantError(t, c.CompleteIn(t.Context(), endedTx{x}, answer("paid")), semel.ErrTxEnded)
					if c.Deferred() {
						t.Error("the promise still holds")
					}
					x.Rollback(context.Background())
					next(t.Context(), c)
					if down {
						if out := begin(t, e, call("order-1", "x")); out.Kind != semel.InFlight {
							t.Errorf("got %v before it is written down, want InFlight", out.Kind)
						}
						time.Sleep(semel.DefaultLease / 2)
						s.heal()
					}
					time.Sleep(semel.DefaultMaxRun + 2*lapse)
					wantUnknown(t, begin(t, e, call("order-1", "x")))
					b.wantPaid(t, c.Key(), 1)
				})
			})
		}
	}
}

// What Confirm finds after a transaction that was rolled back, when the slot is another's
// by the time it looks.
func TestConfirmFindsAnother(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(t *testing.T, b *bank, e *semel.Engine)
		want      func(t *testing.T, out semel.Outcome)
	}{
		"that has completed": {func(t *testing.T, _ *bank, e *semel.Engine) {
			t.Helper()
			complete(t, reserve(t, e, call("order-1", "x")), answer("by another"))
		}, func(t *testing.T, out semel.Outcome) { t.Helper(); wantReplay(t, out, answer("by another")) }},
		"that runs": {func(t *testing.T, _ *bank, e *semel.Engine) {
			t.Helper()
			reserve(t, e, call("order-1", "x"))
		}, func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) }},
		"of another request": {func(t *testing.T, b *bank, e *semel.Engine) {
			t.Helper()
			held := b.look(call("order-1", "x").Key)
			if err := b.records.Release(t.Context(), held.Key, held.Token); err != nil {
				t.Fatal(err)
			}
			complete(t, reserve(t, e, call("order-1", "y")), answer("another request's"))
		}, func(t *testing.T, out semel.Outcome) { t.Helper(); wantOutcome(t, out, semel.Conflict) }},
		"and it is free": {func(t *testing.T, b *bank, _ *semel.Engine) {
			t.Helper()
			held := b.look(call("order-1", "x").Key)
			if err := b.records.Release(t.Context(), held.Key, held.Token); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, _ := b.teller(t, semel.Config{})
				c := reserve(t, e, deferring("order-1", "x"))
				x := own(t, s)
				x.pay(t, c, "never")
				s.tx.set(once("look", func() error { // between the plain read and the other
					x.Rollback(context.Background())
					b.expire(c.Key())
					tt.meanwhile(t, b, other)
					return nil
				}), nil)
				tt.want(t, confirm(t, c))
				wantError(t, c.Release(t.Context()), semel.ErrSettled)
			})
		})
	}
}
