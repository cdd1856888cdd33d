package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	operators "github.com/semel-go/semel/operator"
)

// purging is what semel records purge was asked for.
type purging struct {
	batch       int
	reason      string
	yes, dryRun bool
	format      *outputFlag
}

func (a *app) recordsPurge() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Delete records whose retention is over",
		Long: `Delete free and completed records whose retention is over. A reservation is
never deleted, lapsed or not. A running proxy does the same by itself.

Steps are paced to a fifth of the time, so that a proxy on the same store goes
on. It may be stopped at any time.`,
		Args: nothing(),
	}
	var p purging
	cmd.Flags().IntVar(&p.batch, "batch", 0, "delete `N` records in one step (default 50 in a file, whose writers wait meanwhile, and 1000 on a server)")
	cmd.Flags().StringVar(&p.reason, "reason", "", "`TEXT` for the trail, see semel audit")
	addAsking(cmd, &p.yes, &p.dryRun)
	p.format = addOutput(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.format.check(); err != nil {
			return err
		}
		if cmd.Flags().Changed("batch") && (p.batch < 1 || p.batch > 10_000) {
			return wrong("", "--batch: want 1 to 10000, not %d", p.batch)
		}
		use := stores.Change
		if p.dryRun {
			use = stores.Look
		}
		return a.operate(cmd, use, func(ctx context.Context, o *operator) error { return o.purge(ctx, p) })
	}
	return cmd
}

// purge counts what is over, asks, and deletes it.
func (o *operator) purge(ctx context.Context, p purging) error {
	if _, ok := semel.As[semel.Purger](o.store); !ok {
		return refused("", "this store cannot purge")
	}
	over := 0
	if p.dryRun || !p.yes {
		var err error
		if over, err = o.countOver(ctx); err != nil {
			return err
		}
	}
	if p.dryRun {
		return o.tellPurged(p, over)
	}
	if over == 0 && !p.yes {
		return o.tellPurged(p, 0)
	}
	if err := o.confirm(ctx, fmt.Sprintf("%s will be deleted. Go on?", records(over)), p.yes, "--yes"); err != nil {
		return err
	}
	progress := o.progress("purged", over)
	n, err := o.Purge(ctx, operators.Purging{Batch: cmp.Or(p.batch, o.purgeBatch), Reason: p.reason, Progress: progress.show})
	progress.end()
	if err := o.tellPurged(p, n); err != nil {
		return err
	}
	if err = o.unrecorded(err); err != nil && ctx.Err() != nil {
		return refused("run it again to go on", "stopped")
	}
	return deskFault(err)
}

func (o *operator) tellPurged(p purging, n int) error {
	return o.tellDone(p.format, doneView{Done: "purged", DryRun: p.dryRun, Records: &n, Reason: p.reason}, "purged: "+records(n)+"\n")
}

func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return strconv.Itoa(n) + " records"
}

// countOver reads every record. The clock is this machine's, so a count may
// differ a little from what a purge deletes.
func (o *operator) countOver(ctx context.Context) (int, error) {
	now := time.Now()
	n := 0
	filter := semel.Filter{States: []semel.State{semel.StateFree, semel.StateCompleted}}
	err := o.each(ctx, filter, func(rec semel.Record) bool {
		if !rec.ExpiresAt.After(now) {
			n++
		}
		return true
	})
	return n, err
}
