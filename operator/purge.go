package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// Purging says how [Desk.Purge] works. The zero value is right for most.
type Purging struct {
	// Batch is how many records one step may delete. Default 50: a step of an
	// embedded store blocks its only writer. Servers bear 1,000.
	Batch int
	// Share is the part of the time that steps may take, more than 0 and at most
	// 1. Default 0.2.
	Share float64
	// Reason goes into the trail. May be empty.
	Reason string
	// Progress is told after each step how many records are gone. May be nil.
	Progress func(gone int)
}

// Purge deletes what is over, as [semel.Engine.RunPurge] does by itself, until nothing
// is left, and returns how many records are gone. When ctx ends it stops after the
// step under way and returns the cause. It leaves a trail as [Desk.Perform]
// does.
func (d *Desk) Purge(ctx context.Context, p Purging) (int, error) {
	purger, ok := semel.As[semel.Purger](d.store)
	if !ok {
		return 0, fmt.Errorf("operator: the store cannot purge: %w", errors.ErrUnsupported)
	}
	p.Batch, p.Share = cmp.Or(p.Batch, 50), cmp.Or(p.Share, 0.2)
	if p.Batch < 0 || !(p.Share > 0 && p.Share <= 1) {
		return 0, errors.New("operator: Purging needs Batch above 0 and Share in (0, 1]")
	}
	deed := Deed{Action: semel.ActionPurge, Reason: p.Reason}
	if err := d.check(&deed); err != nil {
		return 0, err
	}
	if !d.enter() {
		return 0, semel.ErrClosed
	}
	defer d.acts.Done()
	return run(context.WithoutCancel(ctx), d, deed, func(free context.Context) (int, error) {
		return purgeAll(ctx, free, purger, p)
	})
}

// purgeAll deletes in steps under free, which has no end, until nothing is left or ctx
// ends.
func purgeAll(ctx, free context.Context, purger semel.Purger, p Purging) (int, error) {
	gone := 0
	for context.Cause(ctx) == nil {
		start := time.Now()
		n, err := purger.Purge(free, p.Batch)
		took := time.Since(start)
		gone += n
		if err != nil {
			return gone, fmt.Errorf("after %d records: %w", gone, err)
		}
		if n == 0 {
			return gone, nil
		}
		if p.Progress != nil {
			p.Progress(gone)
		}
		pause := time.NewTimer(time.Duration(float64(took)/p.Share) - took)
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
	return gone, fmt.Errorf("stopped after %d records: %w", gone, context.Cause(ctx))
}
