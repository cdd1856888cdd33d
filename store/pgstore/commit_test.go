package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// linked is a ledger on a server, and the same one of a store that reaches it by a
// link.
func linked(t *testing.T, server *servertest.Server) (direct, far *ledger, link *servertest.Link) {
	t.Helper()
	direct = newLedger(t, server.DSN())
	link = servertest.NewLink(t, server.Addr())
	there := *direct
	there.url = withAddr(t, server.DSN(), link.Addr())
	there.Store = opened(t, there.url, pgstore.Config{Schema: direct.schema})
	return direct, &there, link
}

// wantNotCommitted wants an error that says that nothing has happened.
func wantNotCommitted(t *testing.T, txs semel.Transactions, err error, again bool) {
	t.Helper()
	if err == nil || errors.Is(err, semel.ErrCommitUnknown) || txs.Again(err) != again {
		t.Errorf("got %v, again %v, want a commit that has not happened, again %v", err, err != nil && txs.Again(err), again)
	}
}

// I8, I11: a commit whose answer was lost has happened or has not, and a look tells
// which.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	_, l, link := linked(t, server)
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		t.Run(c.name, func(t *testing.T) {
			ready := func() (semel.Reservation, semel.Transaction) {
				r := reservation(servertest.Name(t))
				tx := l.inMode(t, c.txs, r)
				must(t, tx.Complete(t.Context(), completion(r, "body")))
				return r, tx
			}
			r, tx := ready()
			link.DropReplies(func() bool { return true })
			err := tx.Commit(t.Context())
			link.DropReplies(nil)
			if !errors.Is(err, semel.ErrCommitUnknown) || c.txs.Again(err) {
				t.Errorf("got %v, want a commit of which nobody knows", err)
			}
			l.wantExactly(t, r, true)
			mustReplay(t, l, r, "body")

			r, tx = ready()
			link.Blackhole()
			lost := make(chan error, 1)
			go func() { lost <- tx.Commit(t.Context()) }()
			link.Break()
			err = <-lost
			link.Heal()
			if !errors.Is(err, semel.ErrCommitUnknown) && !c.txs.Again(err) { // it may not even have been sent
				t.Errorf("got %v, want a commit that has not happened, or of which nobody knows", err)
			}
			l.wantExactly(t, r, false)
		})
	}
}

// slowly makes commits that pay for something wait for an advisory lock, which the
// session of pid has until it is told to release it.
func (l *ledger) slowly(t *testing.T, number int) (pid uint32, release func()) {
	t.Helper()
	f := l.schema + ".wait_at_commit"
	run(t, l.watch,
		fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock(%d); RETURN NULL; END$$", f, number),
		fmt.Sprintf("CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON %s.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %s()", l.schema, f))
	conn, err := l.watch.Acquire(t.Context())
	must(t, err)
	t.Cleanup(conn.Release)
	_, err = conn.Exec(t.Context(), fmt.Sprintf("SELECT pg_advisory_lock(%d)", number))
	must(t, err)
	return conn.Conn().PgConn().PID(), func() {
		t.Helper()
		_, err := conn.Exec(t.Context(), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", number))
		must(t, err)
		conn.Release()
	}
}

// I8: a server that is still committing when its client is gone is waited for, and
// for no longer than the look promises. A plain read sees the moment before.
func TestLookWaitsForACommit(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	for i, name := range []string{"claim", "single", "complete alone"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, far, link := linked(t, server)
			holder, release := l.slowly(t, 4711+i)
			r := reservation("a")
			var tx semel.Transaction
			switch name {
			case "complete alone": // has the row, and not the slot's number
				mustReserve(t, far, r)
				tx = begun(t, far.Transactions(pgstore.TxConfig{}))
				far.pay(t, tx, r.Key.ID)
			default:
				tx = far.inMode(t, far.Transactions(pgstore.TxConfig{Mode: modes[i]}), r)
			}
			pid := pidOf(t, tx)
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			unknown := make(chan error, 1)
			go func() { unknown <- tx.Commit(t.Context()) }()
			l.awaitBlocked(t, "the commit waits", holder)
			link.Cut() // also to the driver's wish that the server cancel it
			if err := <-unknown; !errors.Is(err, semel.ErrCommitUnknown) {
				t.Fatalf("got %v, want ErrCommitUnknown", err)
			}
			if n := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".semel_slots WHERE state = 2"); n != 0 {
				t.Fatal("the commit does not wait: the test shows nothing")
			}
			_, err := l.Look(t.Context(), r.Key)
			wantError(t, err, "look", pgstore.ErrBusy)

			seen := make(chan semel.Record, 1)
			go func() {
				held, err := l.Look(t.Context(), r.Key)
				if err != nil {
					t.Error(err)
				}
				seen <- held
			}()
			l.awaitBlocked(t, "the look waits", pid)
			release()
			if held := <-seen; held.State != semel.StateCompleted || held.Token != r.Token || string(held.Response.Body) != "body" || held.Key != r.Key {
				t.Errorf("got a %v slot with %q, want what was committed", held.State, held.Response.Body)
			}
			l.wantExactly(t, r, true)
		})
	}
}

// A commit that the server refuses has not happened: a deferred constraint says no
// for good, a serialization failure until the next transaction.
func TestRefusedCommits(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	run(t, l.watch, "CREATE TABLE "+l.schema+".accounts (id text PRIMARY KEY)",
		"ALTER TABLE "+l.schema+".payments ADD FOREIGN KEY (by) REFERENCES "+l.schema+".accounts DEFERRABLE INITIALLY DEFERRED")
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		t.Run(c.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			must(t, exec(t, tx, "UPDATE "+l.schema+".payments SET by = 'nobody' WHERE id = $1", r.Key.ID))
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			wantNotCommitted(t, c.txs, tx.Commit(t.Context()), false)
			l.wantExactly(t, r, false)
		})
	}
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		if !strings.HasSuffix(strings.ToLower(c.name), "serializable") {
			continue
		}
		t.Run(c.name+" at the commit", func(t *testing.T) {
			a, b := reservation(servertest.Name(t)), reservation(servertest.Name(t))
			first, second := l.inMode(t, c.txs, a), l.inMode(t, c.txs, b)
			for _, tx := range []semel.Transaction{first, second} { // each reads what the other one writes
				ask[int64](t, tx, "SELECT count(*) FROM "+l.schema+".payments")
			}
			must(t, first.Complete(t.Context(), completion(a, "body")))
			must(t, second.Complete(t.Context(), completion(b, "body")))
			must(t, first.Commit(t.Context()))
			wantNotCommitted(t, c.txs, second.Commit(t.Context()), true)
			l.wantExactly(t, a, true)
			l.wantExactly(t, b, false)
		})
	}
}

// A transaction whose connection broke before its commit is not committed: the next
// one may do the work. Its place in the pool is free again.
func TestBrokenBeforeTheCommit(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		t.Run(c.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			run(t, l.watch, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pidOf(t, tx)))
			err := exec(t, tx, "SELECT 1")
			if err == nil || !c.txs.Again(tx.Err()) {
				t.Errorf("got %v, %v, want to begin again", err, tx.Err())
			}
			if err := exec(t, tx, "SELECT 1"); err == nil {
				t.Error("got a statement through on a broken connection")
			}
			if err := tx.Complete(t.Context(), completion(r, "body")); !c.txs.Again(err) {
				t.Errorf("got %v, want to begin again", err)
			}
			wantNotCommitted(t, c.txs, tx.Commit(t.Context()), true)
			l.wantExactly(t, r, false)
		})
	}
}

// I8, I10, L4: a server that is killed while transactions run, in the middle of their
// business code and of their commits, has of each of them all or nothing, and what was
// acknowledged is there.
func TestServerIsKilledInTransactions(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	l := newLedger(t, server.DSN())
	var stop atomic.Bool
	var mu sync.Mutex
	asked := make(map[semel.Reservation]error) // how each one's commit ended
	var wg sync.WaitGroup
	for i, c := range append(l.settings(), l.sqlSettings(t)...) {
		txs := c.txs
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				r := reservation(fmt.Sprint(i, " ", n))
				err := l.attempt(t, txs, r)
				if err != nil {
					time.Sleep(5 * time.Millisecond) // the server is away
				}
				mu.Lock()
				asked[r] = err
				mu.Unlock()
			}
		})
	}
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		server.Restart(t)
	}
	time.Sleep(200 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	count := make(map[string]int)
	for r, err := range asked {
		held, lerr := l.Look(t.Context(), r.Key)
		must(t, lerr)
		completed := held.State == semel.StateCompleted
		if got := l.paid(t, r.Key.ID); got != btoi(completed) {
			t.Errorf("got %d effects of a %v slot, whose attempt ended with %v", got, held.State, err)
		}
		switch {
		case err == nil && !completed:
			t.Errorf("got a %v slot that was acknowledged", held.State)
		case err != nil && !errors.Is(err, semel.ErrCommitUnknown) && completed:
			t.Errorf("got a completed slot, whose attempt ended with %v", err)
		}
		count[fmt.Sprintf("completed %v, acknowledged %v, unknown %v", completed, err == nil, errors.Is(err, semel.ErrCommitUnknown))]++
	}
	t.Log(count)
}

// attempt runs one request to its commit, and returns how that ended.
func (l *ledger) attempt(t *testing.T, txs semel.Transactions, r semel.Reservation) error {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if txs.Mode() == semel.ClaimTx {
		if held, err := l.Reserve(ctx, r); err != nil || held.Token != r.Token {
			return errors.Join(err, errors.New("not reserved"))
		}
	}
	tx, err := txs.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if txs.Mode() == semel.ClaimTx {
		err = tx.Lock(ctx, r.Key, r.Token)
	} else if held, rerr := tx.Reserve(ctx, r); rerr != nil || held.Token != r.Token {
		err = errors.Join(rerr, errors.New("not reserved"))
	}
	if err != nil {
		return err
	}
	if err := execIn(tx.Attach(ctx), l.insert(), r.Key.ID); err != nil {
		return err
	}
	if err := tx.Complete(ctx, completion(r, "body "+strings.Repeat("x", 1000))); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
