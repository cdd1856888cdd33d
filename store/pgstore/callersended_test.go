package pgstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// wantNext ends the lease of r and checks whether the next attempt runs, which may have what
// is blameless.
func (l *ledger) wantNext(t *testing.T, r semel.Reservation, runs bool) {
	t.Helper()
	_, err := l.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, err)
	next := again(r)
	next.TakeOverBlameless = true
	held, err := l.Reserve(t.Context(), next)
	must(t, err)
	if got := held.Token == next.Token; got != runs {
		t.Errorf("the next attempt runs: %v, want %v", got, runs)
	}
}

// I7, I8: what is committed behind Lock and without the record is not done again, whatever the
// attempt has promised, although its process dies before it can say so; a rollback leaves
// the promise as it was.
func TestCallersLockEndsThePromise(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, d := range l.drivers(t) {
		for end, effects := range map[string]int{"": 0, "ROLLBACK": 0, "COMMIT": 1, "COMMIT; BEGIN": 1, "its own": 1} {
			r := deferred(servertest.Name(t))
			mustReserve(t, l, r)
			c := d.begin(t)
			must(t, stepsOf(t, c.tx, l.Store).Lock(t.Context(), r.Key, r.Token))
			must(t, c.exec(l.insert(), r.Key.ID))
			switch end {
			case "":
			case "its own":
				must(t, c.commit())
			default:
				must(t, c.exec(end))
			}
			_ = c.rollback() // as the end of the process does
			if n := l.paid(t, r.Key.ID); n != effects {
				t.Errorf("%s, %q: got %d effects, want %d", d.name, end, n, effects)
			}
			l.wantNext(t, r, effects == 0)
		}
	}
}

// callersEnd is a way in which a caller's transaction ends before its record is completed.
type callersEnd struct {
	end     func(c callers) error
	unknown bool
	paid    int
}

func byText(text string) func(c callers) error {
	return func(c callers) error { return c.exec(text) }
}

var callersEnds = map[string]callersEnd{
	"commit":        {func(c callers) error { return c.commit() }, true, 1},
	"COMMIT":        {byText("COMMIT"), true, 1},
	"COMMIT; BEGIN": {byText("COMMIT; BEGIN"), true, 1},
	"rollback":      {func(c callers) error { return c.rollback() }, false, 0},
	"ROLLBACK":      {byText("ROLLBACK"), true, 0}, // what follows is committed on its own
}

// I7, I8: CompleteIn in a transaction that has ended completes nothing, and says at once that the
// outcome is unknown, unless it is certain that nothing was committed; then nobody begins
// again, and nobody frees the key.
func TestCompleteInAfterTheEnd(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	for _, d := range l.drivers(t) {
		for name, end := range callersEnds {
			t.Run(d.name+" "+name, func(t *testing.T) { l.completeLate(t, e, d, end, true) })
			if name != "COMMIT; BEGIN" { // without a lock it looks like any other transaction
				end.unknown = true
				t.Run(d.name+" "+name+", not locked", func(t *testing.T) { l.completeLate(t, e, d, end, false) })
			}
		}
	}
}

// completeLate completes after the end of a transaction that has called LockIn, or not.
func (l *ledger) completeLate(t *testing.T, e *semel.Engine, d beginner, end callersEnd, locks bool) {
	t.Helper()
	call := callOf(servertest.Name(t))
	call.DeferEffects = true
	out, err := e.Begin(t.Context(), call)
	must(t, err)
	c := d.begin(t)
	if locks {
		must(t, out.Claim.LockIn(t.Context(), c.tx))
	}
	must(t, c.exec(l.insert(), call.Key.ID))
	must(t, end.end(c))
	err = out.Claim.CompleteIn(t.Context(), c.tx, semel.Response{Status: 201})
	if err == nil || errors.Is(err, semel.ErrTxEnded) != end.unknown || !strings.Contains(err.Error(), "CompleteIn") || errors.Is(err, semel.ErrTxOwned) {
		t.Errorf("got %v, want ErrTxEnded: %v, and what to do", err, end.unknown)
	}
	held, err := l.Look(t.Context(), call.Key) // for which nobody is in the way
	if err != nil || held.State != semel.StateReserved || held.Deferred == end.unknown {
		t.Errorf("got a %v slot, the promise kept %v (%v), want %v", held.State, held.Deferred, err, !end.unknown)
	}
	_ = c.rollback()
	if n := l.paid(t, call.Key.ID); n != end.paid {
		t.Errorf("got %d effects, want %d", n, end.paid)
	}
	if _, err := out.Claim.Confirm(t.Context()); err != nil || out.Claim.Deferred() == end.unknown {
		t.Errorf("got the promise kept %v (%v), want %v", out.Claim.Deferred(), err, !end.unknown)
	}
	second := d.begin(t)
	if err := out.Claim.LockIn(t.Context(), second.tx); errors.Is(err, semel.ErrTxEnded) != end.unknown || err == nil == end.unknown {
		t.Errorf("got %v for a second lock, want it refused: %v", err, end.unknown)
	}
	must(t, second.rollback())
	_, err = out.Claim.Confirm(t.Context())
	must(t, err)
	if err := out.Claim.Release(t.Context()); errors.Is(err, semel.ErrTxEnded) != end.unknown {
		t.Errorf("got %v for a release, want it refused: %v", err, end.unknown)
	}
}

// I7: a transaction of database/sql that its context has ended was rolled back, which is known.
func TestCompleteInAfterTheContext(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	db, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	r := deferred(servertest.Name(t))
	mustReserve(t, l, r)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	own := pgstore.SQLTx(tx)
	must(t, stepsOf(t, own, l.Store).Lock(t.Context(), r.Key, r.Token))
	_, err = tx.ExecContext(t.Context(), l.insert(), r.Key.ID)
	must(t, err)
	cancel()
	eventually(t, "package sql has noticed", func() bool {
		_, err := tx.ExecContext(t.Context(), "SELECT 1")
		return errors.Is(err, sql.ErrTxDone)
	})
	err = stepsOf(t, own, l.Store).Complete(t.Context(), completion(r, "late"))
	if !errors.Is(err, sql.ErrTxDone) || errors.Is(err, semel.ErrTxEnded) {
		t.Errorf("got %v, want ErrTxDone of a transaction that was rolled back", err)
	}
	l.wantExactly(t, r, false)
	l.wantNext(t, r, true)
}

// I8: without LockIn too, a record is completed only inside of a transaction.
func TestCompleteInWithoutLockIn(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, d := range l.drivers(t) {
		r := deferred(servertest.Name(t))
		mustReserve(t, l, r)
		c := d.begin(t)
		must(t, c.exec(l.insert(), r.Key.ID))
		must(t, stepsOf(t, c.tx, l.Store).Complete(t.Context(), completion(r, "body")))
		must(t, c.commit())
		l.wantExactly(t, r, true)
	}
}

// I7, I8: a transaction ends the promise as soon as it has the slot, before any text of the
// business code, which can therefore not go back behind that end: what it has committed
// is not done again when the process dies. A rollback leaves the promise as it was.
func TestTransactionEndsThePromise(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		for by, effects := range map[string]int{ // INSERT: what is to be done once
			"INSERT; COMMIT; BEGIN": 1, "INSERT; COMMIT AND CHAIN": 1, "INSERT; SELECT 1": 0, "INSERT; SAVEPOINT b": 0,
			"INSERT; SAVEPOINT b; SELECT 1; ROLLBACK TO b; COMMIT; BEGIN": 1,
			"ROLLBACK TO a; INSERT; COMMIT; BEGIN":                        1,
		} {
			t.Run(c.name+" "+by, func(t *testing.T) {
				r := deferred(servertest.Name(t))
				tx := l.begin(t, c.txs, r)
				must(t, exec(t, tx, "SAVEPOINT a"))
				must(t, exec(t, tx, strings.Replace(by, "INSERT", "INSERT INTO "+l.schema+".payments (id) VALUES ('"+r.Key.ID+"')", 1)))
				tx.Rollback(t.Context()) // as the server does when the process ends
				if n := l.paid(t, r.Key.ID); n != effects {
					t.Errorf("got %d effects, want %d", n, effects)
				}
				if held, err := l.Look(t.Context(), r.Key); err != nil || effects == 0 && held.State == semel.StateReserved && !held.Deferred {
					t.Errorf("got a promise that was ended (%v), want it kept", err)
				}
				if c.txs.Mode() == semel.ClaimTx || effects > 0 { // else nothing is left
					l.wantNext(t, r, effects == 0)
				}
			})
		}
	}
}

// I7: whoever asks for the driver's connection may commit on it, also after going back to a
// savepoint from before.
func TestConnEndsThePromise(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range l.settings() {
		for _, before := range []func(h pgx.Tx){
			func(pgx.Tx) {},
			func(h pgx.Tx) {
				inner, err := h.Begin(t.Context())
				must(t, err)
				inner.Conn()
				must(t, inner.Rollback(t.Context()))
			},
			func(h pgx.Tx) {
				_, err := h.Exec(t.Context(), "SAVEPOINT a")
				must(t, err)
				h.Conn()
				_, err = h.Exec(t.Context(), "ROLLBACK TO a")
				must(t, err)
			},
		} {
			r := deferred(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			h := handleOf(t, tx)
			before(h)
			_, err := h.Conn().Exec(t.Context(), "COMMIT")
			must(t, err)
			tx.Rollback(t.Context())
			if n := l.paid(t, r.Key.ID); n != 1 {
				t.Errorf("%s: got %d effects, want 1", c.name, n)
			}
			l.wantNext(t, r, false)
		}
	}
}
