package semel

import (
	"context"
	"errors"
	"time"
)

// Purging says how [Engine.RunPurge] works. The zero value is right for most.
type Purging struct {
	// Every is the pause after a round that left nothing to do. Default 1 min.
	Every time.Duration
	// Batch is how many records one step may delete. Default 50: a step of an
	// embedded store blocks its only writer. Servers bear 1,000.
	Batch int
	// Share is the part of the time that steps may take while there is work,
	// more than 0 and at most 1. Default 0.2.
	Share float64
}

// RunPurge deletes what is over until ctx ends, whose cause it returns. It
// paces itself: after a step that took t it pauses for t/Share - t. A failed
// step is logged and counts as a round with nothing to do. It returns an error
// at once when the store is no [Purger] or p is invalid.
func (e *Engine) RunPurge(ctx context.Context, p Purging) error {
	purger, ok := As[Purger](e.store)
	if !ok {
		return errors.New("semel: the store cannot purge")
	}
	if p.Every == 0 {
		p.Every = time.Minute
	}
	if p.Batch == 0 {
		p.Batch = 50
	}
	if p.Share == 0 {
		p.Share = 0.2
	}
	if p.Every < 0 || p.Batch < 0 || !(p.Share > 0 && p.Share <= 1) {
		return errors.New("semel: Purging needs Every and Batch above 0 and Share in (0, 1]")
	}
	timer := time.NewTimer(p.Every)
	defer timer.Stop()
	for {
		pause := e.purgeStep(ctx, purger, p)
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// purgeStep deletes one batch and returns how long to pause.
func (e *Engine) purgeStep(ctx context.Context, purger Purger, p Purging) time.Duration {
	ctx, end := e.observe(ctx, Op{Step: StepPurge})
	start := time.Now()
	n, err := purger.Purge(context.WithoutCancel(ctx), p.Batch)
	took := time.Since(start)
	end(Event{Count: n, More: n >= p.Batch, Err: err})
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "purge", "err", err)
	}
	if err != nil || n == 0 {
		return p.Every
	}
	return time.Duration(float64(took)/p.Share) - took
}
