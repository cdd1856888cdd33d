package mysqlstore_test

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
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// over returns the transactions of b on connections through a link, which are not those
// of the store.
func (b *bank) over(link *servertest.Link, cfg mysqlstore.TxConfig) {
	b.t.Helper()
	b.txs = b.store.Transactions(pool(b.t, strings.Replace(b.dsn, b.server.Addr(), link.Addr(), 1)), cfg)
}

// open begins the transaction of a slot, whatever the mode.
func (b *bank) open(r semel.Reservation) *begun {
	b.t.Helper()
	if b.txs.Mode() == semel.SingleTx {
		return b.taken(r)
	}
	mustReserve(b.t, b.store, r)
	return b.locked(r)
}

// I8: a commit whose answer was lost is one that nobody knows of, until a look finds that
// it has happened.
func TestCommitReplyLost(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
		link := servertest.NewLink(t, b.server.Addr())
		b.over(link, mysqlstore.TxConfig{Mode: mode})
		r := reservation("k")
		x := b.open(r)
		x.write("k")
		if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
			t.Fatal(err)
		}
		link.DropReplies(func() bool { return true })
		err := x.Commit(x.ctx)
		if !errors.Is(err, semel.ErrCommitUnknown) || b.txs.Again(err) {
			t.Errorf("%v: got %v, want a commit that is not known", mode, err)
		}
		link.DropReplies(nil)
		held, err := b.store.Look(t.Context(), r.Key)
		if err != nil || held.State != semel.StateCompleted || held.Token != r.Token || string(held.Response.Body) != "body" || held.Key != r.Key {
			t.Errorf("%v: got a %v slot of %v (%v), want it completed", mode, held.State, held.Token, err)
		}
		b.wantEffects("k", 1)
	}
}

// I8, L1: a connection that breaks before the commit is sent has committed nothing: a
// look finds the reservation, or nothing, and the same work may begin anew.
func TestConnectionBreaksBeforeCommit(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
		link := servertest.NewLink(t, b.server.Addr())
		b.over(link, mysqlstore.TxConfig{Mode: mode})
		r := reservation("k")
		x := b.open(r)
		x.write("k")
		if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
			t.Fatal(err)
		}
		link.Break()
		err := x.Commit(x.ctx)
		if err == nil || !errors.Is(err, semel.ErrCommitUnknown) && !b.txs.Again(err) {
			t.Errorf("%v: got %v, want a broken connection", mode, err)
		}
		held, err := b.store.Look(t.Context(), r.Key)
		want := semel.StateFree
		if mode == semel.ClaimTx {
			want = semel.StateReserved
		}
		if err != nil || held.State != want || held.Key != r.Key || held.Lapsed {
			t.Errorf("%v: got a %v slot (%v), want it %v", mode, held.State, err, want)
		}
		b.wantEffects("k", 0)
	}
}

// L1: a look waits for a transaction that is at work on the slot, and fails when that
// takes too long.
func TestLookWaits(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, server, mysqlstore.TxConfig{Mode: mode})
		r := reservation("k")
		r.Lease = time.Microsecond
		x := b.open(r)
		if held, err := b.store.Look(t.Context(), r.Key); err == nil {
			t.Errorf("%v: got a %v slot while its transaction is open", mode, held.State)
		}
		type answer struct {
			held semel.Record
			err  error
		}
		answers := make(chan answer)
		go func() {
			held, err := b.store.Look(t.Context(), r.Key)
			answers <- answer{held, err}
		}()
		waitFor(t, func() bool { return status(t, b.db, "Innodb_row_lock_current_waits") == 1 })
		if err := x.commit(r, "body"); err != nil {
			t.Fatal(err)
		}
		if got := <-answers; got.err != nil || got.held.State != semel.StateCompleted || string(got.held.Response.Body) != "body" {
			t.Errorf("%v: got a %v slot (%v), want what the transaction left", mode, got.held.State, got.err)
		}
	}
	b := newBank(t, server, mysqlstore.TxConfig{})
	if held, err := b.store.Look(t.Context(), reservation("never").Key); err != nil || held.State != semel.StateFree || held.Key.ID != "never" {
		t.Errorf("got a %v slot (%v), want a free one", held.State, err)
	}
	lapsed := reservation("lapsed")
	lapsed.Lease = time.Microsecond
	mustReserve(t, b.store, lapsed)
	if held, err := b.store.Look(t.Context(), lapsed.Key); err != nil || held.State != semel.StateReserved || held.Token != lapsed.Token || held.Lapsed {
		t.Errorf("got a %v slot, lapsed %v (%v), want it reserved", held.State, held.Lapsed, err)
	}
}

// I8, I10, L4: a server that is killed again and again while transactions run, and
// commits are on their way, has each effect once, and its response: whatever callers
// were told.
func TestServerKilledInTransactions(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBank(t, servertest.NewMariaDB(t), mysqlstore.TxConfig{Mode: mode})
			b.storm(func(done func() int64) {
				for round := int64(1); round <= 3; round++ {
					waitFor(t, func() bool { return done() >= 30*round })
					b.server.Restart(t)
				}
			})
		})
	}
}

// I1, I8, L4: connections that are killed at any moment cost errors, and never an effect
// or a response.
func TestConnectionsKilledInTransactions(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{Mode: mode})
			admin := pool(t, b.server.DSN())
			b.storm(func(done func() int64) {
				for killed := 0; killed < 150; {
					for _, id := range connections(t, admin, nameOf(b.dsn)) {
						if _, err := admin.Exec("KILL ?", id); err == nil {
							killed++
						}
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
		})
	}
}

// storm lets 4 callers run business transactions while nemesis works and until 120 are
// done, and then compares effects and records.
func (b *bank) storm(nemesis func(done func() int64)) {
	b.t.Helper()
	engine, err := semel.New(b.store, semel.Config{Logger: quiet, CompleteTimeout: time.Minute})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	var done, unknown, serial atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if b.until(engine, fmt.Sprint(serial.Add(1)), &stop, &unknown) {
					done.Add(1)
				}
			}
		})
	}
	func() {
		defer wg.Wait()
		defer stop.Store(true)
		nemesis(done.Load)
		waitFor(b.t, func() bool { return done.Load() >= 120 })
	}()
	for n := int64(1); n <= serial.Load(); n++ {
		id := fmt.Sprint(n)
		held, err := b.store.Look(b.t.Context(), reservation(id).Key)
		if err != nil {
			b.t.Fatal(err)
		}
		if got := b.effects(id); got > 1 || (held.State == semel.StateCompleted) != (got == 1) {
			b.t.Errorf("%s: got %d effects and a %v slot", id, got, held.State)
		}
	}
	b.t.Logf("%d were done, %d commits were not known to their callers", done.Load(), unknown.Load())
}

// until asks for id until there is a response, and checks that each caller who gets one
// gets the same.
func (b *bank) until(engine *semel.Engine, id string, stop *atomic.Bool, unknown *atomic.Int64) bool {
	call := semel.Call{Key: reservation(id).Key, Fingerprint: reservation(id).Fingerprint}
	for {
		res, err := semel.DoTx(b.t.Context(), engine, call, b.txs, func(ctx context.Context) (string, error) {
			_, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO effects VALUES (?)", id)
			return "did " + id, err
		})
		switch {
		case err == nil && res.Value != "did "+id:
			b.t.Errorf("%s: got %q", id, res.Value)
			return false
		case err == nil:
			return true
		case errors.Is(err, semel.ErrConflict), errors.Is(err, semel.ErrDamaged):
			b.t.Errorf("%s: got %v", id, err)
			return false
		case stop.Load():
			return false
		case errors.Is(err, semel.ErrCommitUnknown):
			unknown.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
