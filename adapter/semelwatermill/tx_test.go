package semelwatermill_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// bank is a database with the records and the business in one file.
type bank struct {
	db     *sql.DB
	engine *semel.Engine
	txs    semel.Transactions
}

func openBank(tb testing.TB, file string, mode semel.TxMode) *bank {
	tb.Helper()
	store, err := sqlitestore.Open(file, sqlitestore.Config{Guest: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(tb.Context(), "CREATE TABLE IF NOT EXISTS payments (message TEXT)"); err != nil {
		tb.Fatal(err)
	}
	txs, err := store.Transactions(db, sqlitestore.TxConfig{Mode: mode})
	if err != nil {
		tb.Fatal(err)
	}
	return &bank{db, newEngine(tb, store, semel.Config{}), txs}
}

func (b *bank) guard(tb testing.TB, cfg semelwatermill.Config) *semelwatermill.Middleware {
	tb.Helper()
	cfg.Tx = b.txs
	return guard(tb, b.engine, cfg)
}

// pay writes a payment for msg in its transaction.
func pay(msg *message.Message) error {
	_, err := semelsql.TxFrom(msg.Context()).ExecContext(msg.Context(), "INSERT INTO payments VALUES (?)", msg.UUID)
	return err
}

func (b *bank) wantPaid(t *testing.T, uuid string, want int) {
	t.Helper()
	var got int
	if err := b.db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments WHERE message = ?", uuid).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: paid %d times, want %d", uuid, got, want)
	}
}

// branch is a test in one mode.
type branch struct {
	*testing.T
	*bank
}

func inModes(t *testing.T, f func(branch)) {
	t.Helper()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) { f(branch{t, openBank(t, filepath.Join(t.TempDir(), "bank.db"), mode)}) })
	}
}

// I8: what a handler writes and what it produces are committed together, before anything is published.
// A failure rolls back and frees the key; a delivery that comes again replays.
func TestTransaction(t *testing.T) {
	inModes(t, func(in branch) {
		t, b := in.T, in.bank
		runs := 0
		r := start(t, func(msg *message.Message) ([]*message.Message, error) {
			if err := pay(msg); err != nil {
				return nil, err
			}
			if runs++; runs == 1 {
				return nil, errDeclined
			}
			return []*message.Message{order("r1", fmt.Sprint("run ", runs))}, nil
		}, b.guard(t, semelwatermill.Config{}).Middleware)
		r.fails = 1
		r.publishing = func() { b.wantPaid(t, "m1", 1) }
		r.send(order("m1", "x"))
		if all := r.settled(1); len(all) != 3 {
			t.Errorf("got %d deliveries, want 3: a failure, a publisher that failed, and a replay", len(all))
		}
		wantSame(t, r.receipts(), []*message.Message{order("r1", "run 2")}, 1)
		b.wantPaid(t, "m1", 1)
	})
}

// How a try in a transaction ends: with its own error, with what the handler said, or refused.
func TestTransactionEndings(t *testing.T) {
	inModes(t, func(in branch) {
		t, b := in.T, in.bank
		mw := b.guard(t, semelwatermill.Config{MaxResponse: 100, Wait: -1})
		try := func(uuid, payload string, h func(msg *message.Message) ([]*message.Message, error)) ([]*message.Message, error) {
			return inHandler(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
				if err := pay(msg); err != nil {
					t.Error(err)
				}
				return h(msg)
			}))(order(uuid, payload))
		}
		answers := func(msgs ...*message.Message) func(*message.Message) ([]*message.Message, error) {
			return func(*message.Message) ([]*message.Message, error) { return msgs, nil }
		}
		says := func(how semel.Disposition) func(*message.Message) ([]*message.Message, error) {
			return func(msg *message.Message) ([]*message.Message, error) {
				semel.FromContext(msg.Context()).Settle(how)
				return []*message.Message{order("r1", "")}, nil
			}
		}
		if msgs, err := try("free", "x", says(semel.Free)); err != nil || len(msgs) != 1 {
			t.Errorf("said free: got %v, %v, want the message", msgs, err)
		}
		msgs, err := try("held", "x", says(semel.Unknown))
		if !errors.Is(err, semel.ErrOutcomeUnknown) || semelwatermill.Terminal(err) || msgs != nil {
			t.Errorf("said hold: got %v, %v, want a refusal for now", msgs, err)
		}
		own := fmt.Errorf("of the handler: %w", semel.ErrDamaged)
		if _, err := try("error", "x", func(*message.Message) ([]*message.Message, error) { return nil, own }); err != own { //nolint:errorlint // as it is
			t.Errorf("got %v, want the handler's error as it is", err)
		}
		if _, err := try("nil", "x", answers(nil)); err == nil {
			t.Error("got no error for a nil message")
		}
		for _, uuid := range []string{"free", "held", "error", "nil"} {
			b.wantPaid(t, uuid, 0)
			if _, err := try(uuid, "x", answers()); err != nil {
				t.Errorf("%s: got %v, want that the next delivery runs", uuid, err)
			}
			b.wantPaid(t, uuid, 1)
		}
		large := order("r1", string(make([]byte, 100)))
		if msgs, err := try("large", "x", answers(large)); err != nil || len(msgs) != 1 {
			t.Errorf("large: got %v, %v, want the message", msgs, err)
		}
		if _, err := try("large", "x", never(t)); !errors.Is(err, semelwatermill.ErrNotKept) {
			t.Errorf("large: got %v, want that it is not kept", err)
		}
		if _, err := try("large", "y", never(t)); !errors.Is(err, semel.ErrConflict) || !semelwatermill.Terminal(err) {
			t.Errorf("got %v, want a conflict", err)
		}
		if _, err := try("", "x", never(t)); !errors.Is(err, semelwatermill.ErrNoKey) {
			t.Errorf("got %v, want that there is no key", err)
		}
	})
}

// Guarded twice is one attempt in a transaction too.
func TestTransactionNested(t *testing.T) {
	inModes(t, func(in branch) {
		t, b := in.T, in.bank
		mw := b.guard(t, semelwatermill.Config{Wait: -1})
		msgs, err := inHandler(mw.Middleware(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
			return []*message.Message{order("r1", "")}, pay(msg)
		})))(order("m1", "x"))
		if err != nil || len(msgs) != 1 {
			t.Errorf("got %v, %v, want one attempt", msgs, err)
		}
		b.wantPaid(t, "m1", 1)
	})
}
