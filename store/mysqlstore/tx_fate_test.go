package mysqlstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// bothModes runs a test in both modes with the statements for each server, with procedures
// that commit and a table to alter.
func bothModes(t *testing.T, test func(t *testing.T, b *bank)) {
	t.Helper()
	server := servertest.MariaDB(t)
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		for _, version := range serverForms {
			t.Run(mode.String()+" "+version, func(t *testing.T) {
				t.Parallel()
				b := newBank(t, server, mysqlstore.TxConfig{})
				if err := b.store.Pretend(t.Context(), version); err != nil {
					t.Fatal(err)
				}
				b.txs = b.store.Transactions(b.db, mysqlstore.TxConfig{Mode: mode})
				run(t, b.db, "CREATE TABLE other (n INT)")
				run(t, b.db, "CREATE PROCEDURE commits() COMMIT")
				run(t, b.db, "CREATE PROCEDURE selects() BEGIN COMMIT; SELECT 1; END")
				test(t, b)
			})
		}
	}
}

// prepared returns what runs a statement of the pool, whose text the handle does not see, as
// GORM does it with PrepareStmt.
func (b *bank) prepared(text string) func(context.Context, *semelsql.Tx) error {
	b.t.Helper()
	st, err := b.db.Prepare(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = st.Close() })
	return func(ctx context.Context, tx *semelsql.Tx) error {
		_, err := tx.StmtContext(ctx, st).ExecContext(ctx) //nolint:sqlclosecheck // the transaction does
		return err
	}
}

func sent(text string) func(context.Context, *semelsql.Tx) error {
	return func(ctx context.Context, tx *semelsql.Tx) error {
		_, err := tx.ExecContext(ctx, text)
		return err
	}
}

var errGivenUp = errors.New("the handler gives up")

// I7, I8: what a statement has committed behind the handle is found out after the rollback
// too: the key is held unless nothing is committed.
func TestUnseenEndsHoldTheKey(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		for name, by := range map[string]func(context.Context, *semelsql.Tx) error{
			"alter":    sent("SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE other ADD COLUMN m INT"),
			"truncate": sent("SET STATEMENT lock_wait_timeout = 5 FOR\nTRUNCATE TABLE other"),
			"role":     sent("SET DEFAULT ROLE NONE"),
			"sequence": sent("CREATE TEMPORARY SEQUENCE numbers"),
			"block":    sent("x: BEGIN NOT ATOMIC COMMIT; END"),
			"purge":    sent("PURGE BINARY LOGS TO 'x'"),
			"help":     sent("HELP 'x'"),
			"handler":  sent("HANDLER other OPEN"),
			"left open": func(ctx context.Context, tx *semelsql.Tx) error {
				_, err := tx.QueryContext(ctx, "CALL selects()") //nolint:sqlclosecheck,rowserrcheck // it is left open
				return err
			},
			"prepared alter":  b.prepared("ALTER TABLE other ADD COLUMN l INT"),
			"prepared call":   b.prepared("CALL commits()"),
			"prepared commit": b.prepared("COMMIT"),
			"prepared write":  b.prepared("INSERT INTO other (n) VALUES (1)"),
			"plain":           sent("INSERT INTO other (n) VALUES (1)"),
		} {
			ran := 0
			do := func() error {
				r := reservation(name)
				_, err := b.engine().InTx(t.Context(), semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}, b.txs, func(ctx context.Context) (semel.Ending, error) {
					ran++
					tx := semelsql.TxFrom(ctx)
					if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", name); err != nil {
						return semel.Ending{}, err
					}
					_ = by(ctx, tx)
					return semel.Ending{}, errGivenUp
				})
				return err
			}
			err := do()
			committed := b.effects(name) > 0
			if told := errors.Is(err, semel.ErrTxEnded); told != committed {
				t.Errorf("%s: committed is %v, and got %v", name, committed, err)
			}
			_ = do()
			if again := ran == 2; again == committed {
				t.Errorf("%s: committed is %v, and it ran %d times", name, committed, ran)
			}
		}
	})
}

// I7: an attempt that dies after a text that has committed is not one that has done nothing:
// nobody is there to say so. One that dies in its transaction is.
func TestPromiseEndsWithACommit(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		for _, text := range []string{"COMMIT", "ALTER TABLE other ADD COLUMN m INT", "INSERT INTO other (n) VALUES (1)"} {
			r := reservation(text)
			r.Deferred = true
			x := b.open(r)
			x.write(text)
			if err := b.prepared(text)(x.ctx, semelsql.TxFrom(x.ctx)); err != nil {
				t.Fatal(err)
			}
			x.Rollback(x.ctx) // as the server does
			if _, err := b.store.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
				t.Fatal(err)
			}
			next := anew(r)
			next.TakeOverBlameless = true
			held, err := b.store.Reserve(t.Context(), next)
			if err != nil {
				t.Fatal(err)
			}
			if runs, n := held.Token == next.Token, b.effects(text); runs != (n == 0) {
				t.Errorf("%s: %d effects are committed, and that the next attempt runs is %v", text, n, runs)
			}
		}
	})
}

// Without a doubt nothing is asked, neither for a commit nor for a rollback, whichever
// plain statements there were. A doubt costs a question, if nothing is committed.
func TestFateIsAskedForInDoubt(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
		link := servertest.NewLink(t, b.server.Addr())
		b.store = open(t, strings.Replace(b.dsn, b.server.Addr(), link.Addr(), 1), mysqlstore.Config{}) // which is asked
		b.over(link, mysqlstore.TxConfig{Mode: mode})
		trips := func(doubt, commit bool) int {
			r := reservation(semel.NewToken().String())
			r.Deferred = true
			x := b.open(r)
			for _, text := range []string{"SELECT 1 FROM effects", "SAVEPOINT a", "ROLLBACK TO a", "DELETE FROM effects"} {
				if err := x.exec(text); err != nil {
					t.Fatal(err)
				}
			}
			if doubt {
				if err := x.exec("EXPLAIN SELECT 1"); err != nil {
					t.Fatal(err)
				}
			}
			if commit {
				if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
					t.Fatal(err)
				}
			}
			before := link.Asked()
			if commit {
				if err := x.Commit(x.ctx); err != nil {
					t.Fatal(err)
				}
			} else {
				x.Rollback(x.ctx)
			}
			if err := x.Err(); err != nil {
				t.Errorf("%v: got %v", mode, err)
			}
			return link.Asked() - before
		}
		trips(true, false) // what is prepared when it is first used
		for _, commit := range []bool{true, false} {
			if got := trips(false, commit); got != 2 {
				t.Errorf("%v, commit %v: got %d round trips, want 2", mode, commit, got)
			}
		}
		if got := trips(true, true); got != 4 { // two of them for Err, which asks the store
			t.Errorf("%v: got %d round trips of a commit in doubt, want 4", mode, got)
		}
		if got := trips(true, false); got <= 2 {
			t.Errorf("%v: got %d round trips in doubt, want more than the rollback takes", mode, got)
		}
	}
}

// Temporary tables, and what is prepared by a text, commit nothing; temporary sequences do.
func TestTemporaryEndsNothing(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	x := b.locked(r)
	x.write("k")
	for _, text := range []string{
		"CREATE TEMPORARY TABLE others (n INT) ENGINE = InnoDB", "create or replace temporary table others (n INT) ENGINE = InnoDB",
		"DROP TEMPORARY TABLE IF EXISTS others", "PREPARE p FROM 'SELECT 1'", "DROP PREPARE p",
		"SET STATEMENT lock_wait_timeout = 5 FOR INSERT INTO effects VALUES ('k')",
	} {
		if err := x.exec(text); err != nil {
			t.Errorf("%s: got %v, want it run", text, err)
		}
	}
	b.wantEffects("k", 0)
	for _, text := range []string{"CREATE TEMPORARY SEQUENCE s", "CREATE OR REPLACE TABLE effects (n INT)", "DROP TABLE effects"} {
		y := b.begin()
		if err := y.exec(text); !errors.Is(err, semel.ErrTxOwned) {
			t.Errorf("%s: got %v, want ErrTxOwned", text, err)
		}
	}
	if err := x.commit(r, "body"); err != nil {
		t.Fatal(err)
	}
	b.wantEffects("k", 2)
}

// I8: SET STATEMENT is as good as what it is for: what commits is found out before there is a
// record of it.
func TestSetStatementIsWatched(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		const text = "/* now */ set statement lock_wait_timeout = 5 for alter table other ADD COLUMN IF NOT EXISTS m INT"
		x := b.open(reservation(text))
		x.write("k")
		if err := x.exec(text); err != nil {
			t.Fatal(err)
		}
		b.wantEnded(x, text)
	})
}
