package operator

import (
	"context"
	"fmt"

	"github.com/semel-go/semel"
)

// Decision names a lapsed record as an operator saw it, and why it is resolved.
type Decision struct {
	// Slot of the record.
	Slot semel.Slot
	// Fence of the record that was looked at: whoever came meanwhile has another.
	// Required.
	Fence int64
	// Reason says how the operator knows: one line. Required. It is kept with the
	// record, behind the actor's name, and in the trail.
	Reason string
}

// Release says that the attempt did nothing, and never will: the key is free, and the
// next request runs. It fails as [Desk.Resolvable] says, and leaves a trail as
// [Desk.Perform] does.
func (d *Desk) Release(ctx context.Context, decision Decision) error {
	return d.resolve(ctx, semel.ActionRelease, decision, nil)
}

// Complete says what the attempt answered: every retry gets response, which is in
// clear and is sealed here if the engine seals. It fails as [Desk.Resolvable] says,
// and leaves a trail as [Desk.Perform] does.
func (d *Desk) Complete(ctx context.Context, decision Decision, response semel.Response) error {
	return d.resolve(ctx, semel.ActionComplete, decision, &response)
}

func (d *Desk) resolve(ctx context.Context, action semel.Action, decision Decision, response *semel.Response) error {
	if err := d.CanAct(); err != nil {
		return err
	}
	reason, err := Sign(d.actor, decision.Reason)
	if err != nil {
		return err
	}
	rec, err := d.At(ctx, decision.Slot)
	if err != nil {
		return err
	}
	if err := d.Resolvable(rec, decision.Fence); err != nil {
		return err
	}
	if response != nil {
		sealed, err := d.engine.SealResponse(ctx, rec.Key, *response)
		if err != nil {
			return fmt.Errorf("operator: %w", err)
		}
		response = &sealed
	}
	deed := Deed{Action: action, Key: rec.Key, Fence: decision.Fence, Reason: decision.Reason}
	return d.Perform(ctx, deed, func(ctx context.Context) error {
		return d.resolver.Resolve(ctx, semel.Resolution{
			Key: rec.Key, Fence: decision.Fence, Margin: d.cfg.Margin, Response: response,
			Retention: d.Retention(rec), Reason: reason,
		})
	})
}

// Resolvable says early what the store would say: nil when rec can be resolved under
// fence; [ErrFree] or [ErrCompleted] when nothing is unknown; [semel.ErrLost] when
// another attempt has come; [semel.ErrInFlight] while the attempt may be running.
func (d *Desk) Resolvable(rec semel.Record, fence int64) error {
	switch {
	case rec.State == semel.StateFree:
		return ErrFree
	case rec.State == semel.StateCompleted:
		return ErrCompleted
	case rec.Fence != fence:
		return fmt.Errorf("operator: the record has the fence %d, not %d: %w", rec.Fence, fence, semel.ErrLost)
	case !rec.Lapsed:
		return semel.ErrInFlight
	}
	return nil
}
