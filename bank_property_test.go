package semel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// This property test lets clients of many processes pay by few keys, in both modes and
// in transactions of their own, beside attempts without transactions, while wires fail,
// commits lose their answers and processes die. What it holds against them knows
// nothing of the engine: balances, payments, and what clients were told.
const (
	crowdRuns     = 120
	crowdCommands = 60
	crowdPace     = 10 // commands until clients use another key
	crowdKeys     = crowdCommands/crowdPace + 1
)

func TestRandomPaymentsKeepTheInvariants(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(crowdRuns) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, seed)
			for i := range crowdCommands {
				c.step(i / crowdPace)
			}
			c.settleDown()
			if t.Failed() {
				t.Logf("seed %d:\n%s", seed, strings.Join(c.story, "\n"))
			}
			for what, n := range c.seen {
				seen[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	// A run in which nothing happens proves nothing.
	for _, what := range []string{
		"kept paid", "kept refused", "replay", "in-flight", "rolled back", "failed", "busy", "overran", "panicked", "commit unknown",
		"confirmed", "tried again", "process died", "process closed", "effect", "swept", "run after a death",
	} {
		if seen[what] < crowdRuns/20 {
			t.Errorf("%q was seen %d times in %d runs, want it often", what, seen[what], crowdRuns)
		}
	}
}

// crowd is the processes, the clients, and what they were told.
type crowd struct {
	t     *testing.T
	rand  *rand.Rand
	start time.Time
	bank  *bank
	open  []*branch
	all   sync.WaitGroup

	opened  int // how many processes
	mu      sync.Mutex
	answers map[semel.Key]semel.Response // the first that anybody got
	effects map[semel.Key]int            // outside the bank
	seen    map[string]int
	story   []string
}

// branch is one process.
type branch struct {
	name   string
	engine *semel.Engine
	teller *teller
	stop   context.CancelFunc // of its sweep
	dead   bool               // crowd.mu
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	t.Helper()
	c := &crowd{
		t: t, rand: rand.New(rand.NewPCG(seed, 2)), start: time.Now(), bank: newBank(t),
		answers: map[semel.Key]semel.Response{}, effects: map[semel.Key]int{}, seen: map[string]int{},
	}
	for range 3 {
		c.opens()
	}
	return c
}

func (c *crowd) opens() {
	e, s := c.bank.teller(c.t, semel.Config{MaxRun: time.Minute})
	c.opened++
	ctx, stop := context.WithCancel(c.t.Context())
	c.open = append(c.open, &branch{name: fmt.Sprint("branch ", c.opened), engine: e, teller: s, stop: stop})
	c.all.Go(func() { _ = e.RunSweep(ctx, semel.Sweeping{Recover: c.ledger}) })
}

// ends replaces a process.
func (c *crowd) ends(i int) {
	c.open[i].stop()
	c.open = append(c.open[:i], c.open[i+1:]...)
	c.opens()
}

// ledger knows the effects outside of the bank. What was done within is never unknown.
func (c *crowd) ledger(_ context.Context, held semel.Record) (semel.Recovery, error) {
	if strings.HasPrefix(held.Key.ID, "payment") {
		c.broken("I8: somebody asks about %s", held.Key.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen["swept"]++
	if c.effects[held.Key] > 0 {
		return semel.Recovery{Verdict: semel.Executed, Response: answer("done")}, nil
	}
	return semel.Recovery{Verdict: semel.NotExecuted}, nil
}

func (c *crowd) tell(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.story = append(c.story, fmt.Sprintf("%10v ", time.Since(c.start).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (c *crowd) saw(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
}

func (c *crowd) broken(format string, args ...any) {
	c.t.Helper()
	c.tell("BROKEN: "+format, args...)
	c.t.Errorf(format, args...)
}

func (c *crowd) step(key int) {
	i := c.rand.IntN(len(c.open))
	p := c.open[i]
	switch n := c.rand.IntN(100); {
	case n < 60:
		v := &visit{crowd: c, at: p, key: paymentKey(key + c.rand.IntN(2)), rand: rand.New(rand.NewPCG(c.rand.Uint64(), 3))}
		c.all.Go(v.run)
	case n < 70:
		c.fault(p)
	case n < 74:
		c.mu.Lock()
		p.dead = true
		c.mu.Unlock()
		p.teller.die()
		c.saw("process died")
		c.tell("%s dies", p.name)
		c.ends(i)
	case n < 76:
		c.tell("%s closes", p.name)
		c.saw("process closed")
		c.all.Go(func() {
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
			defer cancel()
			_ = p.engine.Close(ctx) // a wire that hangs is cut off
		})
		c.ends(i)
	case n < 79:
		c.bank.breakAll(p.teller)
		c.tell("the connections of %s break", p.name)
	default:
		time.Sleep(time.Duration(c.rand.Int64N(int64([]time.Duration{time.Second, 5 * time.Second, lapse, time.Minute}[c.rand.IntN(4)]))))
	}
	c.audit()
}

// fault gives a process another kind of network.
func (c *crowd) fault(p *branch) {
	kind, dice := c.rand.IntN(6), &dice{rand: rand.New(rand.NewPCG(c.rand.Uint64(), 4))}
	c.tell("%s has faults %d", p.name, kind)
	switch kind {
	case 0, 1:
		p.teller.heal()
		p.teller.tx.set(nil, nil)
	case 2: // the wire of the plain steps
		p.teller.set(func(semel.Step) error { return dice.fails(4, errCut) }, func(semel.Step) error { return dice.fails(4, errCut) })
	case 3: // the steps of transactions
		p.teller.tx.set(func(step string) error {
			switch step {
			case "rollback":
				return nil
			case "look":
				return dice.fails(3, errBroken)
			case "commit":
				return dice.fails(3, []error{errBroken, errNoAnswer}[dice.n(2)])
			}
			return dice.fails(6, []error{errSerialize, errBroken, errLocked}[dice.n(3)])
		}, func(step string) error {
			if step == "commit" {
				return dice.fails(3, errNoAnswer)
			}
			return nil
		})
	case 4: // nobody hears of a commit, whether or not it has happened, and nobody can look
		p.teller.tx.set(func(step string) error {
			switch step {
			case "look":
				return errBroken
			case "commit":
				return dice.fails(2, errNoAnswer)
			}
			return nil
		}, at("commit", func() error { return errNoAnswer }))
	case 5: // everything is slow
		p.teller.set(func(semel.Step) error { dice.sleep(3 * time.Second); return nil }, nil)
		p.teller.tx.set(func(string) error { dice.sleep(15 * time.Second); return nil }, func(step string) error {
			dice.sleep(3 * time.Second)
			if step == "commit" {
				return dice.fails(2, errNoAnswer)
			}
			return nil
		})
	}
}

// dice may be thrown by many goroutines.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

func (d *dice) fails(in int, err error) error {
	if d.n(in) == 0 {
		return err
	}
	return nil
}

func (d *dice) sleep(most time.Duration) { time.Sleep(time.Duration(d.n(int(most)))) }

// audit looks at one moment of the bank: a payment is seen if and only if the record
// says so, and never twice (I8).
func (c *crowd) audit() {
	c.t.Helper()
	c.bank.mu.Lock()
	defer c.bank.mu.Unlock()
	for i := range crowdKeys {
		key := paymentKey(i)
		held := c.bank.peek(key, 0)
		paid := held.State == semel.StateCompleted && strings.HasPrefix(string(held.Response.Body), "paid")
		if got := c.bank.payments[key]; got > 1 || (got == 1) != paid {
			c.broken("I8: %d payments of %s beside a %s record that says %q", got, key.ID, held.State, held.Response.Body)
		}
	}
	if got := c.bank.balances["alice"] + c.bank.balances["bob"]; got != 200 {
		c.broken("I8: got %d in all accounts", got)
	}
}

func paymentKey(i int) semel.Key { return semel.Key{Scope: "tenant", ID: fmt.Sprint("payment-", i)} }

// answered judges an answer: all of one key are the same (I3).
func (c *crowd) answered(v *visit, r semel.Response) {
	c.mu.Lock()
	first, known := c.answers[v.key]
	if !known {
		c.answers[v.key] = r
	}
	c.mu.Unlock()
	if known && !sameResponse(first, r) {
		c.broken("I3: %s got %q, and another client %q", v, r.Body, first.Body)
	}
}

// settleDown heals everything, and asks for each key until it is answered (L1, L4).
func (c *crowd) settleDown() {
	for _, p := range c.open {
		p.stop()
		p.teller.heal()
		p.teller.tx.set(nil, nil)
	}
	c.tell("everything is healed")
	c.all.Wait()
	time.Sleep(2 * time.Minute)
	c.audit()
	for i := range crowdKeys {
		v := &visit{crowd: c, at: c.open[0], key: paymentKey(i), sure: true, rand: rand.New(rand.NewPCG(0, 5))}
		v.inTx([]semel.TxMode{semel.ClaimTx, semel.SingleTx}[i%2])
		if _, known := c.answers[v.key]; !known {
			c.broken("L1: nobody can pay by %s", v.key.ID)
		}
	}
	c.audit()
	c.bank.wantIdle(c.t)
}

// I7: outside of transactions, under Hold, an effect happens at most once.
func (c *crowd) affect(v *visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.at.dead {
		return
	}
	c.effects[v.key]++
	c.seen["effect"]++
	if c.effects[v.key] > 1 {
		c.t.Errorf("I7: %s is the second effect of %s", v, v.key.ID)
	}
}

var errPanicked = errors.New("the business code panicked")

// guard is what a server does around its handlers.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return f()
}
