package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// writes are the ways of a handle to write the payment that is named.
func (l *ledger) writes() map[string]func(ctx context.Context, tx pgx.Tx, id string) error {
	return map[string]func(ctx context.Context, tx pgx.Tx, id string) error{
		"Exec": func(ctx context.Context, tx pgx.Tx, id string) error {
			tag, err := tx.Exec(ctx, l.insert(), id)
			if err == nil && tag.RowsAffected() != 1 {
				err = fmt.Errorf("%d rows", tag.RowsAffected())
			}
			return err
		},
		"Query": func(ctx context.Context, tx pgx.Tx, id string) error {
			rows, err := tx.Query(ctx, l.insert()+" RETURNING id, length(id)", id)
			if err != nil {
				return err
			}
			type payment struct {
				ID  string
				Len int
			}
			all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[payment])
			if err == nil && !slices.Equal(all, []payment{{id, len(id)}}) {
				err = fmt.Errorf("got %v", all)
			}
			return err
		},
		"Values": func(ctx context.Context, tx pgx.Tx, id string) error {
			rows, err := tx.Query(ctx, l.insert()+" RETURNING id", id)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				values, err := rows.Values()
				if err != nil || values[0] != id || string(rows.RawValues()[0]) != id || rows.FieldDescriptions()[0].Name != "id" ||
					rows.Conn() != tx.Conn() || rows.TypeMap() == nil {
					return fmt.Errorf("got %v (%w)", values, err)
				}
			}
			if rows.CommandTag().String() != "INSERT 0 1" {
				return fmt.Errorf("got %s", rows.CommandTag())
			}
			return rows.Err()
		},
		"QueryRow": func(ctx context.Context, tx pgx.Tx, id string) error {
			var got string
			err := tx.QueryRow(ctx, l.insert()+" RETURNING id", id).Scan(&got)
			if err == nil && got != id {
				err = fmt.Errorf("got %q", got)
			}
			return err
		},
		"SendBatch": func(ctx context.Context, tx pgx.Tx, id string) error {
			b := new(pgx.Batch)
			b.Queue("SELECT 1")
			b.Queue("SELECT 2 UNION SELECT 3")
			b.Queue("SELECT 4")
			b.Queue(l.insert(), id)
			res := tx.SendBatch(ctx, b)
			_, err := res.Exec()
			rows, qerr := res.Query()
			two, cerr := pgx.CollectRows(rows, pgx.RowTo[int])
			var four int
			if err := errors.Join(err, qerr, cerr, res.QueryRow().Scan(&four), res.Close()); err != nil {
				return err
			}
			if len(two) != 2 || four != 4 {
				return fmt.Errorf("got %v and %d", two, four)
			}
			return nil
		},
		"SendBatch with functions": func(ctx context.Context, tx pgx.Tx, id string) error {
			b := new(pgx.Batch)
			got := ""
			b.Queue(l.insert()+" RETURNING id", id).QueryRow(func(row pgx.Row) error { return row.Scan(&got) })
			err := tx.SendBatch(ctx, b).Close()
			if err == nil && got != id {
				err = fmt.Errorf("got %q", got)
			}
			return err
		},
		"CopyFrom": func(ctx context.Context, tx pgx.Tx, id string) error {
			n, err := tx.CopyFrom(ctx, pgx.Identifier{l.schema, "payments"}, []string{"id"}, pgx.CopyFromRows([][]any{{id}}))
			if err == nil && n != 1 {
				err = fmt.Errorf("%d rows", n)
			}
			return err
		},
		"Prepare": func(ctx context.Context, tx pgx.Tx, id string) error {
			name := "pay " + id
			if _, err := tx.Prepare(ctx, name, l.insert()); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, name, id)
			return err
		},
		"Begin": func(ctx context.Context, tx pgx.Tx, id string) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
				err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, l.insert(), id+" and more"); err != nil {
						return err
					}
					return io.EOF
				})
				if !errors.Is(err, io.EOF) {
					return err
				}
				_, err = tx.Exec(ctx, l.insert(), id)
				return err
			})
		},
		"Conn": func(ctx context.Context, tx pgx.Tx, id string) error {
			_, err := tx.Conn().Exec(ctx, l.insert(), id)
			return err
		},
		"LargeObjects": func(ctx context.Context, tx pgx.Tx, id string) error {
			objects := tx.LargeObjects()
			oid, err := objects.Create(ctx, 0)
			if err != nil {
				return err
			}
			object, err := objects.Open(ctx, oid, pgx.LargeObjectModeWrite|pgx.LargeObjectModeRead)
			if err != nil {
				return err
			}
			_, err = io.WriteString(object, id)
			return errors.Join(err, object.Close(), objects.Unlink(ctx, oid), l.writes()["Exec"](ctx, tx, id))
		},
	}
}

// prepares reports whether a way to write prepares statements past the handle, which a
// pooler loses when it changes the server connection.
func prepares(name string) bool {
	return name == "Prepare" || name == "Conn" || name == "LargeObjects" || strings.HasPrefix(name, "SendBatch")
}

// I8: what a handle writes, in whatever way, commits with the record; whatever the
// way statements are sent, and through a pooler.
func TestHandleWrites(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	ways := map[string]string{"opened": server.DSN(), "pooled": servertest.NewPgBouncer(t, server).DSN()}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		ways[mode] = server.DSN() + "&default_query_exec_mode=" + mode
	}
	ways["pooled, whole"] = ways["pooled"] + "&default_query_exec_mode=exec"
	for way, url := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, server.DSN())
			must(t, l.Close())
			l.Store = opened(t, url, pgstore.Config{Schema: l.schema})
			for _, mode := range modes {
				txs := l.Transactions(pgstore.TxConfig{Mode: mode})
				for name, write := range l.writes() {
					if way == "pooled" && prepares(name) {
						continue // the URL does not forbid it
					}
					r := reservation(mode.String() + name)
					tx := l.begin(t, txs, r)
					if err := write(t.Context(), handleOf(t, tx), r.Key.ID); err != nil {
						t.Errorf("%v, %s: %v", mode, name, err)
						tx.Rollback(t.Context())
						continue
					}
					must(t, tx.Err())
					must(t, tx.Complete(t.Context(), completion(r, "body")))
					must(t, tx.Commit(t.Context()))
					l.wantExactly(t, r, true)
				}
			}
			if n := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".payments WHERE id LIKE '%more'"); n != 0 {
				t.Errorf("got %d payments that were rolled back", n)
			}
		})
	}
}

// Once the attempt is being completed, no method does anything: each returns ErrTxOver,
// also of rows and of savepoints that were begun before.
func TestHandleIsOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	txs := l.Transactions(pgstore.TxConfig{})
	for name, end := range map[string]func(tx semel.Transaction, r semel.Reservation) error{
		"completed": func(tx semel.Transaction, r semel.Reservation) error {
			return tx.Complete(t.Context(), completion(r, "body"))
		},
		"committed": func(tx semel.Transaction, _ semel.Reservation) error { return tx.Commit(t.Context()) },
		"rolled back": func(tx semel.Transaction, _ semel.Reservation) error {
			tx.Rollback(t.Context())
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.begin(t, txs, r)
			h := handleOf(t, tx)
			nested, err := h.Begin(t.Context())
			must(t, err)
			rows, err := h.Query(t.Context(), "SELECT i, repeat('x', 10000) FROM generate_series(1, 1000) AS i")
			must(t, err)
			if !rows.Next() {
				t.Fatal(rows.Err())
			}
			must(t, end(tx, r))
			over := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, semel.ErrTxOver) {
					t.Errorf("%s: got %v, want ErrTxOver", what, err)
				}
			}
			ways := l.writes()
			for _, way := range []string{"LargeObjects", "Conn"} {
				delete(ways, way)
			}
			for what, write := range ways {
				over(what, write(t.Context(), h, "late"))
				over(what+" nested", write(t.Context(), nested, "late"))
			}
			over("Commit", h.Commit(t.Context()))
			over("Rollback", h.Rollback(t.Context()))
			over("Commit nested", nested.Commit(t.Context()))
			over("Rollback nested", nested.Rollback(t.Context()))
			var i int
			over("Scan", rows.Scan(&i, nil))
			if rows.Next() || rows.Conn() != nil || rows.FieldDescriptions() != nil || rows.RawValues() != nil || rows.TypeMap() != nil {
				t.Error("got rows that go on")
			}
			_, err = rows.Values()
			over("Values", err)
			rows.Close()
			over("Err", rows.Err())
			if h.Conn() != nil || nested.Conn() != nil {
				t.Error("got the driver's connection")
			}
			if name != "completed" {
				objects := h.LargeObjects()
				if _, err := objects.Create(t.Context(), 0); !errors.Is(err, pgx.ErrTxClosed) {
					t.Errorf("got %v from a large object, want ErrTxClosed", err)
				}
				over("a step", tx.Lock(t.Context(), r.Key, r.Token))
				over("a second commit", tx.Commit(t.Context()))
				over("the reason", tx.Err())
			}
			tx.Rollback(t.Context())
			if n := l.paid(t, "late"); n != 0 {
				t.Errorf("got %d late writes", n)
			}
		})
	}
}

// I8: a handler that ends its transaction itself is told not to, and nothing of it is
// committed. Where the server did as it was told, nothing goes on behind it.
func TestHandleIsMisused(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	exec := func(text string) func(h pgx.Tx) error {
		return func(h pgx.Tx) error { _, err := h.Exec(t.Context(), text); return err }
	}
	misuses := map[string]func(h pgx.Tx) error{
		"Commit":   func(h pgx.Tx) error { return h.Commit(t.Context()) },
		"Rollback": func(h pgx.Tx) error { return h.Rollback(t.Context()) },
		"batch": func(h pgx.Tx) error {
			b := new(pgx.Batch)
			b.Queue("SELECT 1")
			b.Queue("COMMIT")
			return h.SendBatch(t.Context(), b).Close()
		},
		"query": func(h pgx.Tx) error {
			rows, err := h.Query(t.Context(), "ABORT")
			rows.Close()
			return err
		},
		"row":     func(h pgx.Tx) error { return h.QueryRow(t.Context(), "commit").Scan() },
		"prepare": func(h pgx.Tx) error { _, err := h.Prepare(t.Context(), "", "ROLLBACK"); return err },
	}
	for _, text := range []string{"COMMIT", " commit and chain", "/* a /* b */ */ -- c\n;END", "rollback work", "PREPARE TRANSACTION 'a'", "begin", "Start Transaction"} {
		misuses[text] = exec(text)
	}
	for name, misuse := range misuses {
		t.Run(name, func(t *testing.T) {
			for _, c := range l.settings() {
				r := reservation(servertest.Name(t))
				tx := l.inMode(t, c.txs, r)
				h := handleOf(t, tx)
				if err := misuse(h); !errors.Is(err, semel.ErrTxOwned) {
					t.Errorf("got %v, want ErrTxOwned", err)
				}
				if err := tx.Err(); !errors.Is(err, semel.ErrTxOwned) || c.txs.Again(err) {
					t.Errorf("got %v, want ErrTxOwned", err)
				}
				if err := tx.Complete(t.Context(), completion(r, "body")); !errors.Is(err, semel.ErrTxOwned) {
					t.Errorf("got %v, want ErrTxOwned", err)
				}
				if err := tx.Commit(t.Context()); !errors.Is(err, semel.ErrTxOwned) || errors.Is(err, semel.ErrCommitUnknown) {
					t.Errorf("got %v, want ErrTxOwned", err)
				}
				l.wantExactly(t, r, false)
			}
		})
	}
	for name, misuse := range map[string]func(h pgx.Tx) error{
		"behind another statement": exec("SELECT 1; ROLLBACK"),
		"on the driver's connection": func(h pgx.Tx) error {
			_, err := h.Conn().Exec(t.Context(), "ROLLBACK")
			return errors.Join(err, exec("SELECT 1")(h))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, l.Transactions(pgstore.TxConfig{}), r)
			h := handleOf(t, tx)
			_ = misuse(h)
			if _, err := h.Exec(t.Context(), l.insert(), r.Key.ID); !errors.Is(err, semel.ErrTxOwned) {
				t.Errorf("got %v for a statement behind it, want ErrTxOwned: it would stand alone", err)
			}
			if err := tx.Commit(t.Context()); !errors.Is(err, semel.ErrTxOwned) {
				t.Errorf("got %v, want ErrTxOwned", err)
			}
			l.wantExactly(t, r, false)
		})
	}
}

// Savepoints of plain SQL are fine, and so are words that only look like the end.
func TestWhatEndsNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	r := reservation("a")
	tx := l.inMode(t, l.Transactions(pgstore.TxConfig{}), r)
	for _, text := range []string{
		"SAVEPOINT a", "ROLLBACK TO a", "rollback work to savepoint a", "ROLLBACK TRANSACTION TO SAVEPOINT a", "RELEASE a",
		"PREPARE commit AS SELECT 1", "EXECUTE commit", "", ";", "-- COMMIT",
		"SELECT 'COMMIT' AS committed", "WITH commit AS (SELECT 1) SELECT * FROM commit",
	} {
		if _, err := handleOf(t, tx).Exec(t.Context(), text); err != nil {
			t.Errorf("%s: got %v", text, err)
		}
	}
	must(t, tx.Complete(t.Context(), completion(r, "body")))
	must(t, tx.Commit(t.Context()))
	l.wantExactly(t, r, true)
}

// spoilers are the ways in which a handler meets an error of the server. Each
// returns what it was told, if it looked.
func (l *ledger) spoilers() map[string]func(ctx context.Context, tx pgx.Tx) error {
	const late = "SELECT 1 / (3 - i) FROM generate_series(1, 5) AS i"
	all := map[string]func(ctx context.Context, tx pgx.Tx) error{
		"the end of rows": func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, late)
			if err != nil {
				return err
			}
			for rows.Next() { //nolint:revive // to the end
			}
			return rows.Err()
		},
		"rows that are closed early": func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, late)
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		},
		"rows that nobody closed": func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, late) // that is the case
			if err != nil {
				return err
			}
			rows.Next()
			return nil
		},
		"a row that nobody scanned": func(ctx context.Context, tx pgx.Tx) error {
			tx.QueryRow(ctx, "SELECT 1 / 0")
			return nil
		},
		"a batch": func(ctx context.Context, tx pgx.Tx) error {
			b := new(pgx.Batch)
			b.Queue("SELECT 1")
			b.Queue("SELECT 1 / 0")
			return tx.SendBatch(ctx, b).Close()
		},
		"the rows of a batch": func(ctx context.Context, tx pgx.Tx) error {
			b := new(pgx.Batch)
			b.Queue(late)
			b.Queue("SELECT 1")
			res := tx.SendBatch(ctx, b)
			rows, err := res.Query()
			if err == nil {
				_, err = pgx.CollectRows(rows, pgx.RowTo[int])
			}
			return errors.Join(err, res.Close())
		},
		"a batch that nobody closed": func(ctx context.Context, tx pgx.Tx) error {
			b := new(pgx.Batch)
			b.Queue("SELECT 1")
			b.Queue("SELECT 1 / 0")
			tx.SendBatch(ctx, b)
			return nil
		},
		"a copy": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{l.schema, "payments"}, []string{"id"}, pgx.CopyFromRows([][]any{{"x"}, {"x"}}))
			return err
		},
		"a preparation": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Prepare(ctx, "wrong", "SELECT nothing")
			return err
		},
		"a savepoint": func(ctx context.Context, tx pgx.Tx) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "RELEASE nothing")
				return err
			})
		},
		"a large object": func(ctx context.Context, tx pgx.Tx) error {
			objects := tx.LargeObjects()
			return objects.Unlink(ctx, 1)
		},
	}
	for name, text := range map[string]string{"a division": "SELECT 1 / 0", "a raise": "DO $$BEGIN RAISE EXCEPTION 'no'; END$$"} {
		all[name] = func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, text); return err }
	}
	return all
}

// I8: an error of the server spoils the transaction, whatever the handler makes of
// it. The first one is the reason, and a handler that goes back to a savepoint
// has a whole transaction again.
func TestSpoiledTransactions(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for name, spoil := range l.spoilers() {
		t.Run(name, func(t *testing.T) {
			for _, c := range l.settings()[:3] {
				r := reservation(servertest.Name(t))
				tx := l.inMode(t, c.txs, r)
				h := handleOf(t, tx)
				must(t, tx.Err())
				healed, err := h.Begin(t.Context())
				must(t, err)
				told := spoil(t.Context(), healed)
				if name == "a savepoint" {
					must(t, healed.Rollback(t.Context())) // it has rolled back itself
					must(t, tx.Err())
				} else {
					wantReason(t, name, tx.Err(), told)
					_, after := h.Exec(t.Context(), "SELECT 1")
					if pe, ok := errors.AsType[*pgconn.PgError](after); !ok || pe.Code != "25P02" {
						t.Errorf("got %v for the next statement, want the server to take none", after)
					}
					wantReason(t, name, tx.Err(), told)
					must(t, healed.Rollback(t.Context()))
					must(t, tx.Err())
				}

				told = spoil(t.Context(), h)
				if name == "a savepoint" {
					must(t, tx.Complete(t.Context(), completion(r, "body")))
					must(t, tx.Commit(t.Context()))
					l.wantExactly(t, r, true)
					continue
				}
				wantReason(t, name, tx.Complete(t.Context(), completion(r, "body")), told)
				err = tx.Commit(t.Context())
				wantReason(t, name, err, told)
				wantNotCommitted(t, c.txs, err, false)
				l.wantExactly(t, r, false)
			}
		})
	}
}

// wantReason wants the error that a handler was told, if it was and could be seen.
func wantReason(t *testing.T, name string, reason, told error) {
	t.Helper()
	if name == "a large object" {
		if reason == nil {
			t.Error("got no reason")
		}
		return
	}
	pe, ok := errors.AsType[*pgconn.PgError](reason)
	if !ok || pe.Code == "25P02" {
		t.Errorf("got the reason %v, want the server's first word", reason)
	}
	if first, ok := errors.AsType[*pgconn.PgError](told); ok && pe != nil && first.Code != pe.Code {
		t.Errorf("got the reason %v, want %v", reason, told)
	}
}

// An error of the driver alone spoils nothing, nor do rows that nobody closed.
func TestWhatSpoilsNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	txs := l.Transactions(pgstore.TxConfig{})
	r := reservation("a")
	tx := l.inMode(t, txs, r)
	h := handleOf(t, tx)
	var wrong pgx.Tx
	var n int
	for name, err := range map[string]error{
		"no row":              h.QueryRow(t.Context(), "SELECT 1 WHERE false").Scan(&n),
		"a wrong destination": h.QueryRow(t.Context(), "SELECT 'x'").Scan(&wrong),
		"too few":             h.QueryRow(t.Context(), "SELECT 1, 2").Scan(&n),
		"no argument":         func() error { _, err := h.Exec(t.Context(), "SELECT $1::int", 1, 2); return err }(),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
		must(t, tx.Err())
	}
	rows, err := h.Query(t.Context(), "SELECT 'x', i FROM generate_series(1, 3) AS i")
	must(t, err)
	rows.Next()
	if err := rows.Scan(&n, &n); err == nil {
		t.Error("got an x as a number")
	}
	must(t, tx.Err())
	left, err := h.Query(t.Context(), "SELECT i FROM generate_series(1, 3) AS i") // that is the case
	must(t, err)
	left.Next()
	if _, err := h.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("got two statements at a time on one connection")
	}
	must(t, tx.Complete(t.Context(), completion(r, "body")))
	must(t, tx.Commit(t.Context()))
	l.wantExactly(t, r, true)
}

// I8: a context of the handler's that ends breaks the connection, and with it the
// transaction: nothing of it is committed, nor is it begun again.
func TestHandlersContext(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range l.settings() {
		t.Run(c.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			pid := pidOf(t, tx)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := handleOf(t, tx).Exec(ctx, "SELECT pg_sleep(600)")
				done <- err
			}()
			eventually(t, "the statement runs", func() bool {
				return look[bool](t, l.watch, "SELECT wait_event IS NOT DISTINCT FROM 'PgSleep' FROM pg_stat_activity WHERE pid = $1", int32(pid))
			})
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			if err := tx.Err(); err == nil || c.txs.Again(err) {
				t.Errorf("got %v, again %v, want a reason not to commit, nor to begin again", err, c.txs.Again(err))
			}
			wantNotCommitted(t, c.txs, tx.Commit(t.Context()), false)
			l.wantExactly(t, r, false)

			ended := l.inMode(t, c.txs, again(reservation(servertest.Name(t)))) // a context that ended before breaks nothing
			if _, err := handleOf(t, ended).Exec(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			ended.Rollback(t.Context())
		})
	}
}
