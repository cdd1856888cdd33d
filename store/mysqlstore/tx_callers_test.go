package mysqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// own is a transaction of a handler's own, and the claim that it is for.
type own struct {
	b     *bank
	call  semel.Call
	claim *semel.Claim
	tx    *sql.Tx
	in    semel.Tx
}

// ownTx begins one, locked or not, that has written its key.
func (b *bank) ownTx(engine *semel.Engine, id string, lock bool) *own {
	b.t.Helper()
	r := reservation(id)
	o := &own{b: b, call: semel.Call{Key: r.Key, Fingerprint: r.Fingerprint, DeferEffects: true}}
	out, err := engine.Begin(b.t.Context(), o.call)
	if err != nil || out.Claim == nil {
		b.t.Fatalf("%s: got %v, %v", id, out.Kind, err)
	}
	o.claim = out.Claim
	if o.tx, err = b.db.BeginTx(context.WithoutCancel(b.t.Context()), nil); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = o.tx.Rollback() })
	o.in = mysqlstore.Tx(o.tx)
	if lock {
		if err := o.claim.LockIn(b.t.Context(), o.in); err != nil {
			b.t.Fatal(err)
		}
	}
	o.write(id)
	return o
}

func (o *own) write(id string) {
	o.b.t.Helper()
	if _, err := o.tx.Exec("INSERT INTO effects VALUES (?)", id); err != nil {
		o.b.t.Fatal(err)
	}
}

func (o *own) complete() error {
	return o.claim.CompleteIn(o.b.t.Context(), o.in, semel.Response{Status: 201, Body: []byte("body")})
}

// I7, I8: a caller's transaction that has ended before CompleteIn, however, is one that
// nobody knows of: the key is held. One that was rolled back for certain is not. What is followed by another
// transaction CompleteIn does not see, unless it is the lock that was rolled back.
func TestCallersTxEnded(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	run(t, b.db, "CREATE TABLE other (n INT)")
	engine := b.engine()
	statement := func(text string) func(o *own) error {
		return func(o *own) error { _, err := o.tx.Exec(text); return err }
	}
	for name, c := range map[string]struct {
		end    func(o *own) error
		open   bool // another one is: CompleteIn is as good in that one
		lock   bool // also of who has locked
		undone bool // of whose lock is known that it was rolled back
	}{
		"commit":             {end: func(o *own) error { return o.tx.Commit() }},
		"rollback":           {end: func(o *own) error { return o.tx.Rollback() }},
		"COMMIT":             {end: statement("COMMIT")},
		"ROLLBACK":           {end: statement("ROLLBACK")},
		"ALTER":              {end: statement("ALTER TABLE other ADD COLUMN IF NOT EXISTS m INT")},
		"SET ALTER":          {end: statement("SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE other ADD COLUMN IF NOT EXISTS l INT")},
		"ROLLBACK AND CHAIN": {end: statement("ROLLBACK AND CHAIN"), open: true, undone: true},
		"COMMIT AND CHAIN":   {end: statement("COMMIT AND CHAIN"), open: true, lock: true},
	} {
		for _, lock := range []bool{true, false} {
			id := name + map[bool]string{true: " locked"}[lock]
			o := b.ownTx(engine, id, lock)
			if err := c.end(o); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			err := o.complete()
			_ = o.tx.Rollback()
			sure := lock && (name == "rollback" || c.undone)
			unseen := c.open && (!lock || c.lock)
			switch {
			case unseen && err != nil, sure && (err == nil || errors.Is(err, semel.ErrTxEnded)):
				t.Errorf("%s: got %v", id, err)
			case !unseen && !sure && !errors.Is(err, semel.ErrTxEnded):
				t.Errorf("%s: got %v, want ErrTxEnded", id, err)
			}
			early := name == "commit" || name == "rollback" && !lock
			if errors.Is(err, sql.ErrTxDone) != (early || sure && !c.undone) || early && !strings.Contains(err.Error(), "commit after CompleteIn, not before") {
				t.Errorf("%s: got %v", id, err)
			}
			if sure || unseen && !lock {
				continue
			}
			o.claim.Abandon(t.Context())
			out, err := engine.Begin(t.Context(), o.call)
			if err != nil || out.Claim != nil {
				t.Errorf("%s: got %v, %v, want the key held: %d effects are committed", id, out.Kind, err, b.effects(id))
			}
		}
	}
}

// I7, I8: a lock that was undone with a savepoint, as a nested transaction is, does not count as the end
// of its transaction: CompleteIn fails, nothing is committed, and a retry runs. Locked
// again, the transaction is as good as before.
func TestCallersLockUndone(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	engine := b.engine()
	for _, again := range []bool{false, true} {
		id := map[bool]string{false: "undone", true: "again"}[again]
		o := b.ownTx(engine, id, false)
		for _, step := range []func() error{
			func() error { _, err := o.tx.Exec("SAVEPOINT a"); return err },
			func() error { return o.claim.LockIn(t.Context(), o.in) },
			func() error { _, err := o.tx.Exec("ROLLBACK TO a"); return err },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if again {
			if err := errors.Join(o.claim.LockIn(t.Context(), o.in), o.complete(), o.tx.Commit()); err != nil {
				t.Error(err)
			}
			b.wantEffects(id, 1)
			continue
		}
		err := o.complete()
		if err == nil || errors.Is(err, semel.ErrTxEnded) || !strings.Contains(err.Error(), "LockIn was rolled back") {
			t.Errorf("got %v, want that the lock was rolled back", err)
		}
		_ = o.tx.Rollback()
		o.claim.Abandon(t.Context())
		out, err := engine.Begin(t.Context(), o.call)
		if err != nil || out.Claim == nil {
			t.Errorf("got %v, %v, want that the next one runs", out.Kind, err)
		}
		b.wantEffects(id, 0)
	}
}

// I7: an open transaction in which the slot is another attempt's is not the one that had it locked.
func TestCallersLockUndoneAndLost(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	o := b.ownTx(b.engine(), "k", true)
	if _, err := o.tx.Exec("ROLLBACK AND CHAIN"); err != nil {
		t.Fatal(err)
	}
	run(t, b.db, "UPDATE semel_slots SET token = ?", make([]byte, len(semel.Token{})))
	wantError(t, o.complete(), semel.ErrTxEnded)
}

// I8: one transaction may be that of several claims.
func TestCallersTxOfTwoClaims(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	engine := b.engine()
	first := b.ownTx(engine, "first", true)
	second := b.ownTx(engine, "second", false)
	_ = second.tx.Rollback()
	second.tx, second.in = first.tx, first.in
	if err := second.claim.LockIn(t.Context(), second.in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.complete(), second.complete(), first.tx.Commit()); err != nil {
		t.Error(err)
	}
	for _, o := range []*own{first, second} {
		if out, err := engine.Begin(t.Context(), o.call); err != nil || out.Kind != semel.Replay {
			t.Errorf("got %v, %v, want the replay", out.Kind, err)
		}
	}
}

// I7: a handler that dies after a statement that has committed, and before CompleteIn, leaves
// a key that is held; one that dies in its transaction leaves one that runs.
func TestCallersTxDies(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	run(t, b.db, "CREATE TABLE other (n INT)")
	engine := b.engine()
	for _, text := range []string{"COMMIT", "ALTER TABLE other ADD COLUMN m INT", "SELECT 1"} {
		o := b.ownTx(engine, text, true)
		if _, err := o.tx.Exec(text); err != nil {
			t.Fatal(err)
		}
		_ = o.tx.Rollback() // as the server does
		held, err := b.store.Look(t.Context(), o.call.Key)
		if err != nil {
			t.Fatal(err)
		}
		if n := b.effects(text); held.Deferred != (n == 0) {
			t.Errorf("%s: %d effects are committed, and that it has promised none is %v", text, n, held.Deferred)
		}
	}
}

// I8: CompleteIn without LockIn asks whether there is a transaction, and with it takes one
// round trip.
func TestCallersTxRoundTrips(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	link := servertest.NewLink(t, b.server.Addr())
	engine := b.engine()
	b.db = pool(t, strings.Replace(b.dsn, b.server.Addr(), link.Addr(), 1)+"?interpolateParams=true")
	for _, c := range []struct {
		lock bool
		want int
	}{{true, 1}, {false, 3}} {
		o := b.ownTx(engine, semel.NewToken().String(), c.lock)
		before := link.Asked()
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		if got := link.Asked() - before; got != c.want {
			t.Errorf("locked %v: got %d round trips, want %d", c.lock, got, c.want)
		}
		if err := o.tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if got, err := o.claim.Confirm(t.Context()); err != nil || got.Kind != semel.Replay {
			t.Errorf("got %v, %v, want the replay", got.Kind, err)
		}
	}
}
