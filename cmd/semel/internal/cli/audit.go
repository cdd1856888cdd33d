package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	operators "github.com/semel-go/semel/operator"
)

// entryView is an entry of the trail as --output json and jsonl print it. Names and
// meanings are stable; names may be added.
type entryView struct {
	ID int64 `json:"id"`
	// At is RFC 3339 in UTC, by the store's clock.
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	// Slot is 64 hexadecimal digits; "" for an action over many.
	Slot string `json:"slot"`
	// Ref is the reference of the record in answers and in the log.
	Ref    string `json:"ref"`
	Fence  int64  `json:"fence"`
	Reason string `json:"reason"`
	// Begun is 0 in the entry before an action, and its id in the one after it.
	Begun int64 `json:"begun"`
	// Result is "" in the entry before an action, and else what became of it.
	Result string `json:"result"`
}

func (a *app) audit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit [SLOT]",
		Short: "Print who did what to records, the latest first",
		Long: `Print the trail of what operators did, the latest first: those of one record, given
the first digits of its slot, or all. Every action has an entry before it and one with
its result. Nothing in semel changes or removes an entry, and those of a record stay when
it is purged.`,
		Example: `  semel audit --limit 20
  semel audit 3f2a9c
  semel audit --limit 0 --output jsonl > trail.jsonl`,
	}
	addStoreSettings(cmd)
	s := new(selector)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		s.slot = strings.ToLower(args[0])
		return s.check(cmd, len(args))
	}
	limit := cmd.Flags().Int("limit", 50, "stop after `N` entries; 0 prints all")
	before := cmd.Flags().Int64("before", 0, "only entries before the one with this `ID`")
	format := addOutput(cmd, formatTable, formatJSON, formatLines)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := format.check(); err != nil {
			return err
		}
		if *limit < 0 || *before < 0 {
			return wrong("0 prints all", "--limit and --before cannot be less than 0")
		}
		return a.operate(cmd, stores.Look, func(ctx context.Context, o *operator) error {
			filter := semel.AuditFilter{Before: *before}
			var gone string // the beginning of a slot whose record was purged
			if s.slot != "" {
				rec, err := o.Find(ctx, operators.Selector{Slot: s.slot})
				switch {
				case errors.Is(err, operators.ErrNoRecord):
					gone = s.slot
				case err != nil:
					_, err = o.find(ctx, s) // to say it
					return err
				default:
					filter.Key = rec.Key
				}
			}
			return o.trail(ctx, filter, gone, *limit, format.value)
		})
	}
	return cmd
}

// trail prints entries page by page, so that a long trail needs no memory: those whose
// slot begins with slot. The trail outlives the records, so it is read whole for one that
// is gone.
func (o *operator) trail(ctx context.Context, filter semel.AuditFilter, slot string, limit int, format string) error {
	n := 0
	var next int64
	p := o.trailPrinter(format)
	for {
		filter.Limit = operators.MaxPage
		if limit > 0 && slot == "" {
			filter.Limit = min(limit-n, operators.MaxPage)
		}
		page, err := o.Trail(ctx, filter)
		if err != nil {
			if n > 0 {
				o.say("the list is incomplete: --before %d goes on", filter.Before)
			}
			return readFault(ctx, err)
		}
		next = page.Next
		for i, e := range page.Entries {
			if !strings.HasPrefix(o.viewEntry(e).Slot, slot) {
				continue
			}
			p(e, n == 0)
			if n++; n == limit && i < len(page.Entries)-1 {
				next = e.ID
				break
			}
		}
		if filter.Before = next; next == 0 || n == limit || o.out.err != nil {
			break
		}
	}
	switch {
	case format == formatJSON && n == 0:
		o.out.printf("[]\n")
	case format == formatJSON:
		o.out.printf("\n]\n")
	case n == 0:
		o.say("no entries")
	}
	if next != 0 {
		o.say("hint: there are more: --before %d goes on, --limit 0 prints all", next)
	}
	return nil
}

// trailPrinter prints one entry; first is true for the first of all.
func (o *operator) trailPrinter(format string) func(e semel.AuditEntry, first bool) {
	line := func(e semel.AuditEntry) string {
		text, err := json.Marshal(o.viewEntry(e))
		if err != nil { // a year that RFC 3339 cannot write
			return strconv.Quote(err.Error())
		}
		return string(text)
	}
	switch format {
	case formatLines:
		return func(e semel.AuditEntry, _ bool) { o.out.printf("%s\n", line(e)) }
	case formatJSON:
		return func(e semel.AuditEntry, first bool) {
			before := ",\n "
			if first {
				before = "[\n "
			}
			o.out.printf("%s%s", before, line(e))
		}
	}
	return func(e semel.AuditEntry, first bool) {
		const columns = "%-8s  %-20s  %-8s  %-12s  %-16s  %-28s  %s\n"
		if first {
			o.out.printf(columns, "ID", "AT", "ACTION", "SLOT", "FENCE", "RESULT", "ACTOR: REASON")
		}
		v := o.viewEntry(e)
		result := v.Result
		if e.Begun != 0 {
			result += " (" + strconv.FormatInt(e.Begun, 10) + ")"
		}
		o.out.printf(columns, strconv.FormatInt(e.ID, 10), v.At.Format("2006-01-02T15:04:05Z"), printable(v.Action), orDash(v.Slot[:min(12, len(v.Slot))]),
			orDash(strings.TrimPrefix(strconv.FormatInt(v.Fence, 10), "0")), orDash(printable(result)), printable(v.Actor)+": "+printable(v.Reason))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (o *operator) viewEntry(e semel.AuditEntry) entryView {
	v := entryView{
		ID: e.ID, At: e.At.UTC(), Actor: e.Actor, Action: string(e.Action), Fence: e.Fence, Reason: e.Reason, Begun: e.Begun, Result: e.Result,
	}
	if e.Key != (semel.Key{}) {
		v.Slot, v.Ref = e.Key.Slot().String(), o.engine.Ref(e.Key)
	}
	return v
}
