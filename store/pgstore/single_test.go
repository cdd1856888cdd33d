package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// reserveIn reserves in a transaction of its own that is rolled back afterwards.
func reserveIn(t *testing.T, txs semel.Transactions, r semel.Reservation) (held semel.Record) {
	t.Helper()
	tx := begun(t, txs)
	defer tx.Rollback(t.Context())
	within(t, "a reservation", func() {
		var err error
		if held, err = tx.Reserve(t.Context(), r); err != nil {
			t.Error(err)
		}
	})
	return held
}

// I1, I5, I12: while a transaction is at work on a slot, others that would reserve it
// in theirs hear at once that somebody has it, who is nobody yet. What was
// committed is answered as ever, by any number at a time.
func TestReserveInTransactions(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			r := deferred(servertest.Name(t))
			own := l.inMode(t, txs, r)
			held, err := own.Reserve(t.Context(), r)
			if err != nil || held.Token != r.Token || held.Deferred || held.Attempts != 1 || held.Lapsed {
				t.Errorf("got it held by %v, deferred %v (%v) when it was repeated, want it unchanged and without a promise", held.Token, held.Deferred, err)
			}
			other := again(r)
			other.Fingerprint = semel.FingerprintOf([]byte("another request"))
			for _, asker := range []semel.Reservation{again(r), taker(r), other} {
				held := reserveIn(t, txs, asker)
				if held.State != semel.StateReserved || held.Token != (semel.Token{}) || held.Key != r.Key || held.Fingerprint != asker.Fingerprint || held.Lapsed {
					t.Errorf("got a %v slot held by %v, lapsed %v, want one that nobody has yet", held.State, held.Token, held.Lapsed)
				}
			}
			if n := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".semel_slots WHERE key = $1::text::bytea", r.Key.ID); n != 0 {
				t.Errorf("got %d rows of a transaction that is open", n)
			}
			must(t, own.Complete(t.Context(), completion(r, "body")))
			must(t, own.Commit(t.Context()))
			l.wantExactly(t, r, true)

			first, second := begun(t, txs), begun(t, txs) // at the same time
			for _, tx := range []semel.Transaction{first, second} {
				held, err := tx.Reserve(t.Context(), again(r))
				if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != "body" {
					t.Errorf("got a %v slot with %q (%v), want the kept response", held.State, held.Response.Body, err)
				}
			}
			if held, err := second.Reserve(t.Context(), other); err != nil || held.State != semel.StateCompleted || held.Fingerprint != r.Fingerprint {
				t.Errorf("got a %v slot (%v), want the other request's", held.State, err)
			}
		})
	}
}

// I8: of a transaction that is rolled back nothing is left, and the next one gets
// the slot with a larger fence.
func TestSingleRollsBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			r := reservation(servertest.Name(t))
			tx := begun(t, txs)
			first, err := tx.Reserve(t.Context(), r)
			must(t, err)
			l.pay(t, tx, r.Key.ID)
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			tx.Rollback(t.Context())
			l.wantExactly(t, r, false)
			if second := reserveIn(t, txs, again(r)); second.Attempts != 1 || second.Fence <= first.Fence {
				t.Errorf("got attempt %d with fence %d after %d, want the first one, larger", second.Attempts, second.Fence, first.Fence)
			}
		})
	}
}

// I6, I9: a transaction takes a slot that was released or whose retention is over,
// and nothing that has lapsed, whatever it asks for.
func TestReserveInTransactionWhatIsThere(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			free := reservation(servertest.Name(t))
			before := mustReserve(t, l, free)
			must(t, l.Release(t.Context(), free.Key, free.Token))
			next := again(free)
			if held := reserveIn(t, txs, next); held.Token != next.Token || held.Fence <= before.Fence || held.Attempts != 2 {
				t.Errorf("got a %v slot, attempt %d, want the released one", held.State, held.Attempts)
			}

			over := reservation(servertest.Name(t))
			over.Retention = time.Microsecond
			before = mustReserve(t, l, over)
			must(t, l.Complete(t.Context(), semel.Completion{Key: over.Key, Token: over.Token}))
			next = again(over)
			if held := reserveIn(t, txs, next); held.Token != next.Token || held.Fence <= before.Fence || held.Attempts != 1 || held.Response.Status != 0 {
				t.Errorf("got a %v slot, attempt %d, want the one that is over", held.State, held.Attempts)
			}

			running := reservation(servertest.Name(t))
			mustReserve(t, l, running)
			if held := reserveIn(t, txs, taker(running)); held.Token != running.Token || held.Lapsed {
				t.Errorf("got it held by %v, lapsed %v, want the attempt that runs", held.Token, held.Lapsed)
			}

			for _, lapsed := range []semel.Reservation{reservation(servertest.Name(t)), deferred(servertest.Name(t))} {
				mustReserve(t, l, lapsed)
				_, err := l.Renew(t.Context(), 0, []semel.Holder{{Key: lapsed.Key, Token: lapsed.Token}})
				must(t, err)
				asker := taker(lapsed)
				asker.TakeOverBlameless = true
				if held := reserveIn(t, txs, asker); held.Token != lapsed.Token || !held.Lapsed || held.Blameless() != lapsed.Deferred {
					t.Errorf("got it held by %v, lapsed %v, want the lapsed attempt", held.Token, held.Lapsed)
				}
			}
		})
	}
}

// I1, I8: a snapshot that is older than another one's reservation lets nobody have
// the slot twice: at read committed the statement looks again, at the higher levels
// the server refuses it, and the next transaction replays.
func TestReserveWithAnOldSnapshot(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			for name, prepare := range map[string]func(r semel.Reservation){
				"absent": func(semel.Reservation) {},
				"free": func(r semel.Reservation) {
					mustReserve(t, l, r)
					must(t, l.Release(t.Context(), r.Key, r.Token))
				},
			} {
				r := reservation(servertest.Name(t))
				prepare(r)
				old := begun(t, txs)
				_, err := handleOf(t, old).Exec(t.Context(), "SELECT 1 FROM "+l.schema+".payments") // its snapshot
				must(t, err)
				quick := l.inMode(t, txs, r)
				must(t, quick.Complete(t.Context(), completion(r, "body")))
				must(t, quick.Commit(t.Context()))

				held, err := old.Reserve(t.Context(), again(r))
				switch {
				case !higher(level):
					if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != "body" {
						t.Errorf("%s: got a %v slot (%v), want the kept response", name, held.State, err)
					}
				case err == nil:
					t.Errorf("%s: got a %v slot held by %v, want a serialization failure", name, held.State, held.Token)
				default:
					if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "40001" || !txs.Again(err) || !txs.Again(old.Err()) {
						t.Errorf("%s: got %v, want a serialization failure, to begin again", name, err)
					}
				}
				old.Rollback(t.Context())
				if held := reserveIn(t, txs, again(r)); held.State != semel.StateCompleted {
					t.Errorf("%s: got a %v slot, want the kept response", name, held.State)
				}
				l.wantExactly(t, r, true)
			}
		})
	}
}

// I1, I12: a step of another kind is under way on the slot, and has not committed:
// whoever reserves it in a transaction waits for that moment, and answers what has come
// of it, or is refused by the server at the higher levels.
func TestReserveBesideAStep(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	const columns = "(slot, scope, key, state, token, fingerprint, owner, fence, lease_until, created_at, expires_at, attempts, lapses)"
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			for name, step := range map[string]string{
				"inserts": "INSERT INTO " + l.schema + ".semel_slots " + columns +
					" VALUES ($1, 's', 'k', 1, $2, sha256('r'), '', 1, 9000000000000000, 1, 9000000000000000, 1, 0)",
				"takes": "UPDATE " + l.schema + ".semel_slots SET state = 1, token = $2, lease_until = 9000000000000000 WHERE slot = $1",
			} {
				r, winner := reservation(servertest.Name(t)), semel.NewToken()
				meets := "Takes a slot that has no row"
				if name == "takes" {
					meets = "Takes the slot in a transaction"
					mustReserve(t, l, r)
					must(t, l.Release(t.Context(), r.Key, r.Token))
				}
				slot := r.Key.Slot()
				other, err := l.watch.Begin(t.Context())
				must(t, err)
				_, err = other.Exec(t.Context(), step, slot[:], winner[:])
				must(t, err)

				tx := begun(t, txs)
				pid := int32(pidOf(t, tx))
				var held semel.Record
				done := make(chan error, 1)
				go func() {
					var err error
					held, err = tx.Reserve(t.Context(), again(r))
					done <- err
				}()
				eventually(t, "the reservation has met the step", func() bool {
					return look[bool](t, l.watch, "SELECT query LIKE '%' || $2 || '%' FROM pg_stat_activity WHERE pid = $1", pid, meets)
				})
				must(t, other.Commit(t.Context()))
				err = <-done
				if higher(level) && err != nil {
					wantLost(t, level, err)
					continue
				}
				if err != nil || held.Token != winner || held.State != semel.StateReserved {
					t.Errorf("%s: got a %v slot held by %v (%v), want it held by %v", name, held.State, held.Token, err, winner)
				}
			}
		})
	}
}

// I1, I3, I8: of many transactions that want one slot at the same time one has its
// effect, and all end with its response.
func TestSingleRace(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			for round := range 10 {
				r := reservation(fmt.Sprint(level, round))
				if round%2 == 1 { // a tombstone, and the rest of claim mode beside it
					mustReserve(t, l, r)
					must(t, l.Release(t.Context(), r.Key, r.Token))
				}
				var wg sync.WaitGroup
				for range 8 {
					mine := again(r)
					wg.Go(func() { l.untilReplayed(t, txs, mine) })
				}
				wg.Wait()
				l.wantExactly(t, r, true)
			}
		})
	}
}

// untilReplayed runs one request the way a client does, until it has its answer.
func (l *ledger) untilReplayed(t *testing.T, txs semel.Transactions, r semel.Reservation) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for deadline := time.Now().Add(time.Minute); ; {
		if time.Now().After(deadline) {
			t.Error("no answer in a minute")
			return
		}
		tx, err := txs.Begin(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		held, err := tx.Reserve(ctx, r)
		if err == nil && held.Token == r.Token && held.State == semel.StateReserved {
			if _, err = pgstore.TxFrom(tx.Attach(ctx)).Exec(ctx, l.insert(), r.Key.ID); err == nil {
				if err = tx.Complete(ctx, completion(r, "body of "+r.Token.String())); err == nil {
					err = tx.Commit(ctx)
				}
			}
		}
		tx.Rollback(ctx)
		switch {
		case err == nil && held.State == semel.StateCompleted:
			return
		case err != nil && !txs.Again(err):
			t.Error(err)
			return
		}
	}
}

// L4, I8: a transaction that has not begun, because the server takes not even its first
// statement, was not ended by anybody: its error is the server's.
func TestTransactionDoesNotBegin(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		l := newLedger(t, servertest.Postgres(t).DSN())
		r := reservation(servertest.Name(t))
		mustReserve(t, l, r)
		run(t, l.watch, "ALTER TABLE "+l.schema+".semel_slots RENAME TO gone")
		tx := begun(t, l.Transactions(pgstore.TxConfig{Mode: mode}))
		var err error
		if mode == semel.ClaimTx {
			err = tx.Lock(t.Context(), r.Key, r.Token)
		} else {
			_, err = tx.Reserve(t.Context(), again(r))
		}
		if err == nil || errors.Is(err, semel.ErrTxEnded) || errors.Is(err, semel.ErrTxOwned) || !strings.Contains(err.Error(), "42P01") {
			t.Errorf("%v: got %v, want the server's error", mode, err)
		}
		if again := tx.Err(); errors.Is(again, semel.ErrTxEnded) || again == nil {
			t.Errorf("%v: got %v afterwards", mode, again)
		}
		tx.Rollback(t.Context())
	}
}
