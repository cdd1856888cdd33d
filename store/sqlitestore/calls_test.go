package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// I3, I8: a call books once and answers the same, however often it comes.
func TestTransactionsDo(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		e := b.engine()
		for i := range 3 {
			got, err := b.doTx(e, txs, "a")
			if err != nil || got.Value != "booked a" || got.Replayed != (i > 0) {
				t.Errorf("call %d: got %+v, error %v, want it booked", i, got, err)
			}
		}
		b.wantBooked("a", 1)
	})
}

// I8: an error of the business code leaves nothing, and the key free.
func TestTransactionsFail(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		e := b.engine()
		errNo := errors.New("no")
		for range 2 {
			_, err := semel.DoTx(t.Context(), e, callOf("a"), txs, func(ctx context.Context) (string, error) {
				b.book(semelsql.TxFrom(ctx), "a")
				return "", errNo
			})
			if !errors.Is(err, errNo) {
				t.Errorf("got error %v, want that of the business code", err)
			}
		}
		b.wantBooked("a", 0)
		if _, err := b.doTx(e, txs, "a"); err != nil {
			t.Error(err)
		}
		b.wantBooked("a", 1)
	})
}

// I8: business code that hides the end of its transaction in a text commits nothing, and
// the key is free.
func TestTransactionsEndBehind(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		e := b.engine()
		for _, text := range []string{"COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"} {
			_, err := semel.DoTx(t.Context(), e, callOf("a"), txs, func(ctx context.Context) (string, error) {
				tx := semelsql.TxFrom(ctx)
				b.book(tx, "a")
				_, _ = tx.ExecContext(ctx, "INSERT INTO ledger VALUES ('a'); "+text)
				return "as if nothing were", nil
			})
			if err == nil {
				t.Errorf("%s: got no error, want one", text)
			}
			b.wantBooked("a", 0)
		}
		if got, err := b.doTx(e, txs, "a"); err != nil || got.Replayed {
			t.Errorf("got %+v, error %v, want it booked", got, err)
		}
		b.wantBooked("a", 1)
	})
}

// I1, I3, I8: of many at once on few keys each books once, and all answers are equal.
func TestTransactionsRace(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		const keys, callers = 8, 64
		e := b.engine()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				id := fmt.Sprint("key ", i%keys)
				for {
					got, err := b.doTx(e, txs, id)
					if errors.Is(err, semel.ErrInFlight) {
						time.Sleep(time.Millisecond)
						continue
					}
					if err != nil || got.Value != "booked "+id {
						t.Errorf("%s: got %+v, error %v, want it booked", id, got, err)
					}
					return
				}
			})
		}
		wg.Wait()
		for i := range keys {
			b.wantBooked(fmt.Sprint("key ", i), 1)
		}
		if got := b.total(); got != keys {
			t.Errorf("got %d entries, want %d", got, keys)
		}
	})
}

// Beside the application's own writes, which take no turns, everything comes through.
func TestTransactionsBesideOthers(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		const callers, calls = 4, 25
		e := b.engine()
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := range calls {
					id := fmt.Sprint(caller, "/", i)
					if _, err := b.doTx(e, txs, id); err != nil {
						t.Errorf("%s: %v", id, err)
					}
					if _, err := b.db.ExecContext(t.Context(), book, "free"); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		b.wantBooked("free", callers*calls)
		if got := b.total(); got != 2*callers*calls {
			t.Errorf("got %d entries, want %d", got, 2*callers*calls)
		}
	})
}

// A connection goes back to its pool as it was: it commits what it is told to.
func TestConnectionIsGivenBack(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		b.db = b.ledger("_pragma=synchronous(EXTRA)&_txlock=immediate")
		b.db.SetMaxOpenConns(1)
		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			txs := b.transactions(mode)
			for _, commit := range []bool{false, true} {
				r, x, _ := b.enter(txs, fmt.Sprint(mode, commit))
				if commit {
					b.must(x.Complete(t.Context(), completion(r, "")))
					b.must(x.Commit(t.Context()))
				}
				x.Rollback(t.Context())
				tx, err := b.db.BeginTx(t.Context(), nil)
				b.must(err)
				b.book(tx, "own")
				b.must(tx.Commit())
			}
		}
		b.wantBooked("own", 4)
		var ms int
		b.must(b.db.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&ms))
		if ms != 5000 {
			t.Errorf("got a busy_timeout of %d, want one of 5000 where there was none", ms)
		}
		if got := b.db.Stats().MaxIdleClosed + b.db.Stats().MaxLifetimeClosed; got != 0 {
			t.Errorf("got %d connections closed, want none", got)
		}
	})
}

// A lock that was not to be had, in a database attached, spoils the transaction, and may
// be had in the next.
func TestBusyElsewhere(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		elsewhere := newPath(t)
		other, err := openLedger(elsewhere, "")
		b.must(err)
		defer func() { _ = other.Close() }()
		b.db = b.ledger("_pragma=busy_timeout(10)")
		b.db.SetMaxOpenConns(1)
		_, err = b.db.ExecContext(t.Context(), "ATTACH '"+elsewhere+"' AS elsewhere")
		b.must(err)
		holder, err := other.BeginTx(t.Context(), nil)
		b.must(err)
		b.book(holder, "a")

		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			txs := b.transactions(mode)
			r, x, tx := b.enter(txs, mode.String())
			_, err = tx.ExecContext(t.Context(), "INSERT INTO elsewhere.ledger (entry) VALUES ('b')")
			if err == nil || !txs.Again(err) {
				t.Errorf("got error %v, want one after which to try again", err)
			}
			if err := x.Err(); err == nil || !txs.Again(err) {
				t.Errorf("got error %v, want the transaction to be spoilt", err)
			}
			if err := x.Complete(t.Context(), completion(r, "")); err == nil {
				t.Error("got a completion, want an error")
			}
			x.Rollback(t.Context())
		}
		b.must(holder.Rollback())
	})
}
