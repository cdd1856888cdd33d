package sqlitestore_test

import (
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// I6: a slot that is new in a transaction gets a larger fence than every one that was purged,
// also when the clock has been set back since.
func TestFenceInATransaction(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		var table string
		b.must(b.db.QueryRowContext(t.Context(), "SELECT name FROM sqlite_schema WHERE name LIKE '%fence_floor'").Scan(&table))
		later := time.Now().Add(time.Hour).UnixMicro()
		_, err := b.db.ExecContext(t.Context(), "UPDATE "+table+" SET fence = ? WHERE id = 1", later)
		b.must(err)
		r := reservation("a")
		tx := b.beginTx(b.db)
		held, err := tx.Reserve(t.Context(), r)
		if err != nil || held.Fence != later+1 {
			t.Errorf("got fence %d, error %v, want %d", held.Fence, err, later+1)
		}
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.must(tx.Commit())
		if kept, err := b.Look(t.Context(), r.Key); err != nil || kept.Fence != held.Fence {
			t.Errorf("got fence %d, error %v, want %d", kept.Fence, err, held.Fence)
		}
	})
}

// L3: a replay waits for nobody who writes to the file, also if that is no transaction of the
// store's: one that a handler has begun itself, or another connection of the application.
func TestReplayBesideAForeignWriter(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		e := b.engine()
		_, err := b.doTx(e, txs, "a")
		b.must(err)
		tx, err := b.db.BeginTx(uncancelled(), nil)
		b.must(err)
		b.book(tx, "other")
		type answer struct {
			replayed bool
			err      error
		}
		got := make(chan answer, 1)
		go func() {
			res, err := b.doTx(e, txs, "a")
			got <- answer{res.Replayed, err}
		}()
		select {
		case a := <-got:
			if !a.replayed || a.err != nil {
				b.t.Errorf("got replayed %v, error %v, want a replay", a.replayed, a.err)
			}
		case <-time.After(2 * time.Second):
			b.t.Error("it waits for a writer")
		}
		b.must(tx.Rollback())
	})
}
