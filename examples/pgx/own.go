package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/pgstore"
)

// tries bounds how often a transaction is begun anew after an error of the database.
const tries = 5

// transferOwn answers as transfer does, in a transaction that it begins and commits by itself,
// as handlers do that are older than their idempotency. Whatever becomes of the commit, the
// answer that the client gets is the one that was committed, or says that none was: a
// handler that has reset its answer and returns leaves that to Semel.
func (b *bank) transferOwn(w http.ResponseWriter, r *http.Request) {
	o, ok := orderOf(w, r)
	if !ok {
		return
	}
	ctx := context.WithoutCancel(r.Context()) // the transaction does not end with the client's patience
	for range tries {
		err := b.try(ctx, w, o)
		if err == nil {
			return
		}
		if semelhttp.Reset(w) != nil || errors.Is(err, semel.ErrLost) { // another attempt has the key, or it is done
			return
		}
	}
}

// try is one transaction: it locks the slot of the key first, and completes it last.
func (b *bank) try(ctx context.Context, w http.ResponseWriter, o order) error {
	tx, err := b.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
	own := pgstore.Tx(tx)
	if err := semelhttp.LockIn(ctx, own); err != nil {
		return err
	}
	id, err := move(ctx, tx, o)
	if err != nil && !errors.Is(err, errNoMoney) {
		return err
	}
	answer(w, id, err)
	if err := semelhttp.CompleteIn(ctx, w, own); err != nil {
		return err
	}
	if err := b.commit(ctx, tx); err != nil {
		return confirm(ctx, err)
	}
	return nil
}

func commit(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }

// confirm finds out what has become of a commit that has failed: its answer may be all that
// was lost.
func confirm(ctx context.Context, failed error) error {
	out, err := semel.FromContext(ctx).Confirm(ctx)
	switch {
	case err != nil: // nobody knows: LockIn of the next try does
		return errors.Join(failed, err)
	case out.Kind == semel.Replay:
		return nil
	}
	return failed
}
