package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/semel-go/semel"
)

// Deed is an action as the trail tells of it.
type Deed struct {
	// Action is what is done. Required.
	Action semel.Action
	// Key names the slot as the store has it; zero for an action over many.
	Key semel.Key
	// Fence is that of the record that was looked at; 0 for none.
	Fence int64
	// Reason says why: one line. Required, except for [semel.ActionPurge] and
	// [semel.ActionRotate].
	Reason string
}

// Perform does what [Desk] has no method of its own for, and leaves the same trail:
// an entry before act, without which act is not called ([*UntrailedError]), and one
// with its result ([*UnrecordedError]). The error of act goes into the trail, so it must
// hold nothing of a response.
//
// Once it has begun it goes on to its end, whoever has left: act gets a context that
// cannot be cancelled. When ctx ends first, Perform returns an [ErrUnknown].
func (d *Desk) Perform(ctx context.Context, deed Deed, act func(context.Context) error) error {
	_, err := perform(ctx, d, deed, func(ctx context.Context) (struct{}, error) { return struct{}{}, act(ctx) })
	return err
}

// perform is Perform with a result.
func perform[T any](ctx context.Context, d *Desk, deed Deed, act func(context.Context) (T, error)) (T, error) {
	var none T
	if err := d.check(&deed); err != nil {
		return none, err
	}
	if err := context.Cause(ctx); err != nil {
		return none, fmt.Errorf("operator: nothing was done: %w", err)
	}
	if !d.enter() {
		return none, semel.ErrClosed
	}
	type end struct {
		value    T
		err      error
		panicked any
	}
	ended := make(chan end, 1)
	go func() { // Close waits for it
		defer d.acts.Done()
		e := end{panicked: errGoexit}
		defer func() {
			if p := recover(); p != nil {
				e.panicked = p
			}
			ended <- e
		}()
		e.value, e.err = run(context.WithoutCancel(ctx), d, deed, act)
		e.panicked = nil
	}()
	select {
	case e := <-ended:
		if e.panicked != nil {
			panic(e.panicked) // where a server can catch it
		}
		return e.value, e.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrUnknown, context.Cause(ctx))
	}
}

var errGoexit = errors.New("operator: the action ended its goroutine")

// check completes the deed, or says why it may not be done.
func (d *Desk) check(deed *Deed) error {
	if d.auditor == nil && !d.cfg.WithoutTrail {
		return ErrNoTrail
	}
	if deed.Action == "" {
		return errors.New("operator: no action")
	}
	if deed.Reason == "" && (deed.Action == semel.ActionPurge || deed.Action == semel.ActionRotate) {
		return nil
	}
	reason, err := checkReason(deed.Reason)
	deed.Reason = reason
	return err
}

// run does the deed between its two entries.
func run[T any](ctx context.Context, d *Desk, deed Deed, act func(context.Context) (T, error)) (T, error) {
	if d.auditor == nil {
		return act(ctx)
	}
	entry := semel.AuditEntry{Actor: d.actor, Action: deed.Action, Key: deed.Key, Fence: deed.Fence, Reason: deed.Reason}
	begun, err := d.auditor.Audit(ctx, entry)
	if err != nil {
		var none T
		return none, &UntrailedError{err}
	}
	value, result := act(ctx)
	entry.Begun, entry.Result = begun.ID, resultText(result)
	if _, err := d.auditor.Audit(ctx, entry); err != nil {
		return value, &UnrecordedError{begun.ID, result, err}
	}
	return value, result
}

// resultText is the result of an action in the trail.
func resultText(err error) string {
	var text string
	switch {
	case err == nil:
		return semel.AuditDone
	case errors.Is(err, semel.ErrLost):
		text = "refused: the record was changed meanwhile"
	case errors.Is(err, semel.ErrInFlight):
		text = "refused: the lease is not over"
	default:
		text = "failed: " + err.Error()
	}
	return strings.ToValidUTF8(text[:min(len(text), semel.MaxAuditLen)], "")
}
