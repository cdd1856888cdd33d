package semelgrpc_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I7, I8: a handler has committed without the record, and refuses. Neither is the refusal kept,
// nor does it free the key.
func TestRefusalAfterACommit(t *testing.T) {
	for name, completes := range map[string]bool{"after CompleteIn": true, "without CompleteIn": false} {
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.Unavailable, codes.Unauthenticated} {
			t.Run(name+", "+code.String(), func(t *testing.T) {
				s := newShopDB(t)
				guard := newGuard(t, s.engine, semelgrpc.Config{DeferEffects: true})
				runs := 0
				cc := serve(t, shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
					runs++
					tx, err := s.db.BeginTx(context.WithoutCancel(ctx), nil)
					if err != nil {
						return nil, err
					}
					own := sqlitestore.Tx(tx)
					err = semel.FromContext(ctx).LockIn(ctx, own)
					if err == nil {
						_, err = tx.ExecContext(ctx, "INSERT INTO payments VALUES (?)", req.GetValue())
					}
					if err = errors.Join(err, tx.Commit()); err != nil {
						t.Error(err)
					}
					if completes {
						if err := semel.FromContext(ctx).CompleteIn(ctx, own, semel.Response{}); !errors.Is(err, semel.ErrTxEnded) {
							t.Errorf("CompleteIn: got %v, want ErrTxEnded", err)
						}
					}
					return nil, status.Error(code, "no")
				}), nil, guard.Unary())
				for range 2 {
					pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "OUTCOME_UNKNOWN")
				}
				if runs != 1 || s.payments(t) != 1 {
					t.Errorf("got %d runs and %d payments, want one each", runs, s.payments(t))
				}
			})
		}
	}
}
