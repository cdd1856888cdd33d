package mysqlstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// serverForms are servers whose statements MariaDB understands too.
var serverForms = []string{"10.11.6-MariaDB", "8.4.0"}

// eachForm runs a test in single mode at every isolation level with the statements for
// each server.
func eachForm(t *testing.T, server *servertest.Server, test func(t *testing.T, b *bank)) {
	t.Helper()
	for _, level := range isolations {
		for _, version := range serverForms {
			t.Run(level.String()+" "+version, func(t *testing.T) {
				b := newBank(t, server, mysqlstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
				if err := b.store.Pretend(t.Context(), version); err != nil {
					t.Fatal(err)
				}
				test(t, b)
			})
		}
	}
}

// wantAtWork checks that other transactions on r's slot hear at once that one is at
// work there, of which nobody knows what it will leave.
func (b *bank) wantAtWork(r semel.Reservation) {
	b.t.Helper()
	rival := b.begin()
	defer rival.Rollback(rival.ctx)
	held, err := rival.Reserve(rival.ctx, anew(r))
	want := semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint}
	if err != nil || held.Token != want.Token || held.State != want.State || held.Key != want.Key || held.Fingerprint != want.Fingerprint {
		b.t.Errorf("got a %v slot held by %v (%v), want it reserved by nobody", held.State, held.Token, err)
	}
}

// I1, I8: in single mode one transaction has it all: until it commits, nothing is there,
// and others in that mode hear without a wait that somebody is at work, whatever the
// slot held before.
func TestSingleCommits(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5")
	eachForm(t, server, func(t *testing.T, b *bank) {
		t.Helper()
		for _, before := range []string{"fresh", "free", "expired"} {
			r := reservation(before)
			wantAttempts := 1
			switch before {
			case "free":
				mustReserve(t, b.store, r)
				if err := b.store.Release(t.Context(), r.Key, r.Token); err != nil {
					t.Fatal(err)
				}
				wantAttempts = 2
			case "expired":
				r.Retention = time.Microsecond
				mustReserve(t, b.store, r)
				mustComplete(t, b.store, r, "old")
			}
			r = anew(r)
			r.Retention, r.Route = time.Hour, "POST /"+before
			x := b.taken(r)
			x.write(before)
			waits := status(t, b.db, "Innodb_row_lock_waits")
			b.wantAtWork(r)
			if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
				t.Fatal(err)
			}
			b.wantAtWork(r)
			if got := status(t, b.db, "Innodb_row_lock_waits"); got != waits {
				t.Errorf("%s: got %d waits for a row, want none", before, got-waits)
			}
			b.wantEffects(before, 0)
			if err := x.Commit(x.ctx); err != nil {
				t.Fatal(err)
			}
			b.wantEffects(before, 1)
			mustReplay(t, b.store, r, "body")
			rival := b.begin()
			held, err := rival.Reserve(rival.ctx, anew(r))
			if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != "body" || held.Attempts != wantAttempts || held.Route != r.Route {
				t.Errorf("%s: got a %v slot of attempt %d, route %q (%v), want the kept response", before, held.State, held.Attempts, held.Route, err)
			}
			rival.Rollback(rival.ctx)
		}
	})
}

// I8: in single mode a rollback leaves nothing, and the slot to the next.
func TestSingleRollsBack(t *testing.T) {
	t.Parallel()
	eachForm(t, servertest.MariaDB(t), func(t *testing.T, b *bank) {
		t.Helper()
		r := reservation("k")
		for range 2 {
			x := b.taken(r)
			x.write("k")
			if err := x.Complete(x.ctx, completion(r, "rolled back")); err != nil {
				t.Fatal(err)
			}
			x.Rollback(x.ctx)
			b.wantEffects("k", 0)
		}
		if held := mustReserve(t, b.store, anew(r)); held.Attempts != 1 {
			t.Errorf("got attempt %d, want the first one", held.Attempts)
		}
	})
}

// I1, L1: a slot that another attempt holds is told as it is, without a wait and without
// taking it over, whatever the transaction asks for; so is one that its transaction has
// locked.
func TestSingleMeetsClaims(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5")
	eachForm(t, server, func(t *testing.T, b *bank) {
		t.Helper()
		running, lapsed := reservation("running"), reservation("lapsed")
		lapsed.Lease, lapsed.Deferred = time.Microsecond, true
		claims := b.store.Transactions(nil, mysqlstore.TxConfig{})
		for _, r := range []semel.Reservation{running, lapsed} {
			mustReserve(t, b.store, r)
			ask := anew(r)
			ask.TakeOver, ask.TakeOverBlameless = true, true
			wantHeld := func(locked bool) {
				t.Helper()
				x := b.begin()
				defer x.Rollback(x.ctx)
				held, err := x.Reserve(x.ctx, ask)
				if err != nil || held.State != semel.StateReserved || held.Token != r.Token && (!locked || held.Token != semel.Token{}) {
					t.Errorf("got a %v slot held by %v (%v), want it held by %v", held.State, held.Token, err, r.Token)
				}
			}
			wantHeld(false)
			x, err := claims.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Lock(t.Context(), r.Key, r.Token); err != nil {
				t.Fatal(err)
			}
			waits := status(t, b.db, "Innodb_row_lock_waits")
			wantHeld(true)
			if got := status(t, b.db, "Innodb_row_lock_waits"); got != waits {
				t.Errorf("got %d waits for a row, want none", got-waits)
			}
			x.Rollback(t.Context())
		}
	})
}

// L1: also between the named lock and the row nobody waits, and a connection that is
// lost frees the slot at once.
func TestSingleNamedLock(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5")
	eachForm(t, server, func(t *testing.T, b *bank) {
		t.Helper()
		r := reservation("k")
		conn, err := b.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		var got, id int64
		err = conn.QueryRowContext(t.Context(), "SELECT GET_LOCK(?, 0), CONNECTION_ID()", b.store.NameOf(r.Key)).Scan(&got, &id)
		if err != nil || got != 1 {
			t.Fatalf("got %d, %v", got, err)
		}
		b.wantAtWork(r)
		run(t, b.db, "KILL ?", id)
		waitFor(t, func() bool {
			x := b.begin()
			defer x.Rollback(x.ctx)
			held, err := x.Reserve(x.ctx, r)
			return err == nil && held.Token == r.Token
		})
		x := b.taken(r)
		x.write("k")
		b.wantAtWork(r)
		run(t, b.db, "KILL ?", x.connection())
		waitFor(t, func() bool {
			next := b.begin()
			defer next.Rollback(next.ctx)
			held, err := next.Reserve(next.ctx, r)
			return err == nil && held.Token == r.Token
		})
		if err := x.commit(r, "late"); err == nil || !b.txs.Again(err) {
			t.Errorf("got %v, want a broken connection", err)
		}
		b.wantEffects("k", 0)
	})
}

// I1, I8: of many transactions that race for slots, each slot is completed by exactly
// one, with its effect; losers hear of the winner or that somebody is at work.
func TestSingleRace(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	eachForm(t, server, func(t *testing.T, b *bank) {
		t.Helper()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for i := range 15 {
					if err := b.once(fmt.Sprint(i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for i := range 15 {
			b.wantEffects(fmt.Sprint(i), 1)
			mustReplay(t, b.store, reservation(fmt.Sprint(i)), fmt.Sprint(i))
		}
	})
}

// once runs a business transaction until its slot is completed.
func (b *bank) once(id string) error {
	for {
		err := func() error {
			x, err := b.txs.Begin(b.t.Context())
			if err != nil {
				return err
			}
			defer x.Rollback(b.t.Context())
			r := reservation(id)
			held, err := x.Reserve(b.t.Context(), r)
			switch {
			case err != nil:
				return err
			case held.State == semel.StateCompleted:
				return nil
			case held.Token != r.Token:
				return errBusy
			}
			ctx := x.Attach(b.t.Context())
			if _, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (?)", id); err != nil {
				return err
			}
			if err := x.Complete(ctx, completion(r, id)); err != nil {
				return err
			}
			return x.Commit(ctx)
		}()
		if err != errBusy && !b.txs.Again(err) { //nolint:errorlint // our own
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

var errBusy = fmt.Errorf("another transaction is at work")
