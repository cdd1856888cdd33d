package pgstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/pgstore"
)

// callers is a caller's own transaction, of either driver.
type callers struct {
	tx               semel.Tx
	exec             func(text string, args ...any) error
	commit, rollback func() error
}

// beginner begins transactions of one driver at one level.
type beginner struct {
	name  string
	level pgx.TxIsoLevel
	begin func(t *testing.T) callers
}

// drivers are those of every level.
func (l *ledger) drivers(t *testing.T) (all []beginner) {
	t.Helper()
	db, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for level, iso := range map[pgx.TxIsoLevel]sql.IsolationLevel{
		pgx.ReadCommitted: sql.LevelReadCommitted, pgx.RepeatableRead: sql.LevelRepeatableRead, pgx.Serializable: sql.LevelSerializable,
	} {
		all = append(all, beginner{"pgx " + string(level), level, func(t *testing.T) callers {
			t.Helper()
			ctx := context.WithoutCancel(t.Context())
			tx, err := l.watch.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			must(t, err)
			t.Cleanup(func() { _ = tx.Rollback(ctx) })
			return callers{
				pgstore.Tx(tx),
				func(text string, args ...any) error { _, err := tx.Exec(ctx, text, args...); return err },
				func() error { return tx.Commit(ctx) },
				func() error { return tx.Rollback(ctx) },
			}
		}}, beginner{"sql " + string(level), level, func(t *testing.T) callers {
			t.Helper()
			ctx := context.WithoutCancel(t.Context())
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: iso})
			must(t, err)
			t.Cleanup(func() { _ = tx.Rollback() })
			return callers{
				pgstore.SQLTx(tx),
				func(text string, args ...any) error { _, err := tx.ExecContext(ctx, text, args...); return err },
				tx.Commit, tx.Rollback,
			}
		}})
	}
	return all
}

func stepsOf(t *testing.T, tx semel.Tx, store semel.Store) semel.TxSteps {
	t.Helper()
	steps, err := tx.Steps(store)
	must(t, err)
	return steps
}

// wantLost wants what a lost slot looks like in a transaction whose snapshot is
// older than the loss: ErrLost, or a serialization failure at the higher levels.
func wantLost(t *testing.T, level pgx.TxIsoLevel, err error) {
	t.Helper()
	if !higher(level) {
		if !errors.Is(err, semel.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		return
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "40001" {
		t.Errorf("got %v, want a serialization failure", err)
	}
}

// I8: the record and the business writes of a caller's transaction commit or vanish
// together, whatever the driver and the level.
func TestCallersTransaction(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, d := range l.drivers(t) {
		t.Run(d.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			mustReserve(t, l, r)
			c := completion(r, "body")
			c.Response.Header = nil

			c1 := d.begin(t)
			steps := stepsOf(t, c1.tx, l.Store)
			must(t, steps.Lock(t.Context(), r.Key, r.Token))
			must(t, c1.exec(l.insert(), r.Key.ID))
			must(t, steps.Complete(t.Context(), c))
			if held, err := l.Reserve(t.Context(), again(r)); err != nil || held.State != semel.StateReserved || held.Token != r.Token {
				t.Errorf("got a %v slot (%v) before the commit, want it reserved", held.State, err)
			}
			must(t, c1.rollback())
			l.wantExactly(t, r, false)

			c2 := d.begin(t)
			steps = stepsOf(t, c2.tx, l.Store)
			must(t, steps.Lock(t.Context(), r.Key, r.Token))
			must(t, steps.Lock(t.Context(), r.Key, r.Token)) // again, in the same transaction
			must(t, c2.exec(l.insert(), r.Key.ID))
			must(t, steps.Complete(t.Context(), c))
			if err := steps.Complete(t.Context(), c); !errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v for a second completion, want ErrLost: nil means commit", err)
			}
			must(t, c2.commit())
			l.wantExactly(t, r, true)
			mustReplay(t, l, r, "body")

			c3 := d.begin(t)
			steps = stepsOf(t, c3.tx, l.Store)
			if err := steps.Complete(t.Context(), c); !errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v for a completion after the commit, want ErrLost", err)
			}
			if err := steps.Lock(t.Context(), r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v for a completed slot, want ErrLost", err)
			}
		})
	}
}

// I1, I4: an attempt that was taken over can neither lock nor complete: it hears
// ErrLost, or a serialization failure when its snapshot is from before, and then
// ErrLost in the next transaction.
func TestCallersTransactionIsTakenOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	lock := func(s semel.TxSteps, r semel.Reservation) error { return s.Lock(t.Context(), r.Key, r.Token) }
	complete := func(s semel.TxSteps, r semel.Reservation) error {
		return s.Complete(t.Context(), completion(r, "late"))
	}
	for _, d := range l.drivers(t) {
		t.Run(d.name, func(t *testing.T) {
			for name, step := range map[string]func(semel.TxSteps, semel.Reservation) error{"lock": lock, "complete": complete} {
				r, _ := lapse(t, l, servertest.Name(t))
				old := d.begin(t)
				must(t, old.exec(l.insert(), r.Key.ID)) // its snapshot
				next := taker(r)
				mustReserve(t, l, next)
				wantLost(t, d.level, step(stepsOf(t, old.tx, l.Store), r))
				must(t, old.rollback())

				anew := d.begin(t)
				if err := step(stepsOf(t, anew.tx, l.Store), r); !errors.Is(err, semel.ErrLost) {
					t.Errorf("%s: got %v in a new transaction, want ErrLost", name, err)
				}
				must(t, anew.rollback())
				mustComplete(t, l, next, "body")
				mustReplay(t, l, r, "body")
				if n := l.paid(t, r.Key.ID); n != 0 {
					t.Errorf("%s: got %d effects of the attempt that lost", name, n)
				}
			}
		})
	}
}

// I4: a lock that was given up with a savepoint leaves the slot to others: the attempt has
// lost it then, and no statement has ended its transaction. One that was ended is known to be.
func TestCallersSavepoint(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, d := range l.drivers(t) {
		t.Run(d.name, func(t *testing.T) {
			for _, ends := range []bool{false, true} {
				r, _ := lapse(t, l, servertest.Name(t))
				c := d.begin(t)
				steps := stepsOf(t, c.tx, l.Store)
				must(t, c.exec("SAVEPOINT a"))
				must(t, steps.Lock(t.Context(), r.Key, r.Token))
				must(t, c.exec("ROLLBACK TO a"))
				next := taker(r)
				mustReserve(t, l, next)
				if ends {
					must(t, c.exec("SELECT 1; COMMIT; BEGIN"))
				}
				err := steps.Complete(t.Context(), completion(r, "late"))
				if ends {
					if !errors.Is(err, semel.ErrTxEnded) {
						t.Errorf("got %v, want ErrTxEnded", err)
					}
				} else if wantLost(t, d.level, err); errors.Is(err, semel.ErrTxEnded) {
					t.Errorf("got %v, want a transaction that nobody has ended", err)
				}
				must(t, c.rollback())
				mustComplete(t, l, next, "body")
			}
		})
	}
}

// A slot whose row another session has locked for a moment is waited for, and then
// seen as it is.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		r := reservation(servertest.Name(t))
		mustReserve(t, l, r)
		other, err := l.watch.Begin(t.Context())
		must(t, err)
		slot := r.Key.Slot()
		_, err = other.Exec(t.Context(), "SELECT FROM "+l.schema+".semel_slots WHERE slot = $1 FOR NO KEY UPDATE", slot[:])
		must(t, err)
		tx := begun(t, l.Transactions(pgstore.TxConfig{Isolation: level}))
		locked := make(chan error, 1)
		go func() { locked <- tx.Lock(t.Context(), r.Key, r.Token) }()
		l.awaitBlocked(t, "the lock waits", other.Conn().PgConn().PID())
		must(t, other.Rollback(t.Context()))
		if err := <-locked; err != nil {
			t.Errorf("%s: got %v, want the lock", level, err)
		}
	}
}

type wrapped struct{ semel.Store }

func (w wrapped) Unwrap() semel.Store { return w.Store }

// A transaction belongs to stores of its own kind, which it finds behind wrappers.
func TestStepsOfStores(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	tx, err := l.watch.Begin(t.Context())
	must(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := pgstore.Tx(tx).Steps(memstore.New(memstore.Config{})); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("got %v for another store, want ErrOtherStore", err)
	}
	if _, err := pgstore.Tx(tx).Steps(wrapped{l.Store}); err != nil {
		t.Errorf("got %v for a store behind a wrapper", err)
	}
	for name, none := range map[string]semel.Tx{"pgx": pgstore.Tx(pgstore.TxFrom(t.Context())), "sql": pgstore.SQLTx(nil)} {
		if _, err := none.Steps(l.Store); err == nil {
			t.Errorf("%s: got steps in no transaction", name)
		}
	}
	c := completion(reservation("a"), "")
	c.Response.Body = make([]byte, 256<<20)
	if err := stepsOf(t, pgstore.Tx(tx), l.Store).Complete(t.Context(), c); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got %v for a huge response, want ErrTooLarge", err)
	}
}
