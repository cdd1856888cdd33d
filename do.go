package semel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Result is what [Do] answers.
type Result[T any] struct {
	Value T
	// Replayed is true when Value was kept by an earlier attempt.
	Replayed bool
	// NotStored is true when fn succeeded but its value is not stored yet: it
	// is the true answer, and the engine goes on storing it in the background,
	// unless it could not be sealed.
	NotStored bool
}

// Do runs fn once for the key of call, without any transport: for messages,
// jobs, commands. The value of fn is kept as JSON and given to every later
// call with the same key and fingerprint. Where T holds an any, a number comes
// back as a [json.Number], digit by digit.
//
// An error of fn holds the key, because what it did is not known; wrap it with
// [Retryable] when nothing happened. To keep a failure as the outcome, make it
// part of T. Do returns fn's error as it is; otherwise an error that wraps
// [ErrInFlight], [ErrOutcomeUnknown] or [ErrConflict] when it refuses,
// [ErrLost] when the value of fn must not be used, [ErrDamaged] when what was
// kept is no value of T, or a [*StoreError]. One that wraps [ErrTooLarge] comes
// with the value: fn has succeeded, the store cannot keep what it returned, and
// the key is held.
func Do[T any](ctx context.Context, e *Engine, call Call, fn func(context.Context) (T, error)) (Result[T], error) {
	out, err := e.Begin(ctx, call)
	if err != nil {
		return Result[T]{}, err
	}
	switch out.Kind {
	case Replay:
		return replayed[T](out.Record)
	case InFlight, Conflict:
		return Result[T]{}, out.Err()
	case Reserved:
	}
	return run(ctx, out.Claim, fn)
}

func run[T any](ctx context.Context, c *Claim, fn func(context.Context) (T, error)) (Result[T], error) {
	inner := c.Attach(ctx)
	defer c.Detach()
	defer c.Abandon(ctx) // a panic, Goexit, or any return below that has not settled
	why := doubtPanic
	defer func() { c.Doubt(why) }() // before that

	value, err := fn(inner)
	why = "the func returned an error"
	switch {
	case IsRetryable(err):
		rerr := c.Release(ctx)
		if rerr == nil || errors.Is(rerr, ErrSettled) || errors.Is(rerr, ErrLost) {
			return Result[T]{}, err
		}
		return Result[T]{}, errors.Join(err, rerr)
	case err != nil:
		return Result[T]{}, err
	}
	if c.Locked() {
		why = "LockIn without CompleteIn"
		return uncompleted[T](ctx, c)
	}
	why = "the value cannot be kept"
	data, err := json.Marshal(value)
	if err != nil {
		return Result[T]{}, fmt.Errorf("semel: the value cannot be kept: %w", err)
	}
	err = c.Complete(ctx, Response{Header: []byte(doHeader), Body: data})
	switch {
	case err == nil:
		return Result[T]{Value: value}, nil
	case errors.Is(err, ErrNotStored):
		return Result[T]{Value: value, NotStored: true}, nil
	case errors.Is(err, ErrLost), errors.Is(err, ErrSettled), errors.Is(err, ErrTxEnded):
		return lost[T](ctx, c, err)
	case errors.Is(err, ErrTooLarge):
		return Result[T]{Value: value}, err
	}
	return Result[T]{}, err
}

// uncompleted answers for a func that has locked its slot in a transaction of its own and
// succeeds without CompleteIn: what it says to have done may not be committed, and must not
// run again if it is.
func uncompleted[T any](ctx context.Context, c *Claim) (Result[T], error) {
	out, err := c.Confirm(ctx)
	if err == nil && out.Kind == Replay {
		return replayed[T](out.Record)
	}
	c.EndPromise(ctx)
	return Result[T]{}, errors.Join(fmt.Errorf("%w: the func has called LockIn and succeeds without CompleteIn", ErrOutcomeUnknown), err)
}

// lost answers with what was kept instead: never with one's own value.
func lost[T any](ctx context.Context, c *Claim, cause error) (Result[T], error) {
	out, err := c.Confirm(ctx)
	if err != nil {
		return Result[T]{}, errors.Join(cause, err)
	}
	if out.Kind == Replay {
		return replayed[T](out.Record)
	}
	return Result[T]{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
}

// doHeader marks responses that Do has kept.
const doHeader = "semel.Do/1 application/json"

func replayed[T any](rec Record) (Result[T], error) {
	if got := string(rec.Response.Header); got != doHeader {
		return Result[T]{}, fmt.Errorf("%w: it was not made by Do (header %.40q)", ErrDamaged, got)
	}
	r := Result[T]{Replayed: true}
	d := json.NewDecoder(bytes.NewReader(rec.Response.Body))
	d.UseNumber() // never through float64
	if err := d.Decode(&r.Value); err != nil {
		return Result[T]{}, fmt.Errorf("%w: the value does not fit: %w", ErrDamaged, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Result[T]{}, fmt.Errorf("%w: the value goes on behind its end", ErrDamaged)
	}
	return r, nil
}

// Retryable marks an error of fn as "nothing happened": [Do] then frees the key
// for another attempt. It returns nil for nil.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return &retryableError{err}
}

// IsRetryable reports whether err was marked by [Retryable], for transports that run a
// func as [Do] does.
func IsRetryable(err error) bool {
	var marked *retryableError
	return errors.As(err, &marked)
}

type retryableError struct{ err error }

func (e *retryableError) Error() string { return e.err.Error() }
func (e *retryableError) Unwrap() error { return e.err }
