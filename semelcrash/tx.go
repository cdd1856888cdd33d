package semelcrash

import (
	"context"

	"github.com/semel-go/semel"
)

// Transactions watches the steps of t, for an engine or a middleware that owns
// the transactions.
func (p *Process) Transactions(t semel.Transactions) semel.Transactions {
	if p == nil || t == nil {
		return t
	}
	return &watchedTransactions{t, p}
}

// Tx watches the steps in tx, a transaction of the handler's own. Its commit is
// the handler's: put [Process.Point] before and after it.
func (p *Process) Tx(tx semel.Tx) semel.Tx {
	if p == nil {
		return tx
	}
	return watchedTx{tx, p}
}

type watchedTransactions struct {
	semel.Transactions
	p *Process
}

func (w *watchedTransactions) Begin(ctx context.Context) (tx semel.Transaction, err error) {
	w.p.step(StepTxBegin, func() { tx, err = w.Transactions.Begin(ctx) })
	if err != nil {
		return nil, err
	}
	watched := watchedTransaction{tx, watchedSteps{w.p, tx}}
	if both, ok := tx.(semel.CompleteCommitter); ok {
		return &watchedOneTrip{watched, both}, nil
	}
	return &watched, nil
}

// inner is a transaction without its steps, which are watched.
type inner interface {
	Attach(ctx context.Context) context.Context
	Err() error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context)
}

type watchedTransaction struct {
	inner
	watchedSteps
}

func (w *watchedTransaction) Commit(ctx context.Context) (err error) {
	w.p.step(StepTxCommit, func() { err = w.inner.Commit(ctx) })
	return err
}

// watchedOneTrip is a transaction that completes and commits in one round trip, as
// the engine then asks of it: one step, the commit.
type watchedOneTrip struct {
	watchedTransaction
	both semel.CompleteCommitter
}

func (w *watchedOneTrip) CompleteAndCommit(ctx context.Context, c semel.Completion) (err error) {
	w.p.step(StepTxCommit, func() { err = w.both.CompleteAndCommit(ctx, c) })
	return err
}

type watchedTx struct {
	tx semel.Tx
	p  *Process
}

func (w watchedTx) Steps(store semel.Store) (semel.TxSteps, error) {
	steps, err := w.tx.Steps(store)
	if err != nil {
		return nil, err
	}
	return watchedSteps{w.p, steps}, nil
}

type watchedSteps struct {
	p     *Process
	steps semel.TxSteps
}

func (w watchedSteps) Lock(ctx context.Context, key semel.Key, token semel.Token) (err error) {
	w.p.step(StepTxLock, func() { err = w.steps.Lock(ctx, key, token) })
	return err
}

func (w watchedSteps) Complete(ctx context.Context, c semel.Completion) (err error) {
	w.p.step(StepTxComplete, func() { err = w.steps.Complete(ctx, c) })
	return err
}

func (w watchedSteps) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	w.p.step(StepTxReserve, func() { held, err = w.steps.Reserve(ctx, r) })
	return held, err
}
