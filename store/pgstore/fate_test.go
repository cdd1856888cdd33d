package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/pgstore"
)

// afterwards are the ways in which business code ends that does not commit.
func (l *ledger) afterwards() map[string]func(ctx context.Context) error {
	no := errors.New("declined")
	return map[string]func(ctx context.Context) error{
		"an error": func(context.Context) error { return no },
		"a panic":  func(context.Context) error { panic(no) },
		"a serialization failure": func(ctx context.Context) error {
			return execIn(ctx, "DO $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END$$")
		},
		"a division that is ignored": func(ctx context.Context) error {
			_ = execIn(ctx, "SELECT 1 / 0")
			return nil
		},
		"a commit": func(ctx context.Context) error { return cmpErr(tryCommit(ctx), no) },
		"a broken connection": func(ctx context.Context) error {
			return execIn(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		},
	}
}

func cmpErr(got, fallback error) error {
	if got != nil {
		return got
	}
	return fallback
}

// tryCommit does what the handle refuses.
func tryCommit(ctx context.Context) error {
	if h := semelsql.TxFrom(ctx); h != nil {
		return h.Commit()
	}
	return pgstore.TxFrom(ctx).Commit(ctx)
}

// I7, I8: business code that commits behind the handle's back, and then does not want to
// commit, or cannot, has had its effect. The key is held: nobody has it a second time.
func TestDoTxCommitsBehindOurBackAndFails(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{Lease: time.Second, Margin: -1})
	insert := func(id string) string { return "INSERT INTO " + l.schema + ".payments (id) VALUES ('" + id + "'); " }
	const rolledBack = "ROLLBACK; BEGIN; and once more"
	check := func(c setting, by, ending string) {
		name := fmt.Sprintf("%s, %s, %s", c.name, by, ending)
		call := callOf(servertest.Name(t))
		if by == rolledBack {
			by = "ROLLBACK; BEGIN; " + insert(call.Key.ID) + "COMMIT; BEGIN"
		}
		then := l.afterwards()[ending]
		runs := 0
		func() {
			defer func() { _ = recover() }()
			_, err := semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
				runs++
				must(t, execIn(ctx, insert(call.Key.ID)+by))
				return "", then(ctx)
			})
			if !errors.Is(err, semel.ErrTxEnded) {
				t.Errorf("%s: got %v, want ErrTxEnded", name, err)
			}
		}()
		if runs != 1 {
			t.Errorf("%s: got %d runs, want 1", name, runs)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.wantUnknown(t, e, call, c.txs)
		})
	}
	for i, c := range append(l.settings(), l.sqlSettings(t)...) {
		for _, by := range []string{"COMMIT; BEGIN", "COMMIT AND CHAIN"} {
			check(c, by, "an error")
		}
		if i%3 > 0 {
			continue
		}
		for ending := range l.afterwards() {
			if ending != "an error" {
				check(c, "COMMIT; BEGIN", ending)
			}
		}
		if c.txs.Mode() == semel.ClaimTx { // single mode has rolled its reservation back with it
			check(c, rolledBack, "a division that is ignored")
		}
	}
}

// Texts of several statements, and what only could have ended the transaction, cost
// nothing but a question: the key is free, and the next attempt runs, on a pool
// that has no second connection.
func TestDoTxFailsWithManyStatements(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	l.Store = opened(t, l.url+"&pool_max_conns=1", pgstore.Config{Schema: l.schema})
	e := l.engine(t, semel.Config{})
	no := errors.New("no")
	for _, c := range append(l.settings()[:4], l.sqlSettings(t)...) {
		for ending, then := range map[string]func(ctx context.Context) error{
			"an error":    func(context.Context) error { return no },
			"a division":  func(ctx context.Context) error { return errors.Join(execIn(ctx, "SELECT 1 / 0"), no) },
			"a cut":       func(ctx context.Context) error { return execIn(ctx, "SELECT pg_terminate_backend(pg_backend_pid())") },
			"a savepoint": func(ctx context.Context) error { return errors.Join(execIn(ctx, "SAVEPOINT a"), no) },
		} {
			call, runs := callOf(c.name+ending), 0
			_, err := semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
				runs++
				must(t, execIn(ctx, "SELECT 1; INSERT INTO "+l.schema+".payments (id) VALUES ('"+call.Key.ID+"')"))
				if runs > 1 {
					return "", no
				}
				return "", then(ctx)
			})
			if !errors.Is(err, no) || errors.Is(err, semel.ErrTxEnded) {
				t.Errorf("%s, %s: got %v, want the error of the business code", c.name, ending, err)
			}
			res, err := l.order(t.Context(), e, call, c.txs)
			must(t, err)
			l.wantOne(t, call.Key.ID, res.Value)
		}
	}
}

// L2: what has become of a transaction is asked when a statement gives reason to doubt it
// and it is not committed, and otherwise never.
func TestFateIsAskedForInDoubt(t *testing.T) {
	t.Parallel()
	shared := servertest.Postgres(t)
	l := newLedger(t, shared.DSN())
	pool, count := countingPool(t, l.url)
	s, err := pgstore.New(pool, pgstore.Config{Schema: l.schema, Logger: quiet})
	must(t, err)
	l.Store = s
	txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx})
	if _, err := pool.Exec(t.Context(), "CREATE PROCEDURE "+l.schema+".sneaks() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'"); err != nil {
		t.Fatal(err)
	}
	rewriter := pgx.NamedArgs{"id": "x"}
	r := reservation(servertest.Name(t))
	must(t, together(t, l.begin(t, txs, r), completion(r, "body"))) // and its statements are known
	for text, c := range map[string]struct {
		args []any
		asks int64
	}{
		"":                   {asks: 1},
		"SELECT $1::text":    {args: []any{"a;b"}},
		"SELECT 1;":          {},
		"SELECT 1; SELECT 2": {asks: 1},
		"-- why\ninsert into " + l.schema + ".payments (id) values (@id)": {args: []any{rewriter}},
		"CALL " + l.schema + ".sneaks()":                                  {}, // is refused within a transaction
		"DO 'BEGIN COMMIT; END'":                                          {asks: 1},
		"SELECT 'x'":                                                      {args: []any{silentRewriter{}}, asks: 1},
	} {
		tx := l.begin(t, txs, reservation(servertest.Name(t)))
		_, err := handleOf(t, tx).Exec(t.Context(), text, c.args...)
		if failed := err != nil; failed != (text[:min(2, len(text))] == "CA" || text[:min(2, len(text))] == "DO") {
			t.Errorf("%q: got %v", text, err)
		}
		_ = tx.Err()
		tx.Rollback(t.Context())
		before := count.n.Load()
		if err := tx.Err(); errors.Is(err, semel.ErrTxEnded) {
			t.Errorf("%q: got %v, want a transaction that nobody has ended", text, err)
		}
		if got := count.n.Load() - before; got != c.asks {
			t.Errorf("%q: got %d questions, want %d", text, got, c.asks)
		}
		r := reservation(servertest.Name(t))
		tx = l.begin(t, txs, r)
		before = count.n.Load()
		_, err = handleOf(t, tx).Exec(t.Context(), "SELECT 1; SELECT 2")
		must(t, errors.Join(err, tx.Err(), together(t, tx, completion(r, "body"))))
		if got := count.n.Load() - before; got != 2 {
			t.Errorf("got %d round trips of a text in doubt and its commit, want 2", got)
		}
	}
}

// silentRewriter sends what it is given.
type silentRewriter struct{}

func (silentRewriter) RewriteQuery(_ context.Context, _ *pgx.Conn, text string, _ []any) (string, []any, error) {
	return text, nil, nil
}
