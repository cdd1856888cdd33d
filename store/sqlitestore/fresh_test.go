package sqlitestore_test

import (
	"testing"
	"time"
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
