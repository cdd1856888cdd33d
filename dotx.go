package semel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrTxSettled: fn of [DoTx] has returned a value, and had told its claim to end otherwise:
// its transaction was rolled back. Nothing has happened.
var ErrTxSettled = errors.New("semel: the transaction was rolled back, as Settle had said")

// DoTx is [Do] with the writes of fn and its value in one transaction of txs: both
// are committed, or neither (invariant I8). The transaction's handle is in fn's
// context, where the module of the store finds it (pgstore.TxFrom,
// semelsql.TxFrom). After a crash, whenever it comes, the next call runs fn again
// or gets the kept value; no outcome is ever unknown.
//
// fn may run several times, see [Engine.InTx], and must have no effect outside the
// transaction. An error of fn rolls back, frees the key and is returned as
// it is, unless a new transaction may help. To keep a failure as the outcome, make it
// part of T.
//
// [Claim.Settle] with Free or Unknown rolls back whatever fn returns: Free frees the key, and
// Unknown holds it until the policy for lapsed attempts applies, which runs it again, as
// nothing has happened (with [SingleTx] it is free). DoTx then returns the error of fn, or
// [ErrTxSettled] instead of its value. Keep changes nothing: an error keeps nothing.
func DoTx[T any](ctx context.Context, e *Engine, call Call, txs Transactions, fn func(context.Context) (T, error)) (Result[T], error) {
	var value T
	var own error // of fn, where InTx is not told of it
	out, err := e.InTx(ctx, call, txs, func(ctx context.Context) (Ending, error) {
		var err error
		value, err = fn(ctx)
		own = nil
		if how, told := FromContext(ctx).Settlement(); told && how != Keep && (err == nil || !txs.Again(err)) {
			own = err
			return Ending{How: how}, nil
		}
		if err != nil {
			return Ending{}, err
		}
		data, err := json.Marshal(value)
		if err != nil {
			return Ending{}, fmt.Errorf("semel: the value cannot be kept: %w", err)
		}
		return Ending{How: Keep, Response: Response{Header: []byte(doHeader), Body: data}}, nil
	})
	switch {
	case err != nil:
		return Result[T]{}, err
	case out.Ran && out.How != Keep:
		return Result[T]{}, cmp.Or(own, ErrTxSettled)
	case out.Ran:
		return Result[T]{Value: value}, nil
	case out.Kind == Replay:
		return replayed[T](out.Record)
	}
	return Result[T]{}, out.Err()
}
