package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	operators "github.com/semel-go/semel/operator"
)

// resolving is an operator's answer for a lapsed record.
type resolving struct {
	selector    *selector
	fence       int64  // 0: that of the record as it is read
	why, reason string // as it was given, as it is recorded
	yes, dryRun bool
	done        string // the verb, when it is done
	effect      string // what follows, in one sentence
	response    *semel.Response
	format      *outputFlag
}

func (a *app) recordsRelease() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release SLOT | --ref REFERENCE | --scope SCOPE --key KEY",
		Short: "Say that a lapsed attempt did nothing: the key is free",
		Long: `Say that a lapsed attempt did nothing, and never will: the key is free, and the
next request with it runs. If the attempt did take effect, or still does, its
effect happens twice. So a release is safe

  - when the ledger or the provider says that it did not happen, and whoever
    might still be at it has ended or refuses a smaller fence;
  - when semel records show says "no effect yet": the attempt had promised to
    say so before its first one. It needs no release either, as its next request
    runs by itself.

Only a lapsed record can be released, and only under the fence that it had when
it was looked at: give it by --fence, as show and list print it. The reason is
kept with the record, together with who gave it, until the slot is reserved again.`,
		Example: `  semel records release 3f2a9c --dry-run --reason 'no charge at the provider'
  semel records release 3f2a9c --fence 1793620000000000 --reason 'no charge at the provider' --yes`,
	}
	r := addResolving(cmd, "released", "the next request with its key runs")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return err
		}
		return a.operate(cmd, stores.Change, func(ctx context.Context, o *operator) error { return o.resolve(ctx, r) })
	}
	return cmd
}

func (a *app) recordsComplete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "complete SLOT | --ref REFERENCE | --scope SCOPE --key KEY",
		Short: "Say what a lapsed attempt answered: retries get that",
		Long: `Say what a lapsed attempt answered: the response is kept, and every retry gets
it. Give the answer that the service would have given, its media type included.

Only a lapsed record can be completed, and only under the fence that it had when
it was looked at: give it by --fence, as show and list print it. The reason is
kept with the record, together with who gave it.`,
		Example: `  semel records complete 3f2a9c --reason 'charge 17 is in the ledger' --status 201 \
      --header 'Content-Type: application/json' --header 'Location: /payments/17' --body-file answer.json`,
	}
	r := addResolving(cmd, "completed", "")
	var answer answerFlags
	answer.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return err
		}
		if answer.stdin() && !r.yes && !r.dryRun {
			return wrong("add --yes, or put the body into a file", "--body-file - leaves no way to ask")
		}
		kept, err := answer.read(a.in)
		if err != nil {
			return err
		}
		response, err := kept.Encode()
		if err != nil {
			return wrong("", "%w", err)
		}
		r.response = &response
		r.effect = fmt.Sprintf("every retry gets %d with %d bytes", response.Status, len(response.Body))
		return a.operate(cmd, stores.Change, func(ctx context.Context, o *operator) error { return o.resolve(ctx, r) })
	}
	return cmd
}

func addResolving(cmd *cobra.Command, done, effect string) *resolving {
	r := &resolving{selector: addSelector(cmd), done: done, effect: effect}
	cmd.Flags().Int64Var(&r.fence, "fence", 0, "resolve only while the record has this fence `NUMBER` (required with --yes)")
	cmd.Flags().StringVar(&r.why, "reason", "", "`TEXT` that says how you know; kept with the record (required)")
	addSettings(cmd, cmd.Flags(), "retention")
	addAsking(cmd, &r.yes, &r.dryRun)
	r.format = addOutput(cmd, formatTable, formatJSON)
	return r
}

// check finds what is missing before the store is opened.
func (r *resolving) check(cmd *cobra.Command) (err error) {
	given := cmd.Flags().Changed("fence")
	if err := r.format.check(); err != nil {
		return err
	}
	switch {
	case given && r.fence < 1:
		return wrong("semel records show prints it", "--fence: %d is not the fence of a record", r.fence)
	case r.yes && !r.dryRun && !given:
		return wrong("give the fence that semel records show has printed", "--yes needs --fence: "+
			"nothing else says that the record is still the one that was looked at")
	}
	if strings.TrimSpace(r.why) == "" {
		return wrong("say how you know, such as --reason 'ledger: charge 17 is there'", "--reason is required: it is kept with the record")
	}
	r.reason, err = operators.Sign(whoami(), r.why)
	return deskFault(err)
}

// addAsking gives cmd the flags of everything that changes records for good.
func addAsking(cmd *cobra.Command, yes, dryRun *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVarP(dryRun, "dry-run", "n", false, "say what would be done, and do nothing")
}

// resolve ends the lapsed record that r names, if nobody did meanwhile.
func (o *operator) resolve(ctx context.Context, r *resolving) error {
	if err := o.CanAct(); errors.Is(err, errors.ErrUnsupported) {
		return refused("", "this store cannot resolve records")
	} else if err != nil {
		return deskFault(err)
	}
	rec, err := o.find(ctx, r.selector)
	if err != nil {
		return err
	}
	if r.fence == 0 {
		r.fence = rec.Fence
	}
	if err := r.refusal(o.Resolvable(rec, r.fence), rec); err != nil {
		return err
	}
	what := fmt.Sprintf("slot %s ref %s fence %d", rec.Key.Slot(), o.engine.Ref(rec.Key), rec.Fence)
	effect := fmt.Sprintf("%s, for %v", r.effect, span(o.Retention(rec)))
	if r.response == nil {
		effect = r.effect
	}
	known := "its outcome was never recorded"
	if !o.NeedsDecision(rec) {
		known = "had no effect yet: nothing is unknown, and its next request runs without a release"
	}
	o.say("%s: attempt %d of %s began %s, and %s", what, rec.Attempts, printable(rec.Owner), untilOrAgo(rec.CreatedAt, time.Now()), known)
	told := doneView{
		Done: r.done, DryRun: r.dryRun, Slot: rec.Key.Slot().String(), Ref: o.engine.Ref(rec.Key), Fence: rec.Fence, Effect: effect, Reason: r.reason,
	}
	text := fmt.Sprintf("%s: %s: %s\nreason: %s\n", r.done, what, effect, printable(r.reason))
	if r.dryRun {
		return o.tellDone(r.format, told, text)
	}
	question := fmt.Sprintf("It will be %s: %s. Go on?", r.done, effect)
	if err := o.confirm(ctx, question, r.yes, fmt.Sprintf("--fence %d --yes", rec.Fence)); err != nil {
		return err
	}
	decision := operators.Decision{Slot: rec.Key.Slot(), Fence: r.fence, Reason: r.why}
	if r.response == nil {
		err = o.Release(ctx, decision)
	} else {
		err = o.Complete(ctx, decision, *r.response)
	}
	if err = o.unrecorded(err); err != nil {
		return r.refusal(err, rec)
	}
	return o.tellDone(r.format, told, text)
}

// refusal says why rec was not resolved.
func (r *resolving) refusal(err error, rec semel.Record) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, operators.ErrFree):
		return refused("its next request runs", "the record is free: there is nothing to be %s", r.done)
	case errors.Is(err, operators.ErrCompleted):
		return refused("semel records show prints the kept response", "the record is completed: retries get its response")
	case errors.Is(err, semel.ErrLost) && rec.Fence != r.fence:
		return refused("another attempt has come, or the number is mistyped: look again with semel records show",
			"the record has the fence %d, not %d, and is not %s", rec.Fence, r.fence, r.done)
	case errors.Is(err, semel.ErrLost), errors.Is(err, operators.ErrNoRecord):
		return refused("look again with semel records show", "the record was changed just now, and is not %s", r.done)
	case errors.Is(err, semel.ErrInFlight):
		return refused("wait until the lease is over; a process that died cannot renew it",
			"the attempt may be running: its lease is not over, and it is not %s", r.done)
	}
	return deskFault(err)
}
