package pgstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// I8: a completion that hits nothing takes the COMMIT with it that was sent along,
// whatever the way statements are sent, and through a pooler; one that hits commits both.
func TestCompleteAndCommit(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	ways := map[string]string{"pooled": servertest.NewPgBouncer(t, server).DSN()}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		ways[mode] = server.DSN() + "&default_query_exec_mode=" + mode
	}
	for way, url := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, server.DSN())
			must(t, l.Close())
			l.Store = opened(t, url, pgstore.Config{Schema: l.schema})
			for _, mode := range modes {
				txs := l.Transactions(pgstore.TxConfig{Mode: mode})
				for range 2 { // with statements that are known, too
					r := reservation(servertest.Name(t))
					tx := l.begin(t, txs, r)
					l.pay(t, tx, r.Key.ID)
					must(t, together(t, tx, completion(r, "body")))
					l.wantExactly(t, r, true)

					r = reservation(servertest.Name(t))
					mustReserve(t, l, r)
					tx = begun(t, txs) // and nobody has taken the slot in it
					l.pay(t, tx, r.Key.ID)
					if err := together(t, tx, completion(again(r), "body")); !errors.Is(err, semel.ErrLost) {
						t.Errorf("%v: got %v, want ErrLost", mode, err)
					}
					l.wantExactly(t, r, false)
				}
			}
		})
	}
}

// together completes and commits in one go.
func together(t *testing.T, tx semel.Transaction, c semel.Completion) error {
	t.Helper()
	both, ok := tx.(semel.CompleteCommitter)
	if !ok {
		t.Fatal("it cannot complete and commit in one go")
	}
	return both.CompleteAndCommit(t.Context(), c)
}

// I8: a division by zero that is the business code's, at the commit, is its error: nothing
// has happened, and nobody has ended the transaction.
func TestDivisionAtTheCommit(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	run(t, l.watch,
		"CREATE FUNCTION "+l.schema+".divides() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1 / 0; RETURN NULL; END'",
		"CREATE CONSTRAINT TRIGGER divides AFTER INSERT ON "+l.schema+".payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "+l.schema+".divides()")
	for _, c := range l.settings() {
		call, ran := callOf(servertest.Name(t)), 0
		_, err := semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
			ran++
			return "", execIn(ctx, l.insert(), call.Key.ID)
		})
		if err == nil || errors.Is(err, semel.ErrTxEnded) || errors.Is(err, semel.ErrCommitUnknown) || errors.Is(err, semel.ErrTxBusy) || ran != 1 {
			t.Errorf("%s: got %v after %d runs, want the error of the trigger after one", c.name, err, ran)
		}
		if n := l.paid(t, call.Key.ID); n != 0 {
			t.Errorf("%s: got %d effects", c.name, n)
		}
	}
}

// I8: a session that the server ended while the business code had it idle has not
// committed, although a COMMIT was sent: the first word that comes back is about
// the completion. The cause is told, and the work is not done again if it would only
// idle again.
func TestIdleBeforeTheCommit(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	pool := poolOf(t, l.url+"&idle_in_transaction_session_timeout=100ms")
	plain := poolOf(t, l.url+"&application_name="+l.schema)
	for _, mode := range modes {
		call, ran := callOf(servertest.Name(t)), 0
		_, err := semel.DoTx(t.Context(), e, call, l.Transactions(pgstore.TxConfig{Mode: mode, Pool: pool}), func(ctx context.Context) (string, error) {
			ran++
			err := execIn(ctx, l.insert(), call.Key.ID)
			eventually(t, "the server ends the session", func() bool {
				return look[bool](t, l.watch, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", int32(pgstore.TxFrom(ctx).Conn().PgConn().PID()))
			})
			return "", err
		})
		if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "25P03" || ran != 1 || errors.Is(err, semel.ErrTxBusy) || errors.Is(err, semel.ErrTxEnded) {
			t.Errorf("%v: got %v after %d runs, want the server's reason after one", mode, err, ran)
		}
		if n := l.paid(t, call.Key.ID); n != 0 {
			t.Errorf("%v: got %d effects", mode, n)
		}

		ran = 0 // one that was ended by an operator is done again
		call = callOf(servertest.Name(t))
		_, err = semel.DoTx(t.Context(), e, call, l.Transactions(pgstore.TxConfig{Mode: mode, Pool: plain}), func(ctx context.Context) (string, error) {
			err := execIn(ctx, l.insert(), call.Key.ID)
			if ran++; ran == 1 {
				run(t, l.watch, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '"+l.schema+"'")
			}
			return "", err
		})
		if n := l.paid(t, call.Key.ID); err != nil || ran != 2 || n != 1 {
			t.Errorf("%v: got %d effects after %d runs (%v), want one after two", mode, n, ran, err)
		}
	}
}

// I8: large objects that were kept write nothing once the transaction is over, on a
// connection that by then is somebody else's; nor do those that are asked for afterwards.
func TestLargeObjectsAreOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	no := errors.New("no")
	for _, mode := range modes {
		txs := l.Transactions(pgstore.TxConfig{Mode: mode})
		for what, end := range map[string]error{"a commit": nil, "a rollback": no} {
			call := callOf(servertest.Name(t))
			var kept, nested pgx.LargeObjects
			var h pgx.Tx
			_, err := semel.DoTx(t.Context(), e, call, txs, func(ctx context.Context) (string, error) {
				h = pgstore.TxFrom(ctx)
				kept = h.LargeObjects()
				inner, err := h.Begin(ctx)
				must(t, err)
				nested = inner.LargeObjects()
				_, err = kept.Create(ctx, 0)
				return "", errors.Join(err, execIn(ctx, l.insert(), call.Key.ID), end)
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			late := h.LargeObjects()
			for name, objects := range map[string]pgx.LargeObjects{"kept": kept, "of a savepoint": nested, "asked for late": late} {
				if oid, err := objects.Create(t.Context(), 0); !errors.Is(err, pgx.ErrTxClosed) {
					t.Errorf("%v, %s, after %s: got object %d (%v), want ErrTxClosed", mode, name, what, oid, err)
				}
			}
		}
		call := callOf(servertest.Name(t)) // and where nobody had asked before
		var h pgx.Tx
		_, err := semel.DoTx(t.Context(), e, call, txs, func(ctx context.Context) (string, error) {
			h = pgstore.TxFrom(ctx)
			return "", execIn(ctx, l.insert(), call.Key.ID)
		})
		must(t, err)
		late := h.LargeObjects()
		if oid, err := late.Create(t.Context(), 0); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%v, after all: got object %d (%v), want ErrTxClosed", mode, oid, err)
		}
	}
}

// L4: connections that broke while they rested cost the work none of its tries, although
// they are found out by the first step: nothing has happened then.
func TestFirstStepOnDeadConnections(t *testing.T) {
	t.Parallel()
	for _, size := range []int32{1, 12, 40} {
		l := newLedger(t, servertest.Postgres(t).DSN())
		cfg, err := pgxpool.ParseConfig(l.url + "&application_name=" + l.schema)
		must(t, err)
		cfg.MaxConns = size
		cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		must(t, err)
		t.Cleanup(pool.Close)
		own, err := pgstore.New(pool, pgstore.Config{Schema: l.schema, Logger: quiet})
		must(t, err)
		far := *l
		far.Store = own
		for name, c := range map[string]struct {
			l   *ledger
			cfg pgstore.TxConfig
		}{
			"claim": {l, pgstore.TxConfig{Pool: pool}}, "single": {l, pgstore.TxConfig{Pool: pool, Mode: semel.SingleTx}},
			"single, of the store": {&far, pgstore.TxConfig{Mode: semel.SingleTx}},
		} {
			e, txs := c.l.engine(t, semel.Config{}), c.l.Transactions(c.cfg)
			_, err := c.l.order(t.Context(), e, callOf(servertest.Name(t)), txs)
			must(t, err)
			var conns []*pgxpool.Conn
			for range size {
				conn, err := pool.Acquire(t.Context())
				must(t, err)
				must(t, conn.Ping(t.Context()))
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				conn.Release()
			}
			run(t, l.watch, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '"+l.schema+"'")
			call := callOf(servertest.Name(t))
			res, err := c.l.order(t.Context(), e, call, txs)
			if err != nil {
				t.Errorf("%s, %d dead connections: %v", name, size, err)
				continue
			}
			l.wantOne(t, call.Key.ID, res.Value)
		}
	}
}
