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

// times returns a hook that fails the first n steps of a kind.
func times(n int, step string, err error) func(string) error {
	return at(step, func() error {
		if n--; n < 0 {
			return nil
		}
		return err
	})
}

// A try that cannot come through is rolled back and begun again, whichever step
// says so, and whatever the business code makes of it. It is paid once.
func TestInTxTriesAgain(t *testing.T) {
	for step, err := range map[string]error{
		"begin": errBroken, "lock": errLocked, "reserve": errSerialize, "statement": errSerialize, "complete": errSerialize, "commit": errSerialize,
	} {
		for name, made := range map[string]func(err error) (semel.Ending, error){
			"returned":       func(err error) (semel.Ending, error) { return semel.Ending{}, err },
			"hidden":         func(error) (semel.Ending, error) { return semel.Ending{}, errDeclined },
			"made a success": func(error) (semel.Ending, error) { return keeps("refused"), nil },
			"made a refusal": func(error) (semel.Ending, error) {
				return semel.Ending{How: semel.Keep, Response: answer("refused"), Refusal: true}, nil
			},
			"made a roll back": func(error) (semel.Ending, error) { return semel.Ending{How: semel.Free}, nil },
		} {
			t.Run(step+", "+name, func(t *testing.T) {
				inModes(t, func(in modal) {
					t, mode := in.T, in.TxMode
					b := newBank(t)
					e, s := b.teller(t, semel.Config{})
					s.tx.set(times(4, step, err), nil)
					work := &transfer{}
					run := func(ctx context.Context) (semel.Ending, error) {
						end, err := work.run(ctx)
						if err != nil {
							return made(err)
						}
						return end, nil
					}
					start := time.Now()
					wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), run), answer("paid"))
					b.wantPaid(t, call("order-1", "x").Key, 1)
					b.wantIdle(t)
					if got := time.Since(start); got > time.Second {
						t.Errorf("the pauses took %v, want less than a second", got)
					}
					want := 1
					if step == "statement" || step == "complete" || step == "commit" {
						want = 5
					}
					work.wantRuns(t, want)
				})
			})
		}
	}
}

// After five tries it is given up: nothing has happened, and the key is free.
func TestInTxBusy(t *testing.T) {
	for step, err := range map[string]error{
		"begin": errBroken, "statement": errSerialize, "complete": errBroken, "commit": errSerialize,
	} {
		t.Run(step, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				s.tx.set(at(step, func() error { return err }), nil)
				work := &transfer{}
				out, got := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
				wantError(t, got, semel.ErrTxBusy)
				wantError(t, got, err)
				if out.Ran || out.Kind != 0 || s.tx.count("begin") != 5 {
					t.Errorf("got %v, ran %v, after %d tries, want none of it after 5", out.Kind, out.Ran, s.tx.count("begin"))
				}
				b.wantIdle(t)
				s.tx.set(nil, nil)
				wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
}

// The conflict is a real one: two transactions want the same accounts, and both
// are paid in the end.
func TestInTxBothComeThrough(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		slow := &transfer{then: func(context.Context) (semel.Ending, error) {
			time.Sleep(20 * time.Millisecond)
			return keeps("paid"), nil
		}}
		done := make(chan semel.TxOutcome)
		go func() { done <- inTx(t, e, call("order-1", "x"), s.mode(mode), slow.run) }()
		time.Sleep(time.Millisecond)
		second := &transfer{}
		wantKept(t, inTx(t, e, call("order-2", "x"), s.mode(mode), second.run), answer("paid"))
		wantKept(t, <-done, answer("paid"))
		if second.runs < 2 {
			t.Errorf("the second ran %d times, want a conflict", second.runs)
		}
		b.wantPaid(t, call("order-1", "x").Key, 1)
		b.wantPaid(t, call("order-2", "x").Key, 1)
	})
}

// An error that the database does not forgive spoils the transaction: success that
// was built on it is refused, and only a refusal is kept, alone.
func TestInTxSpoiled(t *testing.T) {
	for _, refusal := range []bool{false, true} {
		t.Run(fmt.Sprintf("refusal %v", refusal), func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				b.orders["ab-1"] = true
				e, s := b.teller(t, semel.Config{})
				work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
					if err := cashierOf(ctx).order("ab-1"); !errors.Is(err, errUnique) {
						t.Errorf("got %v, want that the order is there", err)
					}
					end := keeps("there is such an order")
					end.Refusal = refusal
					return end, nil
				}}
				out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
				work.wantRuns(t, 1)
				b.wantIdle(t)
				b.wantPaid(t, call("order-1", "x").Key, 0)
				if refusal {
					if err != nil {
						t.Fatal(err)
					}
					wantKept(t, out, answer("there is such an order"))
					wantReplay(t, begin(t, e, call("order-1", "x")), answer("there is such an order"))
					return
				}
				wantError(t, err, semel.ErrTxSpoiled)
				wantError(t, err, errUnique)
				wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
}

// What the business code wants rolled back needs no transaction that is whole; its
// error is more than that of the transaction; a refusal without trouble commits.
func TestInTxSpoiledAndRolledBack(t *testing.T) {
	refused := errors.New("no")
	for name, end := range map[string]struct {
		how semel.Ending
		err error
	}{
		"free": {how: semel.Ending{How: semel.Free}}, "an error": {keeps("x"), refused},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				b.orders["ab-1"] = true
				e, s := b.teller(t, semel.Config{})
				out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), func(ctx context.Context) (semel.Ending, error) {
					_ = cashierOf(ctx).order("ab-1")
					return end.how, end.err
				})
				if !errors.Is(err, end.err) || out.Ran != (end.err == nil) {
					t.Errorf("got ran %v, error %v, want %v", out.Ran, err, end.err)
				}
				if got := b.look(call("order-1", "x").Key); got.State != semel.StateFree {
					t.Errorf("got a %v slot, want it free", got.State)
				}
			})
		})
	}
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{then: func(context.Context) (semel.Ending, error) {
			end := keeps("paid a part")
			end.Refusal = true
			return end, nil
		}}
		wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), work.run), answer("paid a part"))
		b.wantPaid(t, call("order-1", "x").Key, 1)
		work.wantRuns(t, 1)
	})
}

// A handler that ends the transaction by itself has committed nothing.
func TestInTxOwned(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			wantError(t, cashierOf(ctx).commit(), semel.ErrTxOwned)
			return semel.Ending{How: semel.Keep, Response: answer("paid"), Refusal: true}, nil
		}}
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
		wantError(t, err, semel.ErrTxOwned)
		work.wantRuns(t, 1)
		b.wantPaid(t, call("order-1", "x").Key, 0)
		wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
	})
}

// I7: business code that has committed by a statement may have left its writes without
// their record. Whatever it says then, the outcome is unknown, and only the policy lets
// anybody run again, also when the store takes that a moment later.
func TestInTxEndedByAStatement(t *testing.T) {
	for name, made := range map[string]struct {
		end semel.Ending
		err error
	}{
		"kept": {end: keeps("paid")}, "freed": {end: semel.Ending{How: semel.Free}}, "an error": {err: errDeclined},
		"a refusal": {end: semel.Ending{How: semel.Keep, Response: answer("no"), Refusal: true}},
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, store down %v", name, down), func(t *testing.T) {
				inModes(t, func(in modal) {
					t, mode := in.T, in.TxMode
					log := &lines{}
					b := newBank(t)
					e, s := b.teller(t, semel.Config{Logger: log.logger()})
					if down {
						s.set(at(semel.StepBeginEffects, fails), nil)
					}
					work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
						if err := cashierOf(ctx).smuggle(); !errors.Is(err, semel.ErrTxEnded) {
							t.Errorf("got %v, want ErrTxEnded", err)
						}
						return made.end, made.err
					}}
					out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
					wantError(t, err, semel.ErrTxEnded)
					if out.Ran || out.Kind != 0 {
						t.Errorf("got %v, ran %v beside the error", out.Kind, out.Ran)
					}
					if down { // nobody may run until it is written down
						wantElse(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), semel.InFlight)
						time.Sleep(semel.DefaultLease / 2)
						s.heal()
					} else { // at once: nothing is running any more
						wantUnknown(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run).Outcome)
					}
					time.Sleep(2 * lapse)
					next := &transfer{}
					wantUnknown(t, inTx(t, e, call("order-1", "x"), s.mode(mode), next.run).Outcome)
					next.wantRuns(t, 0)
					b.wantPaid(t, call("order-1", "x").Key, 1)
					if !strings.Contains(log.String(), "a transaction had ended before its record was in it") {
						t.Errorf("got log %s, want the alarm", log)
					}
				})
			})
		}
	}
}

// I7: a renewal that was under way ends no lease that keeps the slot until it is written
// down that its outcome is unknown.
func TestInTxEndedByAStatementAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		renewal, down := once(semel.StepRenew, hangs(4*time.Second, nil)), at(semel.StepBeginEffects, fails)
		s.set(func(step semel.Step) error { return errors.Join(renewal(step), down(step)) }, nil)
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			time.Sleep(semel.DefaultLease/3 + 500*time.Millisecond) // the renewal has left and not arrived
			_ = cashierOf(ctx).smuggle()
			return keeps("paid"), nil
		}}
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
		wantError(t, err, semel.ErrTxEnded)
		time.Sleep(4 * time.Second) // now it has
		next := &transfer{}
		wantElse(t, inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), next.run), semel.InFlight)
		s.heal()
		time.Sleep(2 * lapse)
		wantUnknown(t, inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), next.run).Outcome)
		next.wantRuns(t, 0)
		b.wantPaid(t, call("order-1", "x").Key, 1)
	})
}

// I7: that a statement has committed is found out when the attempt is rolled back, however
// it has ended. Nobody runs again, although the business code wanted it, or a serialization
// failure or a panic came afterwards.
func TestInTxEndedUnseen(t *testing.T) {
	freed := semel.Ending{How: semel.Free}
	for name, then := range map[string]func(ctx context.Context) (semel.Ending, error){
		"freed":    func(context.Context) (semel.Ending, error) { return freed, nil },
		"unknown":  func(context.Context) (semel.Ending, error) { return semel.Ending{How: semel.Unknown}, nil },
		"an error": func(context.Context) (semel.Ending, error) { return semel.Ending{}, errDeclined },
		"a panic":  func(context.Context) (semel.Ending, error) { panic("a bug") },
		"a serialization failure": func(ctx context.Context) (semel.Ending, error) {
			_ = cashierOf(ctx).statement(func() error { return errSerialize })
			return keeps("paid"), nil
		},
		"a refusal in a spoiled transaction": func(ctx context.Context) (semel.Ending, error) {
			_ = cashierOf(ctx).statement(func() error { return errUnique })
			return semel.Ending{How: semel.Keep, Response: answer("no"), Refusal: true}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
					if err := cashierOf(ctx).smuggleUnseen(); err != nil {
						t.Error(err)
					}
					return then(ctx)
				}}
				func() {
					defer func() { _ = recover() }()
					out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
					wantError(t, err, semel.ErrTxEnded)
					if out.Ran || out.Kind != 0 {
						t.Errorf("got %v, ran %v beside the error", out.Kind, out.Ran)
					}
				}()
				work.wantRuns(t, 1)
				time.Sleep(2 * lapse)
				next := &transfer{}
				wantUnknown(t, inTx(t, e, call("order-1", "x"), s.mode(mode), next.run).Outcome)
				next.wantRuns(t, 0)
				b.wantPaid(t, call("order-1", "x").Key, 1)
			})
		})
	}
}

// What the store cannot keep, or the sealer cannot seal, takes the writes with it.
func TestInTxResponseThatCannotBeKept(t *testing.T) {
	full := errors.New("the disk is full")
	for name, want := range map[string]error{"too large": semel.ErrTooLarge, "any error": full} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				s.tx.set(at("complete", func() error { return want }), nil)
				work := &transfer{}
				_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
				wantStoreError(t, err, semel.StepComplete, want)
				work.wantRuns(t, 1)
				s.tx.set(nil, nil)
				wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Sealer: noSealer{full}})
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
		wantError(t, err, full)
		b.wantPaid(t, call("order-1", "x").Key, 0)
		if got := b.look(call("order-1", "x").Key); got.State != semel.StateFree {
			t.Errorf("got a %v slot, want it free", got.State)
		}
	})
}

type noSealer struct{ err error }

func (s noSealer) Seal(_, _ []byte) ([]byte, error) { return nil, s.err }
func (s noSealer) Open(_, _ []byte) ([]byte, error) { return nil, s.err }

// A step that panics in the driver is rolled back, goes on in the caller's goroutine,
// and leaves the key to the next attempt.
func TestInTxStepPanics(t *testing.T) {
	for _, step := range []string{"begin", "lock", "reserve", "complete", "commit"} {
		t.Run(step, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				if (step == "lock" && mode == semel.SingleTx) || (step == "reserve" && mode == semel.ClaimTx) {
					return
				}
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				s.tx.set(at(step, func() error { panic("a bug in the driver") }), nil)
				func() {
					defer func() {
						if recover() == nil {
							t.Error("got no panic, want the driver's")
						}
					}()
					_, _ = e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
				}()
				s.tx.set(nil, nil)
				b.wantIdle(t)
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), answer("paid"))
				b.wantPaid(t, call("order-1", "x").Key, 1)
			})
		})
	}
}

// The claim inside belongs to the engine: its methods refuse and write nothing, so that
// the record and the writes cannot part.
func TestInTxClaimIsTheEngines(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		var inner *semel.Claim
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			c := semel.FromContext(ctx)
			inner = c
			own, err := s.mode(mode).Begin(context.WithoutCancel(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer own.Rollback(context.WithoutCancel(ctx))
			for name, err := range map[string]error{
				"complete": c.Complete(ctx, answer("by hand")), "release": c.Release(ctx),
				"complete in": c.CompleteIn(ctx, own.(semel.Tx), answer("by hand")), "lock in": c.LockIn(ctx, own.(semel.Tx)),
			} {
				if !errors.Is(err, semel.ErrSettled) {
					t.Errorf("%s: got %v, want ErrSettled", name, err)
				}
			}
			wantError(t, c.BeginEffects(ctx), semel.ErrInTx)
			c.Abandon(ctx)
			if how, ok := c.Settled(); ok {
				t.Errorf("got settled %v, want it open", how)
			}
			c.Settle(semel.Free) // for a transport: the ending counts
			if mode == semel.ClaimTx {
				out, err := c.Confirm(ctx)
				if err != nil {
					t.Fatal(err)
				}
				wantOutcome(t, out, semel.Reserved)
			}
			return keeps("paid"), nil
		}}
		wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), work.run), answer("paid"))
		for _, step := range []semel.Step{semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepBeginEffects} {
			if got := s.count(step); got != 0 {
				t.Errorf("%v: got %d steps, want none", step, got)
			}
		}
		if how, ok := inner.Settlement(); how != semel.Free || !ok {
			t.Errorf("got settlement %v, %v, want what it was told", how, ok)
		}
		wantError(t, inner.Release(t.Context()), semel.ErrSettled) // nor afterwards
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	})
}

// An attempt within an attempt: the same key is in flight, without a deadlock; another
// key has a transaction of its own, which stands whatever becomes of the first.
func TestInTxNested(t *testing.T) {
	for _, within := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		inModes(t, func(in modal) {
			t, mode := in.T, in.TxMode
			b := newBank(t)
			e, s := b.teller(t, semel.Config{})
			refused := errors.New("no")
			_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), func(ctx context.Context) (semel.Ending, error) {
				if mode == semel.ClaimTx || within == semel.SingleTx {
					out, err := e.InTx(ctx, call("order-1", "x"), s.mode(within), (&transfer{}).run)
					if err != nil {
						t.Fatal(err)
					}
					wantElse(t, out, semel.InFlight)
				}
				out, err := e.InTx(ctx, call("order-2", "x"), s.mode(within), (&transfer{}).run)
				if err != nil {
					t.Fatal(err)
				}
				wantKept(t, out, answer("paid"))
				return keeps("x"), refused
			})
			wantError(t, err, refused)
			b.wantPaid(t, call("order-1", "x").Key, 0)
			b.wantPaid(t, call("order-2", "x").Key, 1)
		})
	}
}

// A duplicate in claim mode inside a single transaction waits for itself: a time-out
// ends that, and the outer attempt goes on.
func TestInTxNestedClaimInSingle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		out := inTx(t, e, call("order-1", "x"), s.mode(semel.SingleTx), func(ctx context.Context) (semel.Ending, error) {
			start := time.Now()
			_, err := e.InTx(ctx, call("order-1", "x"), s.mode(semel.ClaimTx), (&transfer{}).run)
			wantStoreError(t, err, semel.StepReserve, errLocked)
			if got := time.Since(start); got > semel.DefaultReserveTimeout {
				t.Errorf("it took %v, want no longer than %v", got, semel.DefaultReserveTimeout)
			}
			return keeps("paid"), nil
		})
		wantKept(t, out, answer("paid"))
		time.Sleep(time.Minute) // what the duplicate takes back in the background
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	})
}

// Transactions must be of the engine's store, or of one that it wraps.
func TestInTxOtherStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		_, elsewhere := newBank(t).teller(t, semel.Config{})
		odd := newEngine(t, ctxStore{s, func(context.Context) {}}, semel.Config{})
		for name, try := range map[string]struct {
			engine *semel.Engine
			txs    semel.Transactions
		}{
			"another process": {e, elsewhere.mode(semel.ClaimTx)}, "no store": {e, ofNoStore{}},
			"hidden by a wrapper that cannot be compared": {odd, ofOdd{s.mode(semel.ClaimTx)}},
		} {
			_, err := try.engine.InTx(t.Context(), call("order-1", "x"), try.txs, (&transfer{}).run)
			if !errors.Is(err, semel.ErrOtherStore) {
				t.Errorf("%s: got %v, want ErrOtherStore", name, err)
			}
		}
		if _, err := e.InTx(t.Context(), call("order-1", "x"), nil, (&transfer{}).run); err == nil {
			t.Error("got no error without transactions, want one")
		}
		if got := b.look(call("order-1", "x").Key); got.Fence != 0 {
			t.Errorf("got a %v slot, want no trace", got.State)
		}
		wrapped := newEngine(t, wrapper{s}, semel.Config{})
		wantKept(t, inTx(t, wrapped, call("order-1", "x"), s.mode(semel.ClaimTx), (&transfer{}).run), answer("paid"))
	})
}

type ofNoStore struct{ semel.Transactions }

func (ofNoStore) Store() semel.Store { return nil }

type ofOdd struct{ semel.Transactions }

func (o ofOdd) Store() semel.Store { return ctxStore{o.Transactions.Store(), nil} }

// wrapper shows the store that it wraps.
type wrapper struct{ semel.Store }

func (w wrapper) Unwrap() semel.Store { return w.Store }

// A bad call, and a closed engine, leave no trace.
func TestInTxRefuses(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		_, err := e.InTx(t.Context(), semel.Call{}, s.mode(mode), (&transfer{}).run)
		wantError(t, err, semel.ErrInvalidKey)
		bad := call("order-1", "x")
		bad.Lapsed = semel.Recover
		if _, err := e.InTx(t.Context(), bad, s.mode(mode), (&transfer{}).run); err == nil {
			t.Error("got no error of a policy without its hook")
		}
		closeEngine(t, e)
		_, err = e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{}).run)
		wantError(t, err, semel.ErrClosed)
		if got := s.tx.count("begin"); got != 0 || b.look(call("order-1", "x").Key).Fence != 0 {
			t.Errorf("got %d transactions, want no trace", got)
		}
	})
}
