package sqlitestore_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I8, I10: when the disk refuses to sync the commit of a transaction, nobody knows
// whether it is committed; the store says so, and writes nothing more.
func TestFailedSyncOfATransaction(t *testing.T) {
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			path := newPath(t)
			b := openBank(t, path, sqlitestore.Config{Logger: slog.New(slog.DiscardHandler)})
			txs := b.transactions(mode)
			r, x, tx := b.enter(txs, "a")
			b.book(tx, "a")
			b.must(x.Complete(t.Context(), completion(r, "booked")))
			mend := breakSync(t, path+"-wal")
			if err := x.Commit(t.Context()); !errors.Is(err, semel.ErrCommitUnknown) || txs.Again(err) {
				t.Errorf("got error %v, want ErrCommitUnknown", err)
			}
			mend()
			if err := b.Ping(t.Context()); !errors.Is(err, sqlitestore.ErrPoisoned) {
				t.Errorf("ping: got error %v, want ErrPoisoned", err)
			}
			if _, err := b.Look(t.Context(), r.Key); !errors.Is(err, sqlitestore.ErrPoisoned) {
				t.Errorf("look: got error %v, want ErrPoisoned", err)
			}
			if _, err := txs.Begin(t.Context()); !errors.Is(err, sqlitestore.ErrPoisoned) {
				t.Errorf("begin: got error %v, want ErrPoisoned", err)
			}
			own := b.beginTx(b.db)
			if err := own.Lock(t.Context(), r.Key, r.Token); !errors.Is(err, sqlitestore.ErrPoisoned) {
				t.Errorf("lock: got error %v, want ErrPoisoned", err)
			}
			b.must(own.Rollback())
		})
	}
}

// I8: on a full disk a transaction is rolled back, and is worth another try when there is
// space, by its own decision.
func TestTransactionOnAFullDisk(t *testing.T) {
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			b := openBank(t, smallDisk(t, 4<<20)+"/app.db", sqlitestore.Config{Guest: true})
			txs := b.transactions(mode)
			r, x, tx := b.enter(txs, "a")
			_, err := tx.ExecContext(t.Context(), book, string(make([]byte, 8<<20)))
			if err == nil { // it is in the cache: the commit finds out
				b.must(x.Complete(t.Context(), completion(r, "booked")))
			}
			if err := x.Commit(t.Context()); err == nil || errors.Is(err, semel.ErrCommitUnknown) {
				t.Errorf("got error %v, want a commit that was refused", err)
			}
			if got := b.total(); got != 0 {
				t.Errorf("got %d entries, want none", got)
			}
			if mode == semel.ClaimTx {
				b.wantHeld(r, semel.StateReserved)
			}
			r, x, tx = b.enter(txs, "b")
			b.book(tx, "b")
			b.must(x.Complete(t.Context(), completion(r, "booked")))
			b.must(x.Commit(t.Context()))
			b.must(b.db.Close()) // before the disk goes
			b.must(b.Close())
		})
	}
}
