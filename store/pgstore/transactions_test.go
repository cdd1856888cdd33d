package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// What is wrong with a configuration is the error of Begin, and its zero value is
// read committed in claim mode, whatever the role's default.
func TestTxConfig(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, cfg := range []pgstore.TxConfig{{Mode: 2}, {Isolation: "snapshot"}} {
		tx, err := l.Transactions(cfg).Begin(t.Context())
		if err == nil {
			tx.Rollback(t.Context())
			t.Errorf("got a transaction of %+v", cfg)
		}
	}
	pool := poolOf(t, l.url+"&default_transaction_isolation=serializable")
	for _, cfg := range []pgstore.TxConfig{{Pool: pool}, {Pool: pool, Isolation: pgx.ReadUncommitted}, {Pool: pool, Isolation: pgx.RepeatableRead}} {
		txs := l.Transactions(cfg)
		if txs.Mode() != semel.ClaimTx || txs.Store() != semel.Store(l.Store) {
			t.Errorf("got %v of %v", txs.Mode(), txs.Store())
		}
		tx := begun(t, txs)
		var level string
		must(t, handleOf(t, tx).QueryRow(t.Context(), "SHOW transaction_isolation").Scan(&level))
		want := string(cfg.Isolation)
		if want == "" {
			want = "read committed"
		}
		if level != want {
			t.Errorf("got %s, want %s", level, want)
		}
	}
	missing := opened(t, l.url, pgstore.Config{Schema: servertest.Name(t)})
	_, err := missing.Transactions(pgstore.TxConfig{}).Begin(t.Context())
	wantError(t, err, "begin", nil, "no schema")
}

// However a transaction ends, its connection is the pool's again, and of use.
func TestConnectionsComeBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	cfg, err := pgxpool.ParseConfig(l.url + "&pool_max_conns=1")
	must(t, err)
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	txs := l.Transactions(pgstore.TxConfig{Pool: pool})
	for name, end := range map[string]func(tx semel.Transaction, h pgx.Tx){
		"commit":   func(tx semel.Transaction, _ pgx.Tx) { _ = tx.Commit(t.Context()) },
		"rollback": func(tx semel.Transaction, _ pgx.Tx) { tx.Rollback(t.Context()) },
		"misuse":   func(tx semel.Transaction, h pgx.Tx) { _ = h.Commit(t.Context()); _ = tx.Commit(t.Context()) },
		"spoiled": func(tx semel.Transaction, h pgx.Tx) {
			_, _ = h.Exec(t.Context(), "SELECT 1/0")
			_ = tx.Commit(t.Context())
		},
		"ended": func(tx semel.Transaction, h pgx.Tx) {
			_, _ = h.Exec(t.Context(), "SELECT 1; COMMIT")
			_ = tx.Commit(t.Context())
		},
		"rolled back with rows": func(tx semel.Transaction, h pgx.Tx) {
			_, _ = h.Query(t.Context(), "SELECT generate_series(1, 100000)") //nolint:sqlclosecheck // that is the case
			tx.Rollback(t.Context())
		},
		"terminated": func(tx semel.Transaction, h pgx.Tx) {
			run(t, l.watch, fmt.Sprintf("SELECT pg_terminate_backend(%d)", h.Conn().PgConn().PID()))
			_ = tx.Commit(t.Context())
		},
		"closed": func(tx semel.Transaction, h pgx.Tx) {
			_ = h.Conn().Close(t.Context())
			if err := tx.Err(); !txs.Again(err) {
				t.Errorf("got %v, want to begin again", err)
			}
			_ = tx.Commit(t.Context())
		},
		"twice": func(tx semel.Transaction, _ pgx.Tx) { tx.Rollback(t.Context()); tx.Rollback(t.Context()) },
	} {
		within(t, name, func() {
			tx := begun(t, txs)
			end(tx, handleOf(t, tx))
			tx.Rollback(t.Context())
			tx = begun(t, txs) // there is one connection: it must be back
			if _, err := handleOf(t, tx).Exec(t.Context(), "SELECT 1"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			must(t, tx.Commit(t.Context()))
		})
		eventually(t, name, func() bool { return pool.Stat().AcquiredConns() == 0 })
	}
}

// L4: connections that broke while they rested cost the next transaction nothing, also where
// it has to ask first whether the standby has everything: a commit went without an answer.
func TestBeginOnDeadConnections(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	cfg, err := pgxpool.ParseConfig(l.url + "&application_name=" + l.schema)
	must(t, err)
	cfg.MaxConns = 8
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	txs := l.Transactions(pgstore.TxConfig{Pool: pool})
	var open []semel.Transaction
	for range 8 {
		open = append(open, begun(t, txs))
	}
	lost := open[0]
	must(t, exec(t, lost, "SELECT 1"))
	for _, tx := range open[1:] {
		tx.Rollback(t.Context())
	}
	run(t, l.watch, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '"+l.schema+"'")
	if err := lost.Commit(t.Context()); !errors.Is(err, semel.ErrCommitUnknown) {
		t.Fatalf("got %v, want a commit without an answer", err)
	}
	must(t, begun(t, txs).Commit(t.Context()))
}

// I8: a goroutine that the handler left behind writes into the transaction or hears that
// it must not; nothing of it is written elsewhere, and nothing waits for it.
func TestGoroutineLeftBehind(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	txs := l.Transactions(pgstore.TxConfig{})
	for round := range 30 {
		r := reservation(fmt.Sprint(round))
		tx := l.inMode(t, txs, r)
		h := handleOf(t, tx)
		nested, err := h.Begin(t.Context())
		must(t, err)
		var wg sync.WaitGroup
		began := make(chan struct{})
		var told error
		wg.Go(func() {
			for i := 0; told == nil || !errors.Is(told, semel.ErrTxOver); i++ {
				if i == 5 {
					close(began)
				}
				_, told = h.Exec(t.Context(), l.insert(), fmt.Sprint(r.Key.ID, " left behind ", i))
				rows, err := h.Query(t.Context(), "SELECT generate_series(1, 3)")
				if err == nil {
					rows.Next()
				}
				rows.Close()
				told = errors.Join(told, err)
			}
			_ = nested.Rollback(t.Context()) // undoes nothing of the completion
		})
		<-began
		err = tx.Complete(t.Context(), completion(r, "body"))
		if err == nil {
			err = tx.Commit(t.Context())
		}
		tx.Rollback(t.Context())
		wg.Wait()
		l.wantExactly(t, r, err == nil)
		left := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".payments WHERE id LIKE $1", r.Key.ID+" left%")
		if err != nil && left > 0 {
			t.Errorf("got %d writes of a transaction that ended with %v", left, err)
		}
	}

	// One that is in the middle of a statement is not waited for.
	for name, end := range map[string]func(tx semel.Transaction, r semel.Reservation) error{
		"complete": func(tx semel.Transaction, r semel.Reservation) error {
			return tx.Complete(t.Context(), completion(r, "body"))
		},
		"err":    func(tx semel.Transaction, _ semel.Reservation) error { return tx.Err() },
		"commit": func(tx semel.Transaction, _ semel.Reservation) error { return tx.Commit(t.Context()) },
		"rollback": func(tx semel.Transaction, _ semel.Reservation) error {
			tx.Rollback(t.Context())
			return errors.New("rolled back")
		},
	} {
		r := reservation(name)
		tx := l.inMode(t, txs, r)
		pid := int32(pidOf(t, tx))
		h := handleOf(t, tx)
		done := make(chan error, 1)
		go func() {
			_, err := h.Exec(t.Context(), "SELECT pg_sleep(600)")
			done <- err
		}()
		eventually(t, "the statement runs", func() bool {
			return look[bool](t, l.watch, "SELECT wait_event IS NOT DISTINCT FROM 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid)
		})
		within(t, name, func() {
			err := end(tx, r)
			if err == nil || errors.Is(err, semel.ErrCommitUnknown) || txs.Again(err) {
				t.Errorf("%s: got %v, want a transaction that is not committed", name, err)
			}
			tx.Rollback(t.Context())
			if err := <-done; err == nil {
				t.Errorf("%s: got a statement through to its end", name)
			}
		})
		l.wantExactly(t, r, false)
	}
}

// What a look finds when no transaction is at work.
func TestLook(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	r := deferred("a")
	r.Lease = time.Microsecond
	wantLook := func(what string, state semel.State, ok func(held semel.Record) bool) {
		t.Helper()
		held, err := l.Look(t.Context(), r.Key)
		if err != nil || held.State != state || held.Key != r.Key || held.Lapsed || !ok(held) {
			t.Errorf("%s: got %+v (%v)", what, held, err)
		}
	}
	wantLook("absent", semel.StateFree, func(held semel.Record) bool { return held.Fence == 0 })
	first := mustReserve(t, l, r)
	wantLook("reserved", semel.StateReserved, func(held semel.Record) bool {
		return held.Token == r.Token && held.Fence == first.Fence && held.Deferred && held.Attempts == 1
	})
	must(t, l.Release(t.Context(), r.Key, r.Token))
	wantLook("released", semel.StateFree, func(held semel.Record) bool { return held.Fence == first.Fence })
	r = again(r)
	mustReserve(t, l, r)
	c := completion(r, "body")
	must(t, l.Complete(t.Context(), c))
	wantLook("completed", semel.StateCompleted, func(held semel.Record) bool {
		return held.Token == r.Token && held.Response.Status == c.Response.Status &&
			string(held.Response.Header) == "header" && string(held.Response.Body) == "body"
	})
}
