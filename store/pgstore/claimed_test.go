package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// I1, L4: the lock of a claim is a lease without a clock. While its transaction is
// open nobody takes the slot over, however lapsed, and nobody waits to hear it; when its
// connection dies the slot is to be had at once, and nothing has happened.
func TestTheLockIsALease(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			txs := l.Transactions(pgstore.TxConfig{Isolation: level})
			r := deferred(servertest.Name(t))
			r.Lease = time.Microsecond
			tx := l.inMode(t, txs, r)
			for _, asker := range []semel.Reservation{again(r), taker(r)} {
				within(t, "a competitor", func() {
					held, err := l.Reserve(t.Context(), asker)
					if err != nil || held.Token != r.Token || !held.Lapsed {
						t.Errorf("got it held by %v, lapsed %v (%v), want the attempt that has it locked", held.Token, held.Lapsed, err)
					}
				})
			}
			if held := reserveIn(t, l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level}), taker(r)); held.Token != r.Token {
				t.Errorf("got it held by %v, want the attempt that has it locked", held.Token)
			}
			run(t, l.watch, fmt.Sprintf("SELECT pg_terminate_backend(%d)", pidOf(t, tx)))
			next := taker(r)
			next.Lease = time.Hour
			eventually(t, "the slot is taken over", func() bool {
				held, err := l.Reserve(t.Context(), next)
				must(t, err)
				return held.Token == next.Token && held.Lapses == 0
			})
			err := tx.Complete(t.Context(), completion(r, "late"))
			if !txs.Again(err) || !txs.Again(tx.Err()) {
				t.Errorf("got %v and %v, want to begin again", err, tx.Err())
			}
			if err := tx.Commit(t.Context()); err == nil || errors.Is(err, semel.ErrCommitUnknown) || !txs.Again(err) {
				t.Errorf("got %v, want a commit that did not happen", err)
			}
			anew := begun(t, txs)
			if err := anew.Lock(t.Context(), r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v, want ErrLost: the slot is another's", err)
			}
			_ = exec(t, anew, l.insert(), r.Key.ID) // of one who goes on nevertheless
			if err := anew.Commit(t.Context()); !errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v, want ErrLost: business writes without their record", err)
			}
			l.wantExactly(t, r, false)
		})
	}
}

// I4: a renewal of two thousand leases is not held up by one that a transaction
// has locked, and that one is not lost.
func TestRenewBesideALock(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	txs := l.Transactions(pgstore.TxConfig{})
	const n = 2000
	holders := make([]semel.Holder, n)
	slots := make([][]byte, n)
	for i := range holders {
		key := semel.Key{Scope: "tenant-1", ID: fmt.Sprint(i)}
		slot := key.Slot()
		holders[i], slots[i] = semel.Holder{Key: key, Token: semel.NewToken()}, slot[:]
	}
	tokens := make([][]byte, n)
	for i, h := range holders {
		tokens[i] = h.Token[:]
	}
	_, err := l.watch.Exec(t.Context(), `
		INSERT INTO `+l.schema+`.semel_slots (slot, scope, key, state, token, fingerprint, owner, fence, lease_until,
		                            created_at, expires_at, attempts, lapses)
		SELECT slot, 's', 'k', 1, token, sha256('r'), '', 1, 1, 1, 1, 1, 0 FROM unnest($1::bytea[], $2::bytea[]) AS h (slot, token)`, slots, tokens)
	must(t, err)
	tx := begun(t, txs)
	locked := holders[n/2]
	must(t, tx.Lock(t.Context(), locked.Key, locked.Token))
	lost, err := l.Renew(t.Context(), time.Hour, holders)
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || !slices.Equal(some.Tokens, []semel.Token{locked.Token}) || len(lost) != 0 {
		t.Errorf("got %d lost, error %v, want the locked one named", len(lost), err)
	}
	if left := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".semel_slots WHERE lease_until = 1"); left != 1 {
		t.Errorf("got %d leases not renewed, want 1", left)
	}
	must(t, tx.Complete(t.Context(), semel.Completion{Key: locked.Key, Token: locked.Token}))
	must(t, tx.Commit(t.Context()))
}

// An attempt of one mode meets one of the other: a claim that runs is answered at
// once, and a reservation inside a transaction is waited for, and then seen.
func TestModesMeet(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			single := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx, Isolation: level})
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, single, r)
			seen := make(chan semel.Record, 1)
			go func() {
				held, err := l.Reserve(t.Context(), again(r))
				if err != nil {
					t.Error(err)
				}
				seen <- held
			}()
			l.awaitBlocked(t, "the claim waits", pidOf(t, tx))
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			must(t, tx.Commit(t.Context()))
			if held := <-seen; held.State != semel.StateCompleted || string(held.Response.Body) != "body" {
				t.Errorf("got a %v slot, want the kept response", held.State)
			}
			l.wantExactly(t, r, true)
		})
	}
}

// The number of commits is what the modes cost: two a request with a claim, one in
// a single transaction, none more.
func TestCommitsARequest(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t, silent...)
	admin := poolOf(t, server.DSN())
	commits := func(t *testing.T, mode semel.TxMode, requests int) int {
		t.Helper()
		name := servertest.Name(t)
		run(t, admin, "CREATE DATABASE "+name)
		l := newLedger(t, withDatabase(t, server.DSN(), name))
		cfg, err := pgxpool.ParseConfig(l.url)
		must(t, err)
		cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // it would count
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		must(t, err)
		s, err := pgstore.New(pool, pgstore.Config{Schema: l.schema, Logger: quiet})
		must(t, err)
		must(t, l.Close())
		l.Store = s
		txs := l.Transactions(pgstore.TxConfig{Mode: mode})
		for i := range requests {
			r := reservation(fmt.Sprint(i))
			tx := l.inMode(t, txs, r)
			must(t, tx.Complete(t.Context(), completion(r, "body")))
			must(t, tx.Commit(t.Context()))
		}
		pool.Close() // the server counts when a session ends
		l.watch.Close()
		eventually(t, "the sessions have ended", func() bool {
			return look[int](t, admin, "SELECT numbackends FROM pg_stat_database WHERE datname = $1", name) == 0
		})
		return look[int](t, admin, "SELECT xact_commit FROM pg_stat_database WHERE datname = $1", name)
	}
	for mode, want := range map[semel.TxMode]int{semel.ClaimTx: 2, semel.SingleTx: 1} {
		t.Run(mode.String(), func(t *testing.T) {
			const requests = 50
			// The first one also prepares its statements.
			if got := commits(t, mode, 1+requests) - commits(t, mode, 1); got != want*requests {
				t.Errorf("got %d commits of %d requests, want %d", got, requests, want*requests)
			}
		})
	}
}
