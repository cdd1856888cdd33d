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
)

// L3: no step that hangs makes a caller wait for ever. What hangs is rolled back when
// it comes through, and never commits.
func TestInTxStepHangs(t *testing.T) {
	for step, limit := range map[string]time.Duration{
		"begin": semel.DefaultReserveTimeout, "lock": semel.DefaultReserveTimeout, "reserve": semel.DefaultReserveTimeout,
		"complete": semel.DefaultCompleteTimeout,
	} {
		for _, onTheWayBack := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, on its way back %v", step, onTheWayBack), func(t *testing.T) {
				inModes(t, func(in modal) {
					t, mode := in.T, in.TxMode
					if (step == "lock" && mode == semel.SingleTx) || (step == "reserve" && mode == semel.ClaimTx) {
						return
					}
					b := newBank(t)
					e, s := b.teller(t, semel.Config{})
					hook := once(step, hangs(time.Minute, nil))
					if onTheWayBack {
						s.tx.set(nil, hook)
					} else {
						s.tx.set(hook, nil)
					}
					start := time.Now()
					out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
					wantError(t, err, semel.ErrTimeout)
					if got := time.Since(start); got < limit || got > limit+semel.DefaultReserveTimeout || out.Ran {
						t.Errorf("got ran %v after %v, want an error after %v", out.Ran, got, limit)
					}
					time.Sleep(2 * time.Minute) // the background frees the key
					b.wantIdle(t)
					b.wantPaid(t, call("order-1", "x").Key, 0)
					wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
				})
			})
		}
	}
}

// A roll back that hangs holds nobody up for long.
func TestInTxRollbackHangs(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		s.tx.set(once("rollback", hangs(time.Minute, nil)), nil)
		refused := errors.New("no")
		start := time.Now()
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), func(context.Context) (semel.Ending, error) { return semel.Ending{}, refused })
		wantError(t, err, refused)
		if got := time.Since(start); got > 3*semel.DefaultReserveTimeout {
			t.Errorf("InTx took %v, want a bound", got)
		}
		time.Sleep(2 * time.Minute)
		b.wantIdle(t)
		wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
	})
}

// A step that returns an ErrTimeout of its own has not hung: its transaction is rolled
// back at once, and not left open for nobody.
func TestInTxTimeoutOfTheDriver(t *testing.T) {
	for _, step := range []string{"lock", "reserve", "complete"} {
		t.Run(step, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				if (step == "lock" && mode == semel.SingleTx) || (step == "reserve" && mode == semel.ClaimTx) {
					return
				}
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				s.tx.set(once(step, func() error { return fmt.Errorf("the pool: %w", semel.ErrTimeout) }), nil)
				_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
				wantError(t, err, semel.ErrTimeout)
				b.wantIdle(t)
				wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
}

// MaxRun bounds the attempt and all its tries: who comes later is not committed,
// whether or not he has heeded his context.
func TestInTxOverruns(t *testing.T) {
	for name, business := range map[string]func(ctx context.Context) (semel.Ending, error){
		"and does not care": func(context.Context) (semel.Ending, error) {
			time.Sleep(semel.DefaultMaxRun + time.Minute)
			return keeps("late"), nil
		},
		"and meets a conflict": func(context.Context) (semel.Ending, error) {
			time.Sleep(semel.DefaultMaxRun + time.Minute)
			return semel.Ending{}, errSerialize
		},
		"and heeds its context": func(ctx context.Context) (semel.Ending, error) {
			<-ctx.Done()
			return semel.Ending{}, context.Cause(ctx)
		},
		"by many tries": func(ctx context.Context) (semel.Ending, error) {
			time.Sleep(semel.DefaultMaxRun*2/3 - time.Second)
			if ctx.Err() != nil {
				return semel.Ending{}, context.Cause(ctx)
			}
			return semel.Ending{}, errSerialize
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				work := &transfer{then: business}
				_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
				wantError(t, err, semel.ErrOverran)
				want := 1
				if name == "by many tries" {
					want = 2
				}
				work.wantRuns(t, want)
				b.wantIdle(t)
				b.wantPaid(t, call("order-1", "x").Key, 0)
				wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
}

// I1: whoever lost the slot before the lock hears it there, runs nothing, and answers
// what the other does.
func TestInTxLostBeforeTheLock(t *testing.T) {
	for _, completed := range []bool{false, true} {
		t.Run(fmt.Sprintf("completed %v", completed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, s2 := b.teller(t, semel.Config{})
				s.tx.set(once("lock", func() error {
					b.expire(call("order-1", "x").Key)
					if completed {
						inTx(t, other, call("order-1", "x"), s2.mode(semel.ClaimTx), (&transfer{}).run)
					} else {
						reserve(t, other, call("order-1", "x"))
					}
					return nil
				}), nil)
				work := &transfer{}
				out := inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
				work.wantRuns(t, 0)
				if completed {
					wantElse(t, out, semel.Replay)
					wantReplay(t, out.Outcome, answer("paid"))
				} else {
					wantElse(t, out, semel.InFlight)
				}
				time.Sleep(time.Minute)
				wantOutcome(t, begin(t, other, call("order-1", "x")), out.Kind) // it was not disturbed
			})
		})
	}
}

// The same while the store is down for everything else: that is an error, and the key
// is as the other left it.
func TestInTxLostAndTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{})
		s.tx.set(once("lock", func() error {
			b.expire(call("order-1", "x").Key)
			reserve(t, other, call("order-1", "x"))
			s.cut()
			return nil
		}), nil)
		work := &transfer{}
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
		wantStoreError(t, err, semel.StepReserve, errCut)
		work.wantRuns(t, 0)
		s.heal()
		time.Sleep(time.Minute)
		wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
	})
}

// I1: the lock is a lease without a clock. The attempt goes on and nobody takes it
// over, for many lease lengths, whether renewals skip its row, fail or hang.
func TestInTxLockIsALease(t *testing.T) {
	for name, fault := range map[string]func(w *wire){
		"skipped": func(*wire) {},
		"failing": func(w *wire) { w.set(at(semel.StepRenew, fails), nil) },
		"hanging": func(w *wire) { w.set(at(semel.StepRenew, hangs(10*time.Minute, nil)), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, s2 := b.teller(t, semel.Config{Lapsed: semel.Rerun})
				fault(s.wire)
				work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
					for range 4 {
						time.Sleep(time.Minute)
						if ctx.Err() != nil {
							t.Fatalf("the attempt is ended: %v", context.Cause(ctx))
						}
						wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
						for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
							wantElse(t, inTx(t, other, call("order-1", "x"), s2.mode(mode), (&transfer{}).run), semel.InFlight)
						}
					}
					return keeps("paid"), nil
				}}
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), work.run), answer("paid"))
				work.wantRuns(t, 1)
			})
		})
	}
}

// The connection breaks while the business code runs, and another attempt takes over:
// the context ends with ErrLost, nothing of the first is committed, and it does not
// run again although its error would let it.
func TestInTxLostWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		log := &lines{}
		e, s := b.teller(t, semel.Config{Logger: log.logger()})
		other, s2 := b.teller(t, semel.Config{})
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			time.Sleep(time.Minute + time.Second) // between two renewals
			b.breakAll(s)
			second := &transfer{then: func(context.Context) (semel.Ending, error) { return keeps("by another"), nil }}
			wantKept(t, inTx(t, other, call("order-1", "x"), s2.mode(semel.ClaimTx), second.run), answer("by another"))
			start := time.Now()
			<-ctx.Done()
			if got := time.Since(start); got > semel.DefaultLease/2 {
				t.Errorf("it took %v until the attempt was told, want a tick after a third of a lease", got)
			}
			wantError(t, context.Cause(ctx), semel.ErrLost)
			return semel.Ending{}, cashierOf(ctx).order("ab-1") // the connection is gone
		}}
		out := inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
		wantElse(t, out, semel.Replay)
		wantReplay(t, out.Outcome, answer("by another"))
		work.wantRuns(t, 1)
		b.wantPaid(t, call("order-1", "x").Key, 1)
		synctest.Wait()
		if !strings.Contains(log.String(), "the lease of a running attempt is lost") {
			t.Errorf("got log %s, want that the attempt was lost", log)
		}
	})
}

// The engine closes: an attempt that has not begun to commit is rolled back and says so,
// one that has is committed. Nothing is left behind, and another process goes on.
func TestInTxEngineCloses(t *testing.T) {
	for _, step := range []string{"begin", "lock", "reserve", "statement", "complete", "commit", "after the commit"} {
		t.Run(step, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, s2 := b.teller(t, semel.Config{})
				closed := make(chan time.Time, 1)
				shut := func() error {
					go func() {
						closeEngine(t, e)
						closed <- time.Now()
					}()
					time.Sleep(time.Second)
					return nil
				}
				var committed time.Time
				slow := at("commit", func() error { time.Sleep(time.Second); committed = time.Now(); return nil })
				s.tx.set(once(step, shut), slow)
				if step == "after the commit" {
					before := once("commit", shut)
					s.tx.set(nil, func(step string) error { _ = before(step); return slow(step) })
				}
				work := &transfer{}
				out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
				if (step == "lock" && mode == semel.SingleTx) || (step == "reserve" && mode == semel.ClaimTx) {
					wantKept(t, out, answer("paid")) // there is no such step
					return
				}
				if strings.Contains("complete after the commit", step) {
					if err != nil {
						t.Fatal(err)
					}
					wantKept(t, out, answer("paid"))
				} else {
					wantError(t, err, semel.ErrClosed)
					b.wantPaid(t, call("order-1", "x").Key, 0)
				}
				if (step == "begin" || step == "reserve") && work.runs != 0 {
					t.Error("the business code ran in a closed engine")
				}
				if at := <-closed; at.Before(committed) {
					t.Error("Close has not waited for the commit (I14)")
				}
				b.wantIdle(t)
				wantReplay(t, inTx(t, other, call("order-1", "x"), s2.mode(mode), (&transfer{}).run).Outcome, answer("paid"))
				b.wantPaid(t, call("order-1", "x").Key, 1)
			})
		})
	}
}

// A process dies in the middle: whatever it had written is gone with its transaction,
// and the next attempt runs, under Hold too. In single mode nothing is left to wait
// for (I7, I8, L1).
func TestInTxProcessDies(t *testing.T) {
	for _, step := range []string{"lock", "reserve", "statement", "complete", "commit"} {
		t.Run(step, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, s2 := b.teller(t, semel.Config{})
				s.tx.set(once(step, func() error { s.die(); return errBroken }), nil)
				_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
				if (step == "lock" && mode == semel.SingleTx) || (step == "reserve" && mode == semel.ClaimTx) {
					return // there is no such step
				}
				if err == nil {
					t.Fatal("got no error of a process that is dead")
				}
				b.wantPaid(t, call("order-1", "x").Key, 0)
				if mode == semel.ClaimTx {
					wantElse(t, inTx(t, other, call("order-1", "x"), s2.mode(mode), (&transfer{}).run), semel.InFlight)
					time.Sleep(lapse)
				}
				wantKept(t, inTx(t, other, call("order-1", "x"), s2.mode(mode), (&transfer{}).run), answer("paid"))
				b.wantPaid(t, call("order-1", "x").Key, 1)
			})
		})
	}
}
