package semelgrpc_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// shopDB is a file with the records and with payments beside them.
type shopDB struct {
	store  *sqlitestore.Store
	db     *sql.DB
	engine *semel.Engine
}

func newShopDB(t *testing.T) *shopDB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	store, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE payments (text TEXT UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	return &shopDB{store: store, db: db, engine: newEngine(t, store, semel.Config{})}
}

func (s *shopDB) payments(t *testing.T) int {
	t.Helper()
	var n int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// I8: what a handler writes and its answer are committed together, or neither, in both modes.
func TestInTx(t *testing.T) {
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			s := newShopDB(t)
			txs, err := s.store.Transactions(s.db, sqlitestore.TxConfig{Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			guard, err := newGuard(t, s.engine, semelgrpc.Config{}).InTx(txs)
			if err != nil {
				t.Fatal(err)
			}
			runs := 0
			var end func(ctx context.Context) (*wrapperspb.StringValue, error)
			cc := serve(t, shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				runs++
				if _, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO payments VALUES (?)", req.GetValue()); err != nil {
					return nil, status.Error(codes.AlreadyExists, "paid before")
				}
				_ = grpc.SetHeader(ctx, metadata.Pairs("etag", "1"))
				return end(ctx)
			}), nil, guard.Unary(), guard.Unary()) // one inside the other is the same attempt
			good := func(context.Context) (*wrapperspb.StringValue, error) { return wrapperspb.String("paid"), nil }
			fails := func(code codes.Code) func(context.Context) (*wrapperspb.StringValue, error) {
				return func(context.Context) (*wrapperspb.StringValue, error) { return nil, status.Error(code, "because") }
			}
			step := func(key, text string, f func(context.Context) (*wrapperspb.StringValue, error), code codes.Code, replayed bool, payments, ran int) {
				t.Helper()
				end = f
				a := pay(as(t, key), cc, text)
				if a.status.Code() != code || a.replayed() != replayed || s.payments(t) != payments || runs != ran {
					t.Errorf("key %s: %v, replayed %t, %d payments, %d runs; want %s, %t, %d, %d",
						key, a.status, a.replayed(), s.payments(t), runs, code, replayed, payments, ran)
				}
				if a.status.Code() == codes.OK && (a.reply.GetValue() != "paid" || len(a.header.Get("etag")) != 1) {
					t.Errorf("key %s: %v", key, a)
				}
			}
			step("a", "one", good, codes.OK, false, 1, 1)
			step("a", "one", good, codes.OK, true, 1, 1)
			step("a", "two", good, codes.FailedPrecondition, false, 1, 1)
			step("b", "two", fails(codes.Internal), codes.Internal, false, 1, 2) // rolled back: it may run again
			step("b", "two", fails(codes.Unavailable), codes.Unavailable, false, 1, 3)
			step("b", "two", good, codes.OK, false, 2, 4)
			step("c", "three", fails(codes.InvalidArgument), codes.InvalidArgument, false, 3, 5) // kept, with its writes
			step("c", "three", good, codes.InvalidArgument, true, 3, 5)
			step("d", "one", good, codes.AlreadyExists, false, 3, 6)
			step("d", "one", good, codes.AlreadyExists, true, 3, 6)
			step("e", "five", func(context.Context) (*wrapperspb.StringValue, error) { return wrapperspb.String("\xff"), nil }, codes.Internal, false, 3, 7)
			step("e", "five", good, codes.OK, false, 4, 8)
		})
	}
}

// An interceptor without transactions outside would run the handler without one: it is refused.
func TestInTxInsideAnother(t *testing.T) {
	s := newShopDB(t)
	txs, err := s.store.Transactions(s.db, sqlitestore.TxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	handler, runs := counted()
	plain := newGuard(t, s.engine, semelgrpc.Config{})
	inTx := newGuard(t, s.engine, semelgrpc.Config{Methods: map[string]func(*semelgrpc.Config){payMethod: func(c *semelgrpc.Config) { c.Tx = txs }}})
	pay(as(t, "k"), serve(t, shop(handler), nil, plain.Unary(), inTx.Unary()), "x").want(t, codes.Aborted, "NOT_COMMITTED")
	if runs.Load() != 0 {
		t.Errorf("%d runs", runs.Load())
	}
	other := newEngine(t, memory(), semel.Config{})
	if _, err := newGuard(t, other, semelgrpc.Config{}).InTx(txs); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("transactions of another store: %v", err)
	}
	if _, err := semelgrpc.New(other, semelgrpc.Global(), semelgrpc.Config{Tx: txs}); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("transactions of another store: %v", err)
	}
	_, err = semelgrpc.New(s.engine, semelgrpc.Global(), semelgrpc.Config{Tx: txs, FailOpen: func(context.Context, string, error) bool { return true }})
	if err == nil || !strings.Contains(err.Error(), "FailOpen") {
		t.Errorf("Tx beside FailOpen: %v", err)
	}
}

// I8: a handler may begin its transaction itself and complete in it. What it returns then does not
// count: what is kept is sent, and when it has rolled back and says that all is well, its client
// hears the truth.
func TestHandlerCompletesInItsOwnTx(t *testing.T) {
	s := newShopDB(t)
	commits := true
	guard := newGuard(t, s.engine, semelgrpc.Config{DeferEffects: true})
	cc := serve(t, shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		claim := semel.FromContext(ctx)
		tx, err := s.db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return nil, err
		}
		defer func() { _ = tx.Rollback() }()
		kept, err := semelgrpc.Kept{Message: wrapperspb.String("kept")}.Encode()
		if err == nil {
			err = claim.LockIn(ctx, sqlitestore.Tx(tx))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO payments VALUES (?)", req.GetValue())
		}
		if err == nil {
			err = claim.CompleteIn(ctx, sqlitestore.Tx(tx), kept)
		}
		if err == nil && commits {
			err = tx.Commit()
		}
		return wrapperspb.String("own"), err
	}), nil, guard.Unary())
	pay(as(t, "k"), cc, "x").wantReply(t, "kept", false)
	pay(as(t, "k"), cc, "x").wantReply(t, "kept", true)
	commits = false
	a := pay(as(t, "l"), cc, "y")
	a.want(t, codes.Aborted, "NOT_COMMITTED")
	if _, again := retryInfo(a.status); !again || s.payments(t) != 1 {
		t.Errorf("asks for a retry: %t, %d payments", again, s.payments(t))
	}
	commits = true
	pay(as(t, "l"), cc, "y").wantReply(t, "kept", false)
}

// I7, I8: a handler that locks its slot and succeeds without completing is not believed, whether it
// has committed or not, and does not run again.
func TestHandlerForgetsToComplete(t *testing.T) {
	for _, commits := range []bool{false, true} {
		s, logs := newShopDB(t), new(bytes.Buffer)
		guard := newGuard(t, s.engine, semelgrpc.Config{DeferEffects: true, Logger: slog.New(slog.NewTextHandler(logs, nil))})
		runs := 0
		cc := serve(t, shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			runs++
			tx, err := s.db.BeginTx(context.WithoutCancel(ctx), nil)
			if err != nil {
				return nil, err
			}
			defer func() { _ = tx.Rollback() }()
			if err := semel.FromContext(ctx).LockIn(ctx, sqlitestore.Tx(tx)); err != nil {
				return nil, err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO payments VALUES (?)", req.GetValue()); err != nil {
				return nil, err
			}
			if commits {
				err = tx.Commit()
			}
			return wrapperspb.String("paid"), err
		}), nil, guard.Unary())
		for range 2 {
			pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "OUTCOME_UNKNOWN")
		}
		if want := map[bool]int{true: 1}[commits]; runs != 1 || s.payments(t) != want {
			t.Errorf("got %d runs and %d payments, want 1 and %d", runs, s.payments(t), want)
		}
		if got := logs.String(); strings.Count(got, "succeeds without CompleteIn") != 1 || strings.Contains(got, "after CompleteIn") {
			t.Errorf("got %s, want one line that CompleteIn was not called", got)
		}
	}
}
