package semel_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// teller is one process of a bank: an engine's store over a wire of its own, and the
// transactions that it begins, whose steps wait and fail as a test says.
type teller struct {
	*wire
	bank *bank
	tx   *faults
}

// faults are hooks around the steps of transactions: begin, lock, reserve, complete,
// commit, rollback, look and statement.
type faults struct {
	mu            sync.Mutex
	before, after func(string) error
	calls         map[string]int
}

// set replaces what happens before a step, whose error keeps it from happening, and
// after it, whose error is a lost answer.
func (f *faults) set(before, after func(string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) count(step string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[step]
}

func (f *faults) around(step string, run func() error) error {
	f.mu.Lock()
	f.calls[step]++
	before, after := f.before, f.after
	f.mu.Unlock()
	if err := do(before, step); err != nil {
		return err
	}
	err := run()
	if lost := do(after, step); lost != nil {
		return lost
	}
	return err
}

// notRenewing has a lease that is renewed after the completion's timeout only: a look that
// runs into that does not meet a renewal sent at the very same moment.
var notRenewing = semel.Config{Lease: 4 * semel.DefaultCompleteTimeout}

// teller opens a process of the bank, with a witness of its steps.
func (b *bank) teller(t *testing.T, cfg semel.Config) (*semel.Engine, *teller) {
	t.Helper()
	s := &teller{wire: newWire(t, b), bank: b, tx: &faults{calls: map[string]int{}}}
	if cfg.Observe == nil {
		cfg.Observe = newWitness(t).observe
	}
	return newEngine(t, s, cfg), s
}

// die cuts a process off for good: its transactions are rolled back by the server.
func (s *teller) die() {
	s.cut()
	s.tx.set(func(step string) error {
		if step == "rollback" { // that its connection is gone is all the same to it
			return nil
		}
		return errBroken
	}, nil)
	s.bank.breakAll(s)
}

// Look waits for the transaction that is at work on the slot.
func (s *teller) Look(ctx context.Context, key semel.Key) (held semel.Record, err error) {
	s.detached(ctx, semel.StepCommit)
	err = s.tx.around("look", func() error {
		return s.bank.alone(key, func() error {
			held = s.bank.peek(key, 0)
			held.Lapsed = false
			return nil
		})
	})
	return held, err
}

// begins are a teller's transactions in one mode.
type begins struct {
	*teller
	mode semel.TxMode
}

func (s *teller) mode(m semel.TxMode) semel.Transactions { return begins{s, m} }

func (b begins) Mode() semel.TxMode { return b.mode }

func (b begins) Store() semel.Store { return b.teller }

func (b begins) Again(err error) bool {
	return errors.Is(err, errSerialize) || errors.Is(err, errBroken) || errors.Is(err, errLocked)
}

func (b begins) Begin(ctx context.Context) (semel.Transaction, error) {
	x := &bankTx{teller: b.teller, moves: map[string]int{}, pays: map[semel.Key]int{}}
	b.detached(ctx, semel.StepReserve)
	err := b.tx.around("begin", func() error {
		b.bank.mu.Lock()
		defer b.bank.mu.Unlock()
		b.bank.open[x] = true
		return nil
	})
	if err != nil {
		x.ended = true
		b.bank.mu.Lock()
		delete(b.bank.open, x)
		b.bank.mu.Unlock()
		return nil, err
	}
	return x, nil
}

// bankTx is one transaction. It checks that only one goroutine uses it at a time,
// and nobody after its end.
type bankTx struct {
	*teller
	using atomic.Bool

	ended     bool // Commit or Rollback was called
	over      bool // the server has ended it
	spoiled   error
	unseen    bool // a statement has ended it, and begun another one
	reserved  *semel.Reservation
	completed *semel.Completion
	moves     map[string]int
	pays      map[semel.Key]int
	orders    []string
}

func (x *bankTx) use(ctx context.Context, step string, run func() error) error {
	if !x.using.CompareAndSwap(false, true) {
		x.t.Errorf("%s: the transaction is used by two goroutines", step)
	}
	defer x.using.Store(false)
	if ctx.Done() != nil {
		x.t.Errorf("%s got a context that can be cancelled", step)
	}
	return x.tx.around(step, func() error {
		x.bank.mu.Lock()
		defer x.bank.mu.Unlock()
		return run()
	})
}

// step runs one of the steps of a store.
func (x *bankTx) step(ctx context.Context, name string, run func() error) error {
	return x.use(ctx, name, func() error {
		switch {
		case x.ended:
			x.t.Errorf("%s in a transaction that has ended", name)
		case x.over:
			return errBroken
		case x.spoiled != nil:
			return errAborted
		}
		return run()
	})
}

// hold takes the lock of the slot that token must hold. The caller holds mu.
func (x *bankTx) hold(key semel.Key, token semel.Token) error {
	if err := x.bank.await(key, x); err != nil {
		return err
	}
	if x.over { // while it waited
		return errBroken
	}
	if x.reserved != nil && x.reserved.Key == key && x.reserved.Token == token {
		return nil
	}
	if held := x.bank.peek(key, 0); held.State != semel.StateReserved || held.Token != token {
		return semel.ErrLost
	}
	x.bank.slots[key] = x
	return nil
}

func (x *bankTx) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	return x.step(ctx, "lock", func() error { return x.hold(key, token) })
}

func (x *bankTx) Complete(ctx context.Context, c semel.Completion) error {
	return x.step(ctx, "complete", func() error {
		err := x.hold(c.Key, c.Token)
		if err == nil {
			x.completed = &c
		}
		return err
	})
}

func (x *bankTx) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	err = x.step(ctx, "reserve", func() error {
		held = semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint}
		if x.bank.slots[r.Key] != nil {
			return nil // somebody is at work
		}
		now := x.bank.peek(r.Key, r.Margin)
		if now.State != semel.StateFree && (now.State != semel.StateCompleted || now.ExpiresAt.After(time.Now())) {
			held = now
			return nil
		}
		x.bank.slots[r.Key], x.reserved = x, &r
		held.Token, held.Fence, held.Attempts = r.Token, max(now.Fence+1, time.Now().UnixMicro()), now.Attempts+1
		return nil
	})
	return held, err
}

func (x *bankTx) Commit(ctx context.Context) error {
	return x.use(ctx, "commit", func() error {
		x.end()
		switch {
		case x.over:
			return errBroken
		case x.spoiled != nil:
			x.bank.end(x)
			return errAborted
		}
		x.apply(ctx)
		x.bank.end(x)
		return nil
	})
}

// end notes that the client has ended the transaction. The caller holds mu.
func (x *bankTx) end() {
	x.ended = true
	delete(x.bank.open, x)
}

// apply makes the writes of x seen by all, in one moment.
func (x *bankTx) apply(ctx context.Context) {
	b := x.bank
	if r := x.reserved; r != nil {
		if held, err := b.records.Reserve(ctx, *r); err != nil || held.Token != r.Token {
			b.t.Errorf("the slot was taken beside its lock: %v", err)
		}
	}
	if c := x.completed; c != nil {
		if err := b.records.Complete(ctx, *c); err != nil {
			b.t.Errorf("the slot was lost beside its lock: %v", err)
		}
	}
	for name, amount := range x.moves {
		b.balances[name] += amount
	}
	for key, n := range x.pays {
		b.payments[key] += n
	}
	for _, id := range x.orders {
		b.orders[id] = true
	}
}

func (x *bankTx) Rollback(ctx context.Context) {
	_ = x.use(ctx, "rollback", func() error {
		x.end()
		if !x.over {
			x.bank.end(x)
		}
		return nil
	})
}

func (x *bankTx) Err() error {
	x.bank.mu.Lock()
	defer x.bank.mu.Unlock()
	if x.unseen && x.ended {
		return semel.ErrTxEnded
	}
	return x.spoiled
}

type cashierKey struct{}

func (x *bankTx) Attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, cashierKey{}, cashier{x})
}

// Steps makes a transaction that is the handler's own a [semel.Tx].
func (x *bankTx) Steps(store semel.Store) (semel.TxSteps, error) {
	if s, ok := semel.As[*teller](store); !ok || s.bank != x.bank {
		return nil, semel.ErrOtherStore
	}
	return x, nil
}

// cashier is the handle by which business code writes.
type cashier struct{ x *bankTx }

func cashierOf(ctx context.Context) cashier { return ctx.Value(cashierKey{}).(cashier) }

func (c cashier) statement(run func() error) error {
	x := c.x
	err := x.tx.around("statement", func() error {
		x.bank.mu.Lock()
		defer x.bank.mu.Unlock()
		switch {
		case x.ended:
			return semel.ErrTxOver
		case x.spoiled != nil:
			return errAborted
		case x.over:
			return errBroken
		}
		return run()
	})
	x.bank.mu.Lock()
	defer x.bank.mu.Unlock()
	if x.spoiled == nil && !x.ended {
		x.spoiled = err
	}
	return err
}

// pay moves an amount and notes for which key.
func (c cashier) pay(key semel.Key, from, to string, amount int) error {
	return c.statement(func() error {
		for _, name := range []string{from, to} {
			if holder := c.x.bank.accounts[name]; holder != nil && holder != c.x {
				return errSerialize
			}
		}
		c.x.bank.accounts[from], c.x.bank.accounts[to] = c.x, c.x
		c.x.moves[from] -= amount
		c.x.moves[to] += amount
		c.x.pays[key]++
		return nil
	})
}

// order inserts what may be there once only.
func (c cashier) order(id string) error {
	return c.statement(func() error {
		if c.x.bank.orders[id] {
			return fmt.Errorf("order %s: %w", id, errUnique)
		}
		c.x.orders = append(c.x.orders, id)
		return nil
	})
}

// smuggle is a statement that ends the transaction behind its handle.
func (c cashier) smuggle() error {
	return c.statement(func() error {
		c.x.apply(context.Background())
		c.x.bank.end(c.x)
		return semel.ErrTxEnded
	})
}

// smuggleUnseen is smuggle by a text that begins another transaction at once: it is
// found out when the end is over.
func (c cashier) smuggleUnseen() error {
	return c.statement(func() error {
		x := c.x
		x.apply(context.Background())
		x.bank.end(x)
		x.over, x.unseen, x.reserved = false, true, nil
		clear(x.moves)
		clear(x.pays)
		return nil
	})
}

// commit is what business code must not do.
func (c cashier) commit() error {
	c.x.bank.mu.Lock()
	defer c.x.bank.mu.Unlock()
	if c.x.spoiled == nil {
		c.x.spoiled = semel.ErrTxOwned
	}
	return semel.ErrTxOwned
}
