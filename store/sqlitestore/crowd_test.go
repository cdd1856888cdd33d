package sqlitestore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I1: while the transaction of a lapsed attempt is open nobody takes the slot over,
// and nobody waits for that; when it is rolled back, somebody may.
func TestLockIsALease(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		txs := b.transactions(semel.ClaimTx)
		r, _ := b.lapsed("a")
		x, tx := b.begin(txs)
		b.must(x.Lock(t.Context(), r.Key, r.Token))
		b.book(tx, "a")
		blameless := heir(r)
		blameless.TakeOver, blameless.TakeOverBlameless = false, true
		for _, next := range []semel.Reservation{heir(r), blameless} {
			got, err := b.Reserve(t.Context(), next) // this transaction ends after it
			if err != nil || got.Token != r.Token || got.State != semel.StateReserved || !got.Lapsed || !got.Deferred {
				t.Errorf("got %+v, error %v, want the lapsed attempt still", got, err)
			}
		}
		x.Rollback(t.Context())
		mustReserve(t, b, blameless)
		wantLost(t, b.BeginEffects(t.Context(), r.Key, r.Token))
		b.wantBooked("a", 0)
	})
}

// I1, I8: a transaction of the application's own keeps the slot as well. Whoever wants to
// take it over waits for its end, and then sees what became of it.
func TestLockOfTheApplication(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r, _ := b.lapsed("a")
		tx := b.beginTx(b.db)
		b.must(tx.Lock(t.Context(), r.Key, r.Token))
		next := heir(r)
		got := make(chan semel.Record)
		go func() {
			held, err := b.Reserve(t.Context(), next)
			if err != nil {
				t.Error(err)
			}
			got <- held
		}()
		b.book(tx, "a")
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.must(tx.Commit())
		if held := <-got; held.State != semel.StateCompleted || held.Token != r.Token {
			t.Errorf("got %+v, want the response", held)
		}
		b.wantBooked("a", 1)
	})
}

// I1: of two transactions on one slot the second is told at once that somebody is at
// work, whoever it is; other slots wait for their turn.
func TestSecondTransactionIsTold(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		txs, err := b.Transactions(b.ledger(pragmas+"&_txlock=immediate"), sqlitestore.TxConfig{Mode: semel.SingleTx})
		b.must(err)
		r, first, tx := b.enter(txs, "a")
		b.book(tx, "a")
		for range 20 {
			second, _ := b.begin(txs)
			held, err := second.Reserve(t.Context(), heir(r))
			if err != nil || held.Key != r.Key || held.State != semel.StateReserved || held.Token != (semel.Token{}) ||
				held.Fingerprint != r.Fingerprint {
				t.Fatalf("got %+v, error %v, want a slot held by nobody who is known", held, err)
			}
			second.Rollback(t.Context())
		}
		own := b.beginTx(b.db) // one of the application's own is told, too
		held, err := own.Reserve(t.Context(), heir(r))
		if err != nil || held.Token != (semel.Token{}) {
			t.Errorf("got %+v, error %v, want a slot held by nobody who is known", held, err)
		}
		b.must(own.Rollback())

		waiting := make(chan semel.Record)
		other := reservation("b")
		third, _ := b.begin(txs)
		go func() {
			held, err := third.Reserve(uncancelled(), other)
			if err != nil {
				t.Error(err)
			}
			waiting <- held
		}()
		b.must(first.Complete(t.Context(), completion(r, "booked")))
		b.must(first.Commit(t.Context()))
		if held := <-waiting; held.Token != other.Token {
			t.Errorf("got %+v, want a reservation", held)
		}
		fourth, _ := b.begin(txs) // replays need no turn: the third has it
		held, err = fourth.Reserve(t.Context(), heir(r))
		if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != "booked" {
			t.Errorf("got %+v, error %v, want the response", held, err)
		}
	})
}

// I8: Look waits for the transaction that is at work, and then tells what it left.
func TestLook(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		if got, err := b.Look(t.Context(), reservation("new").Key); err != nil || got.State != semel.StateFree || got.Key.ID != "new" {
			t.Errorf("got %+v, error %v, want a free slot", got, err)
		}
		for _, commit := range []bool{false, true} {
			r, x, tx := b.enter(txs, map[bool]string{false: "rolled back", true: "committed"}[commit])
			b.book(tx, r.Key.ID)
			b.must(x.Complete(t.Context(), completion(r, "booked")))
			got := make(chan semel.Record)
			go func() {
				held, err := b.Look(uncancelled(), r.Key)
				if err != nil {
					t.Error(err)
				}
				got <- held
			}()
			want := semel.StateCompleted
			switch {
			case commit:
				b.must(x.Commit(t.Context()))
			case txs.Mode() == semel.SingleTx:
				x.Rollback(t.Context())
				want = semel.StateFree
			default:
				x.Rollback(t.Context())
				want = semel.StateReserved
			}
			held := <-got
			if held.State != want || held.Key != r.Key || held.Lapsed {
				t.Errorf("%s: got %+v, want a %s slot", r.Key.ID, held, want)
			}
			if want != semel.StateFree && held.Token != r.Token || commit && string(held.Response.Body) != "booked" {
				t.Errorf("%s: got %+v, want what the attempt left", r.Key.ID, held)
			}
		}
	})
}
