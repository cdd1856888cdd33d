package semel

import (
	"context"
	"encoding/json"
	"fmt"
)

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
func DoTx[T any](ctx context.Context, e *Engine, call Call, txs Transactions, fn func(context.Context) (T, error)) (Result[T], error) {
	var value T
	out, err := e.InTx(ctx, call, txs, func(ctx context.Context) (Ending, error) {
		var err error
		if value, err = fn(ctx); err != nil {
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
	case out.Ran:
		return Result[T]{Value: value}, nil
	case out.Kind == Replay:
		return replayed[T](out.Record)
	}
	return Result[T]{}, out.Err()
}
