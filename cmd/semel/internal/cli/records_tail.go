package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

// tailLook is how many of the youngest records one look reads: what changes further back,
// or comes faster, is not seen.
const tailLook = 1000

func (a *app) recordsTail() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print records as they come and as they change, until Ctrl-C",
		Long: `Print the youngest records, and then each that comes or changes its state, until
Ctrl-C. A look every second reads the 1000 youngest: it costs a store the same however
many it holds, and a change further back is not seen. Attempts that come and end
between two looks are printed once, as they ended.`,
		Example: `  semel records tail
  semel records tail --lapsed
  semel records tail --route 'POST /v1/payments' --every 200ms --output json`,
		Args: nothing(),
	}
	l := listing{reveal: new(revealing)}
	addStates(cmd, &l)
	cmd.Flags().StringVar(&l.scope, "scope", "", "only records of this `SCOPE`, as the last column prints it")
	cmd.Flags().StringVar(&l.route, "route", "", "only records of this `ROUTE`, as show prints it")
	cmd.Flags().IntVar(&l.limit, "limit", 10, "begin with the `N` youngest")
	every := cmd.Flags().String("every", "1s", "look every `DURATION`, at least 100ms")
	cmd.Flags().StringVar(&l.older, "older-than", "", "only records that were reserved longer ago than this `DURATION`")
	l.format = addOutput(cmd, formatTable, formatJSON, formatLines)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		pause, err := config.ParseDuration(*every)
		if err != nil || pause < 100*time.Millisecond {
			return wrong("give a duration such as 1s", "--every: %q is no duration of 100ms or more", *every)
		}
		filter, err := l.filter()
		if err != nil {
			return err
		}
		if l.format.value == formatJSON { // a list that never ends has no end to close
			l.format.value = formatLines
		}
		return a.operate(cmd, stores.Look, func(ctx context.Context, o *operator) error {
			return o.tail(ctx, &l, filter, pause)
		})
	}
	return cmd
}

// seen is what was printed of a slot.
type seen struct {
	fence  int64
	state  semel.State
	lapsed bool
}

// tail looks until ctx ends, which is how it should end.
func (o *operator) tail(ctx context.Context, l *listing, filter semel.Filter, pause time.Duration) error {
	filter.Limit = tailLook
	p := o.printer(l)
	printed := make(map[semel.Slot]seen)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for first := true; ; first = false {
		now := make(map[semel.Slot]seen)
		var news []semel.Record
		err := o.each(ctx, filter, func(rec semel.Record) bool {
			if l.lapsed && !o.NeedsDecision(rec) {
				return true
			}
			slot, one := rec.Key.Slot(), seen{rec.Fence, rec.State, rec.Lapsed}
			if now[slot] = one; printed[slot] != one {
				news = append(news, rec)
			}
			return true
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			news = news[:min(len(news), l.limit)]
		}
		for i, rec := range slices.Backward(news) {
			p.record(rec, first && i == len(news)-1)
		}
		if printed = now; o.out.err != nil {
			return nil // report sees it
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
