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

// errNoAnswer is how a driver says that a commit's answer was lost.
var errNoAnswer = fmt.Errorf("%w: %w", semel.ErrCommitUnknown, errBroken)

// lostCommit makes the first commit's answer get lost, after it has committed or
// after the server has rolled back.
func lostCommit(s *teller, committed bool) {
	lost := once("commit", func() error {
		if !committed {
			s.bank.breakAll(s)
		}
		return errNoAnswer
	})
	if committed {
		s.tx.set(nil, lost)
	} else {
		s.tx.set(lost, nil)
	}
}

// I8, I3: a commit whose answer was lost is looked up. What is committed is answered,
// what is not runs again, and either way it is paid once.
func TestCommitAnswerLost(t *testing.T) {
	for _, committed := range []bool{true, false} {
		t.Run(fmt.Sprintf("committed %v", committed), func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				lostCommit(s, committed)
				work := &transfer{}
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), work.run), answer("paid"))
				want := 2
				if committed {
					want = 1
				}
				work.wantRuns(t, want)
				b.wantIdle(t)
				b.wantPaid(t, call("order-1", "x").Key, 1)
				wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
			})
		})
	}
}

// The connection of the lost commit is given back before the look: a pool of one would
// have none left for it.
func TestLookNeedsTheConnectionOfTheCommit(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		s.tx.set(func(step string) error {
			switch step {
			case "commit":
				return errNoAnswer // and the server does not know yet
			case "look":
				b.mu.Lock()
				defer b.mu.Unlock()
				if len(b.open) != 0 {
					t.Error("the transaction is still open at the look")
				}
				s.tx.set(nil, nil)
			}
			return nil
		}, nil)
		wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), answer("paid"))
		b.wantPaid(t, call("order-1", "x").Key, 1)
	})
}

// That giving back may hang too, and is not repeated beside itself: the bank checks.
func TestRollbackOfALostCommitHangs(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		commit, rollback := once("commit", func() error { b.breakAll(s); return errNoAnswer }), once("rollback", hangs(time.Minute, nil))
		s.tx.set(func(step string) error { return errors.Join(commit(step), rollback(step)) }, nil)
		wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), answer("paid"))
		b.wantPaid(t, call("order-1", "x").Key, 1)
	})
}

// A commit that hangs: the call goes on without it, waits for its end by the lock, and
// answers what it has become.
func TestCommitHangs(t *testing.T) {
	const late = semel.DefaultCompleteTimeout + 3*time.Second
	for name, tt := range map[string]struct {
		fault func(s *teller)
		runs  int
	}{
		"and comes through while it is looked up": {func(s *teller) { s.tx.set(once("commit", hangs(late, nil)), nil) }, 1},
		"and fails while it is looked up":         {func(s *teller) { s.tx.set(once("commit", hangs(late, errSerialize)), nil) }, 2},
		"and breaks while it is looked up":        {func(s *teller) { s.tx.set(once("commit", hangs(late, errNoAnswer)), nil) }, 2},
		"on its way back":                         {func(s *teller) { s.tx.set(nil, once("commit", hangs(time.Hour, nil))) }, 1},
		"on its way back and is lost":             {func(s *teller) { s.tx.set(nil, once("commit", hangs(time.Hour, errNoAnswer))) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				tt.fault(s)
				work := &transfer{}
				start := time.Now()
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), work.run), answer("paid"))
				if got := time.Since(start); got > 2*semel.DefaultCompleteTimeout {
					t.Errorf("InTx took %v, want less", got)
				}
				work.wantRuns(t, tt.runs)
				b.wantPaid(t, call("order-1", "x").Key, 1)
				time.Sleep(2 * time.Hour)
				b.wantIdle(t)
				wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
			})
		})
	}
}

// The store is down when the commit's answer is lost. When it comes back in time, that is
// not noticed; else nobody knows, until the next attempt, which replays or runs.
func TestCommitUnknown(t *testing.T) {
	for _, committed := range []bool{true, false} {
		for _, down := range []time.Duration{semel.DefaultCompleteTimeout / 2, time.Hour} {
			for _, hung := range []bool{false, true} {
				t.Run(fmt.Sprintf("committed %v, down for %v, hangs %v", committed, down, hung), func(t *testing.T) {
					inModes(t, func(in modal) {
						t, mode := in.T, in.TxMode
						b := newBank(t)
						e, s := b.teller(t, notRenewing)
						lostCommit(s, committed)
						before, after := s.tx.before, s.tx.after
						fell := time.Now()
						s.tx.set(func(step string) error {
							if step == "look" && time.Since(fell) < down {
								if hung {
									time.Sleep(down - time.Since(fell))
								}
								return errBroken
							}
							return do(before, step)
						}, after)
						work := &transfer{}
						start := time.Now()
						out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
						if got := time.Since(start); got > 2*semel.DefaultCompleteTimeout+time.Second {
							t.Errorf("InTx took %v, want a bound", got)
						}
						if down < time.Hour {
							if err != nil {
								t.Fatal(err)
							}
							wantKept(t, out, answer("paid"))
						} else {
							wantError(t, err, semel.ErrCommitUnknown)
							if out.Ran || out.Kind != 0 {
								t.Errorf("got %v, ran %v beside the error", out.Kind, out.Ran)
							}
							work.wantRuns(t, 1)
							s.tx.set(nil, nil)
							next := &transfer{}
							out = inTx(t, e, call("order-1", "x"), s.mode(mode), next.run) // at once, under Hold
							wantReplay(t, out.Outcome, answer("paid"))
							if out.Ran == committed {
								t.Errorf("got ran %v after a commit that has happened %v", out.Ran, committed)
							}
						}
						b.wantPaid(t, call("order-1", "x").Key, 1)
						time.Sleep(2 * time.Hour)
						b.wantIdle(t)
					})
				})
			}
		}
	}
}

// A store that cannot look cannot tell: the error says so.
func TestCommitUnknownWithoutLooker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		_, s := b.teller(t, semel.Config{})
		e := newEngine(t, s.wire, semel.Config{})
		lostCommit(s, true)
		_, err := e.InTx(t.Context(), call("order-1", "x"), onWire{s.mode(semel.ClaimTx)}, (&transfer{}).run)
		wantError(t, err, semel.ErrCommitUnknown)
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	})
}

type onWire struct{ semel.Transactions }

func (o onWire) Store() semel.Store { return o.Transactions.(begins).wire }

// The commit has not happened, and before that is known the slot is another's: this
// attempt must not run again, and answers what is there (I1, I3).
func TestCommitLostAndOvertaken(t *testing.T) {
	refused := semel.Resolution{Key: call("order-1", "x").Key, Margin: semel.DefaultMargin, Retention: time.Hour}
	for name, tt := range map[string]struct {
		overtake func(t *testing.T, b *bank, e *semel.Engine, s *teller)
		want     func(t *testing.T, out semel.TxOutcome)
		payments int
	}{
		"by one that has completed": {
			func(t *testing.T, _ *bank, e *semel.Engine, s *teller) {
				t.Helper()
				work := &transfer{then: func(context.Context) (semel.Ending, error) { return keeps("by another"), nil }}
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), work.run), answer("by another"))
			},
			func(t *testing.T, out semel.TxOutcome) {
				t.Helper()
				wantReplay(t, out.Outcome, answer("by another"))
			}, 1,
		},
		"by one that runs": {
			func(t *testing.T, _ *bank, e *semel.Engine, _ *teller) {
				t.Helper()
				reserve(t, e, call("order-1", "x"))
			},
			func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantElse(t, out, semel.InFlight) }, 0,
		},
		"by an operator who freed it": {
			func(t *testing.T, b *bank, _ *semel.Engine, _ *teller) {
				t.Helper()
				r := refused
				r.Fence = b.look(r.Key).Fence
				if err := b.records.Resolve(t.Context(), r); err != nil && b.look(r.Key).State == semel.StateReserved {
					t.Fatal(err)
				}
			},
			func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantElse(t, out, semel.InFlight) }, 0,
		},
		"by another request, after an operator": {
			func(t *testing.T, b *bank, e *semel.Engine, _ *teller) {
				t.Helper()
				r := refused
				if r.Fence = b.look(r.Key).Fence; r.Fence != 0 {
					if err := b.records.Resolve(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				reserve(t, e, call("order-1", "y"))
			},
			func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantElse(t, out, semel.Conflict) }, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				if mode == semel.SingleTx && name == "by an operator who freed it" {
					return // there is nothing to free
				}
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				other, s2 := b.teller(t, semel.Config{})
				s.tx.set(once("commit", func() error {
					b.breakAll(s)
					b.expire(call("order-1", "x").Key)
					tt.overtake(t, b, other, s2)
					return errNoAnswer
				}), nil)
				work := &transfer{}
				out := inTx(t, e, call("order-1", "x"), s.mode(mode), work.run)
				tt.want(t, out)
				if out.Ran {
					t.Error("got ran, want that the other counts")
				}
				work.wantRuns(t, 1)
				time.Sleep(time.Minute)
				b.wantPaid(t, call("order-1", "x").Key, tt.payments)
			})
		})
	}
}

// A renewal that finds the slot completed while the commit is answered is no loss, and
// nobody is alarmed.
func TestRenewalDuringTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Logger: log.logger()})
		s.tx.set(nil, at("commit", hangs(9*time.Second, nil)))
		var inner []context.Context
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			inner = append(inner, ctx)
			time.Sleep(8 * time.Second)
			return keeps("paid"), nil
		}}
		out := inTx(t, e, call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
		wantKept(t, out, answer("paid"))
		if got := s.count(semel.StepRenew); got == 0 {
			t.Error("got no renewal during the commit, so that the test shows nothing")
		}
		if got := context.Cause(inner[0]); errors.Is(got, semel.ErrLost) || log.String() != "" {
			t.Errorf("got cause %v and log %s, want no alarm", got, log)
		}
	})
}
