package operator

import (
	"context"

	"github.com/semel-go/semel"
)

// Reveal returns a record with its key and its kept response, in clear. The reason is
// required and goes into the trail, before anything is read. A response that cannot be
// opened is an error that wraps [semel.ErrDamaged], or [semel.ErrKeyUnavailable], with the
// record as it is kept.
//
// When [Done] says that an error is about the trail only, the record is there too.
func (d *Desk) Reveal(ctx context.Context, slot semel.Slot, reason string) (semel.Record, error) {
	seen, err := d.At(ctx, slot)
	if err != nil {
		return semel.Record{}, err
	}
	deed := Deed{Action: semel.ActionReveal, Key: seen.Key, Fence: seen.Fence, Reason: reason}
	return perform(ctx, d, deed, func(ctx context.Context) (semel.Record, error) { return d.open(ctx, seen) })
}

// open reads the record whole.
func (d *Desk) open(ctx context.Context, seen semel.Record) (semel.Record, error) {
	filter := semel.Filter{Scope: seen.Key.Scope, ID: seen.Key.ID, Margin: d.cfg.Margin, Bodies: true, Limit: 1}
	for rec, err := range d.lister.List(ctx, filter) {
		switch {
		case err != nil:
			return semel.Record{}, err
		case rec.Fence != seen.Fence: // the trail names the one that was seen
			return semel.Record{}, semel.ErrLost
		case rec.State != semel.StateCompleted:
			return rec, nil
		}
		opened, err := d.engine.OpenResponse(ctx, rec)
		if err != nil {
			return rec, err
		}
		rec.Response = opened
		return rec, nil
	}
	return semel.Record{}, ErrNoRecord
}
