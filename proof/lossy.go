package proof

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// Lossy is the network between workers and a store in this process. It is safe
// for concurrent use.
type Lossy struct {
	// Store does the work.
	Store Store
	// Latency is the longest way of a question and of an answer.
	Latency time.Duration
	// Of a hundred steps so many are refused before they happen, happen but
	// their answer is lost, and happen long after their caller has heard so.
	Refused, Dropped, Late int
	// Seed chooses which.
	Seed uint64

	mu    sync.Mutex
	rng   *rand.Rand
	stray sync.WaitGroup
}

var errLine = errors.New("proof: the line broke")

// Wait returns when the last step that was late has happened.
func (l *Lossy) Wait() { l.stray.Wait() }

func (l *Lossy) roll() (fate int, there, back time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rng == nil {
		l.rng = rand.New(rand.NewPCG(l.Seed, 0))
	}
	way := max(int64(l.Latency), 1)
	return l.rng.IntN(100), time.Duration(l.rng.Int64N(way)), time.Duration(l.rng.Int64N(way))
}

// send carries a step to the store and its answer back, or not.
func send[T any](l *Lossy, step func() (T, error)) (T, error) {
	var none T
	fate, there, back := l.roll()
	time.Sleep(there)
	switch {
	case fate < l.Refused:
		return none, errLine
	case fate < l.Refused+l.Late:
		l.stray.Go(func() {
			time.Sleep(20 * back)
			_, _ = step()
		})
		return none, errLine
	}
	v, err := step()
	time.Sleep(back)
	if fate >= 100-l.Dropped {
		return none, errLine
	}
	return v, err
}

// Reserve implements [semel.Store].
func (l *Lossy) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	return send(l, func() (semel.Record, error) { return l.Store.Reserve(ctx, r) })
}

// Complete implements [semel.Store].
func (l *Lossy) Complete(ctx context.Context, c semel.Completion) error {
	return l.only(func() error { return l.Store.Complete(ctx, c) })
}

// Release implements [semel.Store].
func (l *Lossy) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	return l.only(func() error { return l.Store.Release(ctx, key, token) })
}

// Renew implements [semel.Renewer].
func (l *Lossy) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	return send(l, func() ([]semel.Token, error) { return l.Store.Renew(ctx, lease, holders) })
}

// Purge implements [semel.Purger].
func (l *Lossy) Purge(ctx context.Context, limit int) (int, error) {
	return send(l, func() (int, error) { return l.Store.Purge(ctx, limit) })
}

// Resolve implements [semel.Resolver].
func (l *Lossy) Resolve(ctx context.Context, r semel.Resolution) error {
	return l.only(func() error { return l.Store.Resolve(ctx, r) })
}

// List implements [semel.Lister]. Its answer is late but never lost.
func (l *Lossy) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	_, there, _ := l.roll()
	time.Sleep(there)
	return l.Store.List(ctx, f)
}

// Ping implements [semel.Pinger].
func (l *Lossy) Ping(ctx context.Context) error { return l.Store.Ping(ctx) }

func (l *Lossy) only(step func() error) error {
	_, err := send(l, func() (struct{}, error) { return struct{}{}, step() })
	return err
}
