package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// The errors of a database.
var (
	errSerial = errors.New("could not serialize access")
	errUnique = errors.New("duplicate key value violates a constraint")
	errWait   = errors.New("lock wait timeout")
	errBroken = errors.New("the connection is broken")
)

// txStore is a database in memory that has the records of a memstore and, beside
// them, rows of business data, and transactions over both. A transaction holds the
// lock of a slot until it ends; other steps on the slot wait for that for a moment and
// fail, or do not wait where the contract says so.
type txStore struct {
	base *memstore.Store

	mu    sync.Mutex
	locks map[semel.Key]*dbTx
	rows  []string // committed
	begun int

	// What fails, if set. They must not change once the store is used.
	beginErr  func() error
	commitErr func(n int) error // n counts from 1; with errHappened it commits all the same
	lookErr   func() error
	room      int // the largest body that a transaction completes with; 0: any
	commits   int
}

var (
	_ semel.Store          = (*txStore)(nil)
	_ semel.Renewer        = (*txStore)(nil)
	_ semel.EffectBeginner = (*txStore)(nil)
	_ semel.Looker         = (*txStore)(nil)
)

func newTxStore() *txStore {
	return &txStore{base: memstore.New(memstore.Config{}), locks: make(map[semel.Key]*dbTx)}
}

func (s *txStore) committed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

func (s *txStore) holder(key semel.Key) *dbTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks[key]
}

// wait waits until no transaction holds the slot.
func (s *txStore) wait(key semel.Key) error {
	for deadline := time.Now().Add(50 * time.Millisecond); s.holder(key) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return errWait
		}
	}
	return nil
}

func (s *txStore) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if holder := s.holder(r.Key); holder != nil && holder.reserved != nil {
		if err := s.wait(r.Key); err != nil { // it cannot see what is not committed
			return semel.Record{}, err
		}
	} else if holder != nil {
		r.TakeOver, r.TakeOverBlameless = false, false
		held, err := s.base.Reserve(ctx, r)
		held.Lapsed = false
		return held, err
	}
	return s.base.Reserve(ctx, r)
}

func (s *txStore) Complete(ctx context.Context, c semel.Completion) error {
	if err := s.wait(c.Key); err != nil {
		return err
	}
	return s.base.Complete(ctx, c)
}

func (s *txStore) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	if err := s.wait(key); err != nil {
		return err
	}
	return s.base.Release(ctx, key, token)
}

func (s *txStore) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	return s.base.BeginEffects(ctx, key, token)
}

func (s *txStore) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var missed semel.UnrenewedError
	var free []semel.Holder
	for _, h := range holders {
		if s.holder(h.Key) != nil {
			missed.Tokens = append(missed.Tokens, h.Token)
		} else {
			free = append(free, h)
		}
	}
	lost, err := s.base.Renew(ctx, lease, free)
	if err == nil && len(missed.Tokens) > 0 {
		missed.Err = errWait
		err = &missed
	}
	return lost, err
}

func (s *txStore) Look(ctx context.Context, key semel.Key) (semel.Record, error) {
	if s.lookErr != nil {
		if err := s.lookErr(); err != nil {
			return semel.Record{}, err
		}
	}
	if err := s.wait(key); err != nil {
		return semel.Record{}, err
	}
	return s.read(ctx, key)
}

func (s *txStore) read(ctx context.Context, key semel.Key) (semel.Record, error) {
	for held, err := range s.base.List(ctx, semel.Filter{Scope: key.Scope, ID: key.ID, Bodies: true}) {
		return held, err
	}
	return semel.Record{Key: key}, nil
}

// transactions are the store's, in one mode.
type transactions struct {
	*txStore
	mode semel.TxMode
}

func (x transactions) Mode() semel.TxMode { return x.mode }
func (x transactions) Store() semel.Store { return x.txStore }
func (x transactions) Again(err error) bool {
	return errors.Is(err, errSerial) && !errors.Is(err, semel.ErrCommitUnknown)
}

func (x transactions) Begin(context.Context) (semel.Transaction, error) {
	if x.beginErr != nil {
		if err := x.beginErr(); err != nil {
			return nil, err
		}
	}
	return x.begin(), nil
}

func (s *txStore) begin() *dbTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	return &dbTx{store: s}
}

// dbTx is one transaction.
type dbTx struct {
	store *txStore

	mu        sync.Mutex
	over      bool
	spoiled   error
	rows      []string
	reserved  *semel.Reservation
	completed *semel.Completion
}

type handleKey struct{}

// handleOf finds the handle that business code writes with.
func handleOf(ctx context.Context) *dbTx {
	x, _ := ctx.Value(handleKey{}).(*dbTx)
	return x
}

func (x *dbTx) Attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, handleKey{}, x)
}

// insert is a statement of the business code.
func (x *dbTx) insert(row string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.over:
		return semel.ErrTxOver
	case x.spoiled != nil:
		return x.spoiled
	}
	x.rows = append(x.rows, row)
	return nil
}

// fail is a statement that fails and spoils the transaction.
func (x *dbTx) fail(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.spoiled == nil {
		x.spoiled = err
	}
	return err
}

func (x *dbTx) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.spoiled
}

func (x *dbTx) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if other := x.store.locks[key]; other != nil && other != x {
		return fmt.Errorf("%w: %w", errSerial, errWait)
	}
	held, err := x.store.read(ctx, key)
	switch {
	case err != nil:
		return err
	case held.State != semel.StateReserved || held.Token != token:
		return semel.ErrLost
	}
	x.store.locks[key] = x
	return nil
}

func (x *dbTx) Complete(ctx context.Context, c semel.Completion) error {
	if x.store.room > 0 && len(c.Response.Body) > x.store.room {
		return semel.ErrTooLarge
	}
	if x.reserved == nil {
		if err := x.Lock(ctx, c.Key, c.Token); err != nil {
			return err
		}
	}
	x.completed = &c
	return nil
}

func (x *dbTx) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if other := x.store.locks[r.Key]; other != nil && other != x {
		return semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint}, nil
	}
	held, err := x.store.read(ctx, r.Key)
	if err != nil || held.State != semel.StateFree {
		return held, err
	}
	x.reserved = &r
	x.store.locks[r.Key] = x
	return semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token,
		Fence: held.Fence + 1, Attempts: held.Attempts + 1, Deferred: r.Deferred,
	}, nil
}

// errNotHappened and errHappened are commits whose reply is lost.
var (
	errNotHappened = fmt.Errorf("%w: before the commit", semel.ErrCommitUnknown)
	errHappened    = fmt.Errorf("%w: after the commit", semel.ErrCommitUnknown)
)

func (x *dbTx) Commit(ctx context.Context) error {
	x.store.mu.Lock()
	x.store.commits++
	n := x.store.commits
	x.store.mu.Unlock()
	var failure error
	if x.store.commitErr != nil {
		failure = x.store.commitErr(n)
	}
	defer x.Rollback(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.over:
		return semel.ErrTxOver
	case x.spoiled != nil:
		return x.spoiled
	case failure != nil && !errors.Is(failure, errHappened):
		return failure
	}
	if x.reserved != nil {
		if _, err := x.store.base.Reserve(ctx, *x.reserved); err != nil {
			return err
		}
	}
	if x.completed != nil {
		if err := x.store.base.Complete(ctx, *x.completed); err != nil {
			return err
		}
	}
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	x.store.rows = append(x.store.rows, x.rows...)
	return failure
}

func (x *dbTx) Rollback(context.Context) {
	x.mu.Lock()
	x.over = true
	x.mu.Unlock()
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	for key, holder := range x.store.locks {
		if holder == x {
			delete(x.store.locks, key)
		}
	}
}

// commitByHandler is what the handle has instead of Commit.
func (x *dbTx) commitByHandler() error { return x.fail(semel.ErrTxOwned) }

// ownTx makes the transaction of a handler one of Semel's.
type ownTx struct{ *dbTx }

func (x ownTx) Steps(s semel.Store) (semel.TxSteps, error) {
	if s != semel.Store(x.store) {
		return nil, semel.ErrOtherStore
	}
	return x.dbTx, nil
}
