package pgstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// deferred is a first attempt that promises not to have begun.
func deferred(id string) semel.Reservation {
	r := reservation(id)
	r.Deferred = true
	return r
}

// I9, I12: a lapsed reservation that a transaction has locked is answered as what it is,
// by one statement: nobody waits for the transaction. It is taken over as soon as that
// has ended, and if it has not begun nothing is unknown.
func TestLockedByATransaction(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	s, w := watched(t, url, pgstore.Config{})
	pool := poolOf(t, url)
	for _, r := range []semel.Reservation{deferred("blameless"), reservation("unknown")} {
		mustReserve(t, s, r)
		if _, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
			t.Fatal(err)
		}
		tx, err := pool.Begin(t.Context())
		must(t, err)
		must(t, stepsOf(t, pgstore.Tx(tx), s).Lock(t.Context(), r.Key, r.Token))
		blameless := again(r)
		blameless.TakeOverBlameless = true
		for name, asker := range map[string]semel.Reservation{"blameless": blameless, "all": taker(r)} {
			before := w.statements.Load()
			held, err := s.Reserve(t.Context(), asker)
			if err != nil || held.Token != r.Token || !held.Lapsed || held.Blameless() != r.Deferred {
				t.Errorf("%s: got it held by %v, lapsed %v, blameless %v (%v), want what is locked", name, held.Token, held.Lapsed, held.Blameless(), err)
			}
			if n := w.statements.Load() - before; n != 1 {
				t.Errorf("%s: got %d statements, want 1", name, n)
			}
		}
		must(t, tx.Rollback(t.Context()))
		next := taker(r)
		want := btoi(!r.Deferred)
		if held := mustReserve(t, s, next); held.Lapses != want || held.Attempts != 2 || held.Deferred != r.Deferred {
			t.Errorf("got attempt %d after %d lapses, deferred %v, want the second one, %d, and its own promise", held.Attempts, held.Lapses, held.Deferred, want)
		}
	}
}

// I4: of a take-over and a BeginEffects that meet, one is told that it came too
// late: no attempt has effects under a slot that is another's, and none that has
// begun is taken over as if it had not.
func TestBeginEffectsBesideATakeOver(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	begun, taken := 0, 0
	for i := 0; (begun == 0 || taken == 0) && i < 2000 || i < 50; i++ {
		r := deferred(strings.Repeat("x", 1+i%200))
		if held, err := s.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
			t.Fatalf("got it held by %v (%v)", held.Token, err)
		}
		if _, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
			t.Fatal(err)
		}
		next := again(r)
		next.TakeOverBlameless = true
		late := make(chan error, 1)
		go func() { late <- s.BeginEffects(t.Context(), r.Key, r.Token) }()
		held, err := s.Reserve(t.Context(), next)
		lost := <-late
		if err != nil || lost != nil && !errors.Is(lost, semel.ErrLost) {
			t.Fatalf("got %v and %v", err, lost)
		}
		mine := held.Token == next.Token
		if mine == (lost == nil) {
			t.Fatalf("got taken over %v and begun %v, want one of them", mine, lost == nil)
		}
		token := r.Token
		if mine {
			taken++
			token = next.Token
		} else {
			begun++
		}
		if err := s.Release(t.Context(), r.Key, token); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d were taken over, %d had begun", taken, begun)
}

// A reason that is too long is refused before anything is sent, and the longest
// one is kept, until the slot is reserved again.
func TestReasons(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	r, held := lapse(t, s, "a")
	resolution := semel.Resolution{Key: r.Key, Fence: held.Fence, Reason: strings.Repeat("é", semel.MaxReasonLen/2) + "x"}
	wantError(t, s.Resolve(t.Context(), resolution), "resolve", semel.ErrTooLarge, "the reason has 1025 bytes, more than 1024")
	resolution.Reason = resolution.Reason[:semel.MaxReasonLen]
	if err := s.Resolve(t.Context(), resolution); err != nil {
		t.Fatal(err)
	}
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil || rec.Reason != resolution.Reason || rec.State != semel.StateFree {
			t.Errorf("got a %v slot with a reason of %d bytes (%v), want the one that was given", rec.State, len(rec.Reason), err)
		}
	}
	if held := mustReserve(t, s, again(r)); held.Reason != "" {
		t.Errorf("got the reason %q, want it gone", held.Reason)
	}
}
