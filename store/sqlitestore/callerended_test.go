package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// wantNext ends the lease of r and checks whether the next attempt runs, which may have what
// is blameless.
func (b *bank) wantNext(r semel.Reservation, runs bool) {
	b.t.Helper()
	if _, err := b.Renew(b.t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
		b.t.Fatal(err)
	}
	next := heir(r)
	next.TakeOver, next.TakeOverBlameless = false, true
	held, err := b.Reserve(b.t.Context(), next)
	b.must(err)
	if got := held.Token == next.Token; got != runs {
		b.t.Errorf("%s: the next attempt runs: %v, want %v", r.Key.ID, got, runs)
	}
}

// I7, I8: what is committed behind Lock and without the record is not done again, whatever the
// attempt has promised, although its process dies before it can say so; a rollback leaves
// the promise as it was.
func TestLockEndsThePromise(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		for text, effects := range map[string]int64{"": 0, "ROLLBACK": 0, "COMMIT": 1, "COMMIT; BEGIN IMMEDIATE": 1} {
			r, _ := b.claim("key " + text)
			tx := b.beginTx(b.db)
			b.must(tx.Lock(t.Context(), r.Key, r.Token))
			b.book(tx, r.Key.ID)
			if text != "" {
				_, err := tx.ExecContext(t.Context(), text)
				b.must(err)
			}
			_ = tx.Rollback() // as the end of the process does
			b.wantBooked(r.Key.ID, effects)
			b.wantNext(r, effects == 0)
		}
	})
}

// ended are the ways in which a transaction of the application ends before its record is
// completed, and whether it may have been committed.
var ended = map[string]struct {
	end     func(ctx context.Context, cancel func(), tx *sql.Tx) error
	unknown bool
	booked  int64
}{
	"commit":    {func(_ context.Context, _ func(), tx *sql.Tx) error { return tx.Commit() }, true, 1},
	"a COMMIT":  {func(ctx context.Context, _ func(), tx *sql.Tx) error { return execCtx(ctx, tx, "COMMIT") }, true, 1},
	"a cut":     {cutTx, false, 0},
	"rollback":  {func(_ context.Context, _ func(), tx *sql.Tx) error { return tx.Rollback() }, false, 0},
	"ROLLBACK":  {func(ctx context.Context, _ func(), tx *sql.Tx) error { return execCtx(ctx, tx, "ROLLBACK") }, true, 0},
	"two texts": {func(ctx context.Context, _ func(), tx *sql.Tx) error { return execCtx(ctx, tx, "SELECT 1; COMMIT") }, true, 1},
}

// cutTx ends the context of tx, as a client that goes away does, and waits for package sql.
func cutTx(_ context.Context, cancel func(), tx *sql.Tx) error {
	cancel()
	for !errors.Is(execCtx(uncancelled(), tx, "SELECT 1"), sql.ErrTxDone) {
		runtime.Gosched()
	}
	return nil
}

func execCtx(ctx context.Context, tx *sql.Tx, text string) error {
	_, err := tx.ExecContext(ctx, text)
	return err
}

// I7, I8: CompleteIn in a transaction that has ended says that the outcome is unknown, unless it
// is certain that nothing was committed; then nobody begins again, and nobody frees the key.
func TestCompleteInAfterTheEnd(t *testing.T) {
	eachKind(t, func(b *bank) {
		e := b.engine()
		for name, c := range ended {
			for _, locks := range []bool{true, false} {
				id, unknown := name, c.unknown
				if !locks {
					id, unknown = name+", not locked", true
				}
				b.completeLate(e, id, locks, unknown, c.end)
				b.wantBooked(id, c.booked)
			}
		}
	})
}

func (b *bank) completeLate(e *semel.Engine, id string, locks, unknown bool, end func(context.Context, func(), *sql.Tx) error) {
	t := b.t
	t.Helper()
	call := callOf(id)
	call.DeferEffects = true
	out, err := e.Begin(t.Context(), call)
	b.must(err)
	ctx, cancel := context.WithCancel(uncancelled())
	defer cancel()
	tx, err := b.db.BeginTx(ctx, nil)
	b.must(err)
	own := sqlitestore.Tx(tx)
	if locks {
		b.must(out.Claim.LockIn(t.Context(), own))
	}
	b.book(tx, id)
	b.must(end(ctx, cancel, tx))
	err = out.Claim.CompleteIn(t.Context(), own, semel.Response{Status: 201})
	if err == nil || errors.Is(err, semel.ErrTxEnded) != unknown {
		t.Errorf("%s: got %v, want ErrTxEnded: %v", id, err, unknown)
	}
	if err != nil && !strings.Contains(err.Error(), "CompleteIn") {
		t.Errorf("%s: got %v, want an error that says what to do", id, err)
	}
	_ = tx.Rollback()
	if _, err := out.Claim.Confirm(t.Context()); err != nil || out.Claim.Deferred() == unknown {
		t.Errorf("%s: got the promise kept %v (%v), want %v", id, out.Claim.Deferred(), err, !unknown)
	}
	again, err := b.db.BeginTx(uncancelled(), nil)
	b.must(err)
	if err := out.Claim.LockIn(t.Context(), sqlitestore.Tx(again)); errors.Is(err, semel.ErrTxEnded) != unknown || err == nil == unknown {
		t.Errorf("%s: got %v for a second lock, want it refused: %v", id, err, unknown)
	}
	b.must(again.Rollback())
	_, err = out.Claim.Confirm(t.Context())
	b.must(err)
	if err := out.Claim.Release(t.Context()); errors.Is(err, semel.ErrTxEnded) != unknown {
		t.Errorf("%s: got %v for a release, want it refused: %v", id, err, unknown)
	}
	out.Claim.Abandon(t.Context())
	next, err := e.Begin(t.Context(), call)
	b.must(err)
	if runs := next.Kind == semel.Reserved; runs == unknown {
		t.Errorf("%s: the next attempt is %v, want it to run: %v", id, next.Kind, !unknown)
	}
}

// I7: a statement that commits and begins anew is not found out. What the second
// transaction holds is rolled back, and the first one is known not to be undone.
func TestCompleteInASecondTransaction(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		e := b.engine()
		call := callOf("a")
		call.DeferEffects = true
		out, err := e.Begin(t.Context(), call)
		b.must(err)
		tx, err := b.db.BeginTx(uncancelled(), nil)
		b.must(err)
		own := sqlitestore.Tx(tx)
		b.must(out.Claim.LockIn(t.Context(), own))
		b.book(tx, "a")
		b.must(execCtx(t.Context(), tx, "COMMIT; BEGIN IMMEDIATE"))
		b.must(out.Claim.CompleteIn(t.Context(), own, semel.Response{Status: 201}))
		b.must(tx.Rollback())
		if got, err := out.Claim.Confirm(t.Context()); err != nil || got.Kind != semel.Reserved || out.Claim.Deferred() {
			t.Errorf("got %v, the promise kept %v (%v), want an outcome that nobody knows", got.Kind, out.Claim.Deferred(), err)
		}
		if err := out.Claim.Release(t.Context()); !errors.Is(err, semel.ErrTxEnded) {
			t.Errorf("got %v for a release, want ErrTxEnded", err)
		}
		out.Claim.Abandon(t.Context())
		if next, err := e.Begin(t.Context(), call); err != nil || next.Kind == semel.Reserved {
			t.Errorf("the next attempt is %v (%v), want it not to run", next.Kind, err)
		}
		b.wantBooked("a", 1)
	})
}

// I8: a text that hides a COMMIT is refused by the guard, and its error says so.
func TestHiddenCommitIsNamed(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		_, err := semel.DoTx(t.Context(), b.engine(), callOf("a"), txs, func(ctx context.Context) (string, error) {
			tx := semelsql.TxFrom(ctx)
			b.book(tx, "a")
			_, err := tx.ExecContext(ctx, "SELECT 1; COMMIT")
			return "", err
		})
		if !errors.Is(err, semel.ErrTxOwned) || errors.Is(err, semel.ErrTxEnded) || !strings.Contains(err.Error(), "would have committed") {
			t.Errorf("got %v, want ErrTxOwned", err)
		}
		b.wantBooked("a", 0)
	})
}
