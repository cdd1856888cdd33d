package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// awaitNobody makes every commit of the server wait for a standby that does not
// exist. The pool's own commits do not wait.
func awaitNobody(t *testing.T, server *servertest.Server) *pgxpool.Pool {
	t.Helper()
	admin := poolOf(t, server.DSN()+"&synchronous_commit=local")
	setStandbys(t, admin, "nobody")
	t.Cleanup(func() { // or a store that is closed waits for its steps
		run(t, admin, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	})
	// The processes of the server do not learn a setting at the same time.
	probe := poolOf(t, server.DSN())
	eventually(t, "a commit waits", func() bool {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = probe.Exec(context.WithoutCancel(t.Context()), "SELECT pg_logical_emit_message(true, 'test', '')")
		}()
		for {
			select {
			case <-done:
				return false
			case <-time.After(5 * time.Millisecond):
			}
			if look[int](t, admin, waiting) == 1 {
				run(t, admin, cancelWaiting)
				<-done
				return true
			}
		}
	})
	return admin
}

func setStandbys(t *testing.T, admin *pgxpool.Pool, names string) {
	t.Helper()
	run(t, admin, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'", "SELECT pg_reload_conf()")
	eventually(t, "the setting counts", func() bool {
		return look[string](t, admin, "SELECT current_setting('synchronous_standby_names')") == names
	})
}

const cancelWaiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

const waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

func awaitWaiting(t *testing.T, admin *pgxpool.Pool) {
	t.Helper()
	eventually(t, "a commit waits for the standby", func() bool { return look[int](t, admin, waiting) == 1 })
}

// I10, I12: a reservation that waits for its standby is not canceled, neither by
// its context nor by the engine's timeout: the server would make it visible to
// all, unreplicated. It stays unseen until the standby has it.
func TestWaitForTheStandbyIsNotCanceled(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	schema := servertest.Name(t)
	s := opened(t, server.DSN(), pgstore.Config{Schema: schema})
	migrate(t, s)
	mustReserve(t, s, reservation("first")) // validates
	admin := awaitNobody(t, server)
	rows := "SELECT count(*) FROM " + schema + ".semel_slots WHERE key <> 'first'"

	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := s.Reserve(ctx, reservation("a"))
		result <- err
	}()
	awaitWaiting(t, admin)
	cancel()
	select {
	case err := <-result:
		t.Fatalf("got %v, want the step to wait", err)
	case <-time.After(500 * time.Millisecond): // a driver that gives up does so at once
	}
	if n := look[int](t, admin, rows); n != 0 || look[int](t, admin, waiting) != 1 {
		t.Fatalf("got %d reservations that the standby does not have", n)
	}

	engine, err := semel.New(s, semel.Config{ReserveTimeout: 200 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Begin(t.Context(), semel.Call{Key: reservation("b").Key, Fingerprint: reservation("b").Fingerprint})
	if !errors.Is(err, semel.ErrTimeout) {
		t.Errorf("got %v from the engine, want ErrTimeout", err)
	}
	if n := look[int](t, admin, rows); n != 0 {
		t.Fatalf("got %d reservations that the standby does not have", n)
	}

	setStandbys(t, admin, "")
	if err := <-result; err != nil {
		t.Errorf("got %v, want the step to succeed when the wait is over", err)
	}
	if err := engine.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// I10: when somebody cancels the wait, the step stands and may be lost. It fails,
// and so does its repetition, which would write nothing and wait for nothing,
// until the standby has confirmed everything.
func TestCanceledWaitIsNoSuccess(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	s := fresh(t, server.DSN())
	mustReserve(t, s, reservation("first"))
	admin := awaitNobody(t, server)
	r := reservation("a")
	reserve := func() error {
		_, err := s.Reserve(t.Context(), r)
		return err
	}
	audit := func() error {
		_, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
		return err
	}
	canceled := func(step func() error) error {
		result := make(chan error, 1)
		go func() { result <- step() }()
		for {
			select {
			case err := <-result:
				return err
			case <-time.After(10 * time.Millisecond):
				run(t, admin, cancelWaiting)
			}
		}
	}
	wantError(t, canceled(audit), "audit", pgstore.ErrNotReplicated)
	wantError(t, canceled(reserve), "reserve", pgstore.ErrNotReplicated)
	wantError(t, canceled(reserve), "reserve", pgstore.ErrNotReplicated)
	setStandbys(t, admin, "")
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
}

// With a standby that follows, the grade is A and steps succeed; the standby
// itself is refused, at the start and in the middle of a run.
func TestStandby(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	schema := servertest.Name(t)
	s := opened(t, server.DSN(), pgstore.Config{Schema: schema})
	migrate(t, s)
	standby := servertest.NewPostgresStandby(t, server)
	admin := poolOf(t, server.DSN()+"&synchronous_commit=local")
	setStandbys(t, admin, "standby")
	r := reservation("a")
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	if _, err := s.Inspect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := s.Grade(); g.Letter != "A" {
		t.Errorf("got grade %s, want A", g.Letter)
	}

	replica := opened(t, standby.DSN(), pgstore.Config{Schema: schema})
	wantError(t, replica.Validate(t.Context()), "validate", pgstore.ErrReadOnly, "replica")
	_, err := replica.Reserve(t.Context(), reservation("b"))
	wantError(t, err, "reserve", pgstore.ErrReadOnly, "replica")
	wantError(t, replica.Complete(t.Context(), completion(r, "body")), "complete", pgstore.ErrReadOnly)
	missing := opened(t, standby.DSN(), pgstore.Config{Schema: servertest.Name(t)})
	wantError(t, missing.Migrate(t.Context()), "migrate", pgstore.ErrReadOnly)
	wantError(t, replica.Ping(t.Context()), "ping", pgstore.ErrReadOnly)
	wantFinding(t, replica, "role", "replica", semel.Broken, "primary")

	// Of several hosts the one that takes writes is used, whatever their order.
	u := standby.DSN()
	both := withAddr(t, u, standby.Addr()+","+server.Addr())
	mustReserve(t, opened(t, both, pgstore.Config{Schema: schema}), reservation("c"))

	// The store of a primary that became a replica: its next write says so.
	link := servertest.NewLink(t, server.Addr())
	moved := opened(t, withAddr(t, server.DSN(), link.Addr()), pgstore.Config{Schema: schema})
	mustReserve(t, moved, reservation("d"))
	run(t, admin, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	eventually(t, "the server is read-only", func() bool { return errors.Is(moved.Ping(t.Context()), pgstore.ErrReadOnly) })
	_, err = moved.Reserve(t.Context(), reservation("e"))
	wantError(t, err, "reserve", pgstore.ErrReadOnly)
	wantError(t, opened(t, server.DSN(), pgstore.Config{Schema: schema}).Validate(t.Context()), "validate",
		pgstore.ErrReadOnly, "default_transaction_read_only")
	wantFinding(t, moved, "transaction_read_only", "on", semel.Broken, "default_transaction_read_only")
}

// I8, I10: a commit whose wait for the standby somebody cancels stands, and may be lost
// with the next failover: nobody knows, and nothing of the store succeeds, until
// the standby has confirmed it. Then a look tells.
func TestCanceledWaitOfATransaction(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			server := servertest.NewPostgres(t)
			l := newLedger(t, server.DSN())
			txs := l.Transactions(pgstore.TxConfig{Mode: mode})
			r := reservation("a")
			tx := l.inMode(t, txs, r)
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			admin := awaitNobody(t, server)
			canceled := func(f func() error) error {
				result := make(chan error, 1)
				go func() { result <- f() }()
				for {
					select {
					case err := <-result:
						return err
					case <-time.After(10 * time.Millisecond):
						run(t, admin, cancelWaiting)
					}
				}
			}
			err := canceled(func() error { return tx.Commit(t.Context()) })
			if !errors.Is(err, semel.ErrCommitUnknown) || !errors.Is(err, pgstore.ErrNotReplicated) || txs.Again(err) {
				t.Errorf("got %v, want a commit of which nobody knows", err)
			}
			err = canceled(func() error { _, err := l.Look(t.Context(), r.Key); return err })
			wantError(t, err, "look", pgstore.ErrNotReplicated)
			err = canceled(func() error { _, err := txs.Begin(t.Context()); return err })
			wantError(t, err, "begin", pgstore.ErrNotReplicated)
			setStandbys(t, admin, "")
			l.watch = admin
			l.wantExactly(t, r, true)
			mustReplay(t, l, r, "body")
		})
	}
}

// I10: a connection that breaks while its step waits for the standby makes the driver
// cancel the wait, and nobody hears the warning. The repetition, which would
// write nothing and wait for nothing, waits all the same.
func TestBrokenWaitIsNoSuccess(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	_, far, link := linked(t, server)
	r := reservation("a")
	mustReserve(t, far, r)
	admin := awaitNobody(t, server)
	visible := "SELECT count(*) FROM " + far.schema + ".semel_slots WHERE state = 2"
	first := make(chan error, 1)
	go func() { first <- far.Complete(t.Context(), completion(r, "body")) }()
	awaitWaiting(t, admin)
	link.Break()
	if err := <-first; err == nil {
		t.Fatal("got a completion over a broken connection")
	}
	eventually(t, "the driver has canceled the wait", func() bool { return look[int](t, admin, visible) == 1 })
	again := make(chan error, 1)
	go func() { again <- far.Complete(t.Context(), completion(r, "body")) }()
	awaitWaiting(t, admin)
	select {
	case err := <-again:
		t.Fatalf("got %v, want the repetition to wait", err)
	default:
	}
	setStandbys(t, admin, "")
	if err := <-again; err != nil {
		t.Errorf("got %v when the wait was over", err)
	}
}
