package mysqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// The steps of a transaction take one round trip each, its begin two, and so does its
// end: one is the commit.
func TestTxRoundTrips(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	link := servertest.NewLink(t, b.server.Addr())
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b.over(link, mysqlstore.TxConfig{Mode: mode})
		for _, warm := range []bool{true, false} { // statements are prepared when they are first used
			r := reservation(semel.NewToken().String())
			if mode == semel.ClaimTx {
				mustReserve(t, b.store, r)
			}
			trips := func(what string, want int, f func() error) {
				t.Helper()
				before := link.Asked()
				if err := f(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if got := link.Asked() - before; !warm && got != want {
					t.Errorf("%v, %s: got %d round trips, want %d", mode, what, got, want)
				}
			}
			var x *begun
			trips("begin", 2, func() error { x = b.begin(); return nil })
			if mode == semel.ClaimTx {
				trips("lock", 1, func() error { return x.Lock(x.ctx, r.Key, r.Token) })
			} else {
				trips("reserve", 1, func() error { _, err := x.Reserve(x.ctx, r); return err })
			}
			trips("complete", 1, func() error { return x.Complete(x.ctx, completion(r, "body")) })
			trips("commit", 2, func() error { return x.Commit(x.ctx) })
		}
	}
}

// A request costs one commit that writes in single mode, and two in claim mode.
func TestTxCommitsOnce(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_stats_persistent=0")
	for _, c := range []struct {
		mode semel.TxMode
		want int
	}{{semel.SingleTx, 1}, {semel.ClaimTx, 2}} {
		b := newBank(t, server, mysqlstore.TxConfig{Mode: c.mode})
		run(t, b.db, "SET GLOBAL innodb_monitor_enable = 'trx_rw_commits'")
		engine := b.engine()
		b.do(engine, "warm")
		before := b.commits()
		b.do(engine, "k")
		if got := b.commits() - before; got != c.want {
			t.Errorf("%v: got %d commits, want %d", c.mode, got, c.want)
		}
		b.do(engine, "k")
		b.wantEffects("k", 1)
	}
}

// commits counts the transactions that have written.
func (b *bank) commits() (n int) {
	b.t.Helper()
	err := b.db.QueryRow("SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rw_commits'").Scan(&n)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bank) engine() *semel.Engine {
	b.t.Helper()
	engine, err := semel.New(b.store, semel.Config{Logger: quiet})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = engine.Close(context.Background()) })
	return engine
}

// do runs a business transaction that writes its name, and checks the answer.
func (b *bank) do(engine *semel.Engine, id string) {
	b.t.Helper()
	r := reservation(id)
	res, err := semel.DoTx(b.t.Context(), engine, semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}, b.txs,
		func(ctx context.Context) (string, error) {
			_, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (?)", id)
			return "did " + id, err
		})
	if err != nil || res.Value != "did "+id {
		b.t.Fatalf("%s: got %q, %v", id, res.Value, err)
	}
}

// I8: a handler's own transaction, locked and completed by its claim, at every level.
func TestCallersTx(t *testing.T) {
	t.Parallel()
	eachLevel(t, semel.ClaimTx, func(t *testing.T, b *bank) {
		t.Helper()
		engine := b.engine()
		r := reservation("k")
		out, err := engine.Begin(t.Context(), semel.Call{Key: r.Key, Fingerprint: r.Fingerprint})
		if err != nil || out.Claim == nil {
			t.Fatalf("got %v, %v", out.Kind, err)
		}
		try := func() (*sql.Tx, semel.Tx) {
			t.Helper()
			tx, err := b.db.BeginTx(context.WithoutCancel(t.Context()), &sql.TxOptions{Isolation: b.at})
			if err != nil {
				t.Fatal(err)
			}
			in := mysqlstore.Tx(tx)
			if err := out.Claim.LockIn(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("INSERT INTO effects VALUES ('k')"); err != nil {
				t.Fatal(err)
			}
			if err := out.Claim.CompleteIn(t.Context(), in, semel.Response{Status: 200, Body: []byte("body")}); err != nil {
				t.Fatal(err)
			}
			return tx, in
		}
		tx, _ := try()
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if got, err := out.Claim.Confirm(t.Context()); err != nil || got.Kind != semel.Reserved {
			t.Errorf("got %v, %v after a rollback, want the claim open again", got.Kind, err)
		}
		tx, _ = try()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if got, err := out.Claim.Confirm(t.Context()); err != nil || got.Kind != semel.Replay || string(got.Record.Response.Body) != "body" {
			t.Errorf("got %v, %v after a commit, want the replay", got.Kind, err)
		}
		b.wantEffects("k", 1)
	})
}

// A caller's transaction that was rolled back since LockIn cannot complete, if it is the
// same Tx that is asked; and steps that are another store's, or nobody's, are refused.
func TestCallersTxRefused(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	tx, err := b.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	in := mysqlstore.Tx(tx)
	steps, err := in.Steps(b.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := steps.Lock(t.Context(), r.Key, r.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("ROLLBACK"); err != nil { // as a deadlock does
		t.Fatal(err)
	}
	if steps, err = in.Steps(b.store); err != nil {
		t.Fatal(err)
	}
	if err := steps.Complete(t.Context(), completion(r, "body")); err == nil || errors.Is(err, semel.ErrLost) {
		t.Errorf("got %v, want the rollback found out", err)
	}
	_ = tx.Rollback()
	b.wantHeld(r)

	if _, err := in.Steps(foreign{}); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("got %v, want ErrOtherStore", err)
	}
	if _, err := mysqlstore.Tx(nil).Steps(b.store); err == nil {
		t.Error("got steps in no transaction")
	}
}

// foreign is a store of another kind.
type foreign struct{ semel.Store }

// I1, L1: a caller's transaction may reserve as well. It takes no named lock, which
// nobody would give back.
func TestCallersTxReserves(t *testing.T) {
	t.Parallel()
	eachForm(t, servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5"), func(t *testing.T, b *bank) {
		t.Helper()
		reserve := func(r semel.Reservation) (*sql.Tx, semel.TxSteps, semel.Record) {
			t.Helper()
			tx, err := b.db.BeginTx(context.WithoutCancel(t.Context()), &sql.TxOptions{Isolation: b.at})
			if err != nil {
				t.Fatal(err)
			}
			steps, err := mysqlstore.Tx(tx).Steps(b.store)
			if err != nil {
				t.Fatal(err)
			}
			held, err := steps.Reserve(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return tx, steps, held
		}
		r := reservation("k")
		tx, steps, held := reserve(r)
		if held.Token != r.Token || held.State != semel.StateReserved {
			t.Errorf("got a %v slot held by %v, want it ours", held.State, held.Token)
		}
		var locks int
		if err := tx.QueryRow("SELECT RELEASE_ALL_LOCKS()").Scan(&locks); err != nil || locks != 0 {
			t.Errorf("got %d named locks (%v), want none", locks, err)
		}
		if err := steps.Complete(t.Context(), completion(r, "body")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		mustReplay(t, b.store, r, "body")
		tx, _, held = reserve(anew(r))
		if held.State != semel.StateCompleted || string(held.Response.Body) != "body" {
			t.Errorf("got a %v slot, want the kept response", held.State)
		}
		_ = tx.Rollback()
	})
}
