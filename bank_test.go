package semel_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// bank is a database in memory that keeps records beside balances, with what
// transactions of a real one do: writes that nobody sees before the commit, locks of
// rows that end with the transaction, serialization failures, and a roll back when
// the connection breaks. Tellers are the processes that use it.
type bank struct {
	t       testing.TB
	records *memstore.Store

	mu       sync.Mutex
	changed  chan struct{} // closed when a lock is let go
	balances map[string]int
	payments map[semel.Key]int // committed, by the key that they were made for
	orders   map[string]bool   // a column whose values are unique
	slots    map[semel.Key]*bankTx
	accounts map[string]*bankTx
	open     map[*bankTx]bool // not ended by their clients yet
}

// patience is how long a step waits for a lock.
const patience = 700 * time.Millisecond

var (
	errSerialize = errors.New("could not serialize access")
	errBroken    = errors.New("the connection broke")
	errLocked    = errors.New("the lock was not to be had in time")
	errUnique    = errors.New("there is such an order already")
	errAborted   = errors.New("the transaction is aborted")
)

// newBank has 100 in each of two accounts. At the end of the test every
// transaction must be over.
func newBank(t testing.TB) *bank {
	t.Helper()
	b := &bank{
		t: t, records: memstore.New(memstore.Config{}), changed: make(chan struct{}),
		balances: map[string]int{"alice": 100, "bob": 100}, payments: map[semel.Key]int{}, orders: map[string]bool{},
		slots: map[semel.Key]*bankTx{}, accounts: map[string]*bankTx{}, open: map[*bankTx]bool{},
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.open); n != 0 {
			t.Errorf("%d transactions were neither committed nor rolled back", n)
		}
		if got := b.balances["alice"] + b.balances["bob"]; got != 200 {
			t.Errorf("got %d in all accounts, want 200 as in the beginning", got)
		}
	})
	return b
}

// wantPaid compares what is committed for a key (I8).
func (b *bank) wantPaid(t *testing.T, key semel.Key, payments int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.payments[key]; got != payments {
		t.Fatalf("got %d committed payments, want %d", got, payments)
	}
}

// wantIdle wants no lock and no open transaction.
func (b *bank) wantIdle(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open)+len(b.slots)+len(b.accounts) != 0 {
		t.Fatalf("got %d open transactions, %d slots and %d accounts locked, want none", len(b.open), len(b.slots), len(b.accounts))
	}
}

// peek reads what the slot holds. The caller holds mu.
func (b *bank) peek(key semel.Key, margin time.Duration) semel.Record {
	held := semel.Record{Key: key}
	f := semel.Filter{Scope: key.Scope, ID: key.ID, Margin: margin, Bodies: true}
	for rec, err := range b.records.List(context.Background(), f) {
		if err != nil {
			b.t.Error(err)
		}
		held = rec
	}
	return held
}

// look reads a slot from outside.
func (b *bank) look(key semel.Key) semel.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peek(key, semel.DefaultMargin)
}

// expire ends the lease of a slot, whatever locks there are: time has passed.
func (b *bank) expire(key semel.Key) {
	held := b.look(key)
	_, _ = b.records.Renew(context.Background(), 0, []semel.Holder{{Key: key, Token: held.Token}})
}

// await waits until no transaction but mine has the slot. The caller holds mu.
func (b *bank) await(key semel.Key, mine *bankTx) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if holder := b.slots[key]; holder == nil || holder == mine {
			return nil
		}
		changed, late := b.changed, false
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			late = true
		}
		b.mu.Lock()
		if late {
			return errLocked
		}
	}
}

// alone runs a plain step when no transaction has the slot.
func (b *bank) alone(key semel.Key, step func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.await(key, nil); err != nil {
		return err
	}
	return step()
}

// Reserve waits for a reservation that is not committed yet, as for any row that is
// being inserted, but not for the lock of one that is: it cannot be taken over.
func (b *bank) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x := b.slots[r.Key]; x != nil && x.reserved != nil {
		if err := b.await(r.Key, nil); err != nil {
			return semel.Record{}, err
		}
	}
	if b.slots[r.Key] != nil {
		r.TakeOver, r.TakeOverBlameless = false, false
	}
	return b.records.Reserve(ctx, r)
}

func (b *bank) Complete(ctx context.Context, c semel.Completion) error {
	return b.alone(c.Key, func() error { return b.records.Complete(ctx, c) })
}

func (b *bank) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	return b.alone(key, func() error { return b.records.Release(ctx, key, token) })
}

func (b *bank) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	return b.alone(key, func() error { return b.records.BeginEffects(ctx, key, token) })
}

func (b *bank) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return b.records.List(ctx, f)
}

// Renew skips the rows that are locked.
func (b *bank) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var free []semel.Holder
	locked := &semel.UnrenewedError{Err: errLocked}
	for _, h := range holders {
		if b.slots[h.Key] != nil {
			locked.Tokens = append(locked.Tokens, h.Token)
		} else {
			free = append(free, h)
		}
	}
	lost, err := b.records.Renew(ctx, lease, free)
	if err == nil && len(locked.Tokens) > 0 {
		err = locked
	}
	return lost, err
}

// end lets go of all locks of x. The caller holds mu.
func (b *bank) end(x *bankTx) {
	x.over = true
	for key, holder := range b.slots {
		if holder == x {
			delete(b.slots, key)
		}
	}
	for name, holder := range b.accounts {
		if holder == x {
			delete(b.accounts, name)
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// breakAll ends every open transaction as the server does when connections break:
// their clients do not know yet.
func (b *bank) breakAll(of *teller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for x := range b.open {
		if (of == nil || x.teller == of) && !x.over {
			b.end(x)
		}
	}
}
