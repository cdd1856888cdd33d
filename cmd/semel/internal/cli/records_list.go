package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	operators "github.com/semel-go/semel/operator"
)

// listing is what semel records list was asked for.
type listing struct {
	states       []string
	lapsed       bool
	scope, route string
	older, newer string // durations
	after        string // a place
	limit        int
	reveal       *revealing
	format       *outputFlag
}

func (a *app) recordsList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List records, the youngest first",
		Long: `List records, the youngest first. LAPSED marks a reservation whose attempt has
no recorded outcome, so that it is not known: see semel records show, release and
complete. In small letters it marks one that had no effect yet, whose next
request runs by itself. REF is what answers and the log carry, given the
--secret-file of the proxy.

With --lapsed it lists exactly what needs a decision, the oldest first.`,
		Example: `  semel records list --lapsed
  semel records list --route 'POST /v1/payments' --older-than 1h --state reserved
  semel records list --state completed --limit 0 --output jsonl`,
		Args: nothing(),
	}
	var l listing
	addStates(cmd, &l)
	cmd.Flags().StringVar(&l.scope, "scope", "", "only records of this `SCOPE`, as the last column prints it")
	cmd.Flags().StringVar(&l.route, "route", "", "only records of this `ROUTE`, as show prints it")
	cmd.Flags().StringVar(&l.older, "older-than", "", "only records that were reserved longer ago than this `DURATION`")
	cmd.Flags().StringVar(&l.newer, "newer-than", "", "only records that were reserved within this `DURATION`")
	cmd.Flags().StringVar(&l.after, "after", "", "go on behind this `PLACE`, which a list that was cut has printed")
	cmd.Flags().IntVar(&l.limit, "limit", 50, "stop after `N` records; 0 lists all")
	l.reveal = addRevealing(cmd, "the keys, which are secrets,")
	l.format = addOutput(cmd, formatTable, formatJSON, formatLines)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := l.filter()
		if err != nil {
			return err
		}
		return a.operate(cmd, l.reveal.use(), func(ctx context.Context, o *operator) error {
			list := o.list
			if l.lapsed {
				list = o.worklist
			}
			if !l.reveal.wanted {
				return list(ctx, &l, filter)
			}
			deed, err := o.deed(&l)
			if err != nil {
				return err
			}
			var listed error // has its code already
			err = o.Perform(ctx, deed, func(context.Context) error {
				listed = list(ctx, &l, filter)
				return listed
			})
			if listed != nil {
				return listed
			}
			return deskFault(o.unrecorded(err))
		})
	}
	return cmd
}

// addStates gives cmd the flags that choose by state.
func addStates(cmd *cobra.Command, l *listing) {
	cmd.Flags().StringSliceVar(&l.states, "state", nil, "only these `STATES`: free, reserved, completed, or lapsed alone (default all)")
	propose(cmd, "state", ownStates())
	cmd.Flags().BoolVar(&l.lapsed, "lapsed", false, "only what needs a decision: reservations whose outcome is not known")
}

func (l *listing) filter() (semel.Filter, error) {
	f := semel.Filter{Scope: l.scope, Route: l.route, Lapsed: l.lapsed}
	if err := errors.Join(l.format.check(), l.reveal.check()); err != nil {
		return f, err
	}
	var err error
	if f.MinAge, err = ageFlag("older-than", l.older); err != nil {
		return f, err
	}
	if f.MaxAge, err = ageFlag("newer-than", l.newer); err != nil {
		return f, err
	}
	if f.After, err = parsePlace(l.after); err != nil {
		return f, err
	}
	if l.lapsed && l.after != "" {
		return f, wrong("--state lapsed has pages, the youngest first", "--after is not for --lapsed, which begins with the oldest")
	}
	if l.limit < 0 {
		return f, wrong("0 lists all", "--limit: %d is less than 0", l.limit)
	}
	if l.limit > 0 && !l.lapsed { // whose oldest come last
		f.Limit = l.limit + 1 // one more, to see that there are more
	}
	if slices.Contains(l.states, stateLapsed) {
		if len(l.states) > 1 {
			return f, wrong("lapsed records are reserved ones: take --state reserved, or --state lapsed alone", "--state: lapsed stands beside other states")
		}
		f.States, f.Lapsed = []semel.State{semel.StateReserved}, true
		return f, nil
	}
	for _, name := range l.states {
		state, ok := parseState(name)
		if !ok {
			return f, wrong("known are free, reserved, completed and lapsed", "--state: unknown state %q", name)
		}
		f.States = append(f.States, state)
	}
	return f, nil
}

// stateLapsed chooses what is lapsed, whether it needs a decision or not.
const stateLapsed = "lapsed"

func parseState(name string) (semel.State, bool) {
	for _, s := range []semel.State{semel.StateFree, semel.StateReserved, semel.StateCompleted} {
		if name == s.String() {
			return s, true
		}
	}
	return 0, false
}

// list prints the records as they come, so that a long list needs no memory.
func (o *operator) list(ctx context.Context, l *listing, filter semel.Filter) error {
	p := o.printer(l)
	p.begin()
	n := 0
	more := false
	var last semel.Place
	err := o.each(ctx, filter, func(rec semel.Record) bool {
		if l.limit > 0 && n == l.limit {
			more = true
			return false
		}
		p.record(rec, n == 0)
		n++
		last = rec.Place()
		return o.out.err == nil
	})
	if err != nil {
		return o.cut(p, n, err)
	}
	p.end(n)
	if more {
		o.say("hint: there are more than %d records: --after %s goes on, --limit 0 lists all", l.limit, formatPlace(last))
	}
	if filter.Lapsed {
		o.tellMargin()
	}
	return nil
}

// worklist prints what needs a decision, the oldest first: somebody has waited for
// it the longest. It holds all of it in memory, without responses.
func (o *operator) worklist(ctx context.Context, l *listing, filter semel.Filter) error {
	var work []semel.Record
	themselves := 0
	err := o.each(ctx, filter, func(rec semel.Record) bool {
		if o.NeedsDecision(rec) {
			work = append(work, rec)
		} else {
			themselves++
		}
		return true
	})
	slices.SortStableFunc(work, func(a, b semel.Record) int { return a.CreatedAt.Compare(b.CreatedAt) })
	p := o.printer(l)
	p.begin()
	n := len(work)
	if l.limit > 0 {
		n = min(n, l.limit)
	}
	for i, rec := range work[:n] {
		p.record(rec, i == 0)
	}
	if err != nil {
		return o.cut(p, n, err)
	}
	p.end(n)
	if n < len(work) {
		o.say("hint: %d more need a decision: --limit 0 lists all", len(work)-n)
	}
	if themselves > 0 {
		o.say("hint: %d more lapsed without any effect and run again by themselves: --state lapsed lists them", themselves)
	}
	o.tellMargin()
	return nil
}

// tellMargin says that a long margin hides what is lapsed for those who have a shorter one.
func (o *operator) tellMargin() {
	if o.cfg.Margin > semel.DefaultMargin {
		o.say("hint: what has lapsed within the last %v is left out: --margin", o.cfg.Margin)
	}
}

// cut ends a list that err keeps from being whole, so that nobody takes it for all there
// is: neither who reads nor a program, for which JSON is not closed.
func (o *operator) cut(p printer, n int, err error) error {
	p.cut()
	o.say("the list is incomplete: it ends after %s", records(n))
	return err
}

// printer prints a list in one format: to its end, or as far as it came.
type printer struct {
	begin  func()
	record func(rec semel.Record, first bool)
	end    func(n int)
	cut    func()
}

func (o *operator) printer(l *listing) printer {
	none := func() {}
	line := func(rec semel.Record) string {
		text, err := json.Marshal(o.view(rec, l.reveal.wanted))
		if err != nil { // a year that RFC 3339 cannot write
			return strconv.Quote(err.Error())
		}
		return string(text)
	}
	switch l.format.value {
	case formatLines:
		return printer{none, func(rec semel.Record, _ bool) { o.out.printf("%s\n", line(rec)) }, func(int) {}, none}
	case formatJSON:
		return printer{
			func() { o.out.printf("[") },
			func(rec semel.Record, first bool) {
				separator := ",\n "
				if first {
					separator = "\n "
				}
				o.out.printf("%s%s", separator, line(rec))
			},
			func(n int) {
				if n > 0 {
					o.out.printf("\n")
				}
				o.out.printf("]\n")
			},
			func() { o.out.printf("\n") },
		}
	}
	t := table{operator: o, colors: o.colors(), now: time.Now(), reveal: l.reveal.wanted}
	return printer{none, t.record, func(n int) {
		if n == 0 {
			o.say("no records")
		}
	}, none}
}

// table prints records in columns.
type table struct {
	*operator
	colors bool
	now    time.Time
	reveal bool
}

const (
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

func (t table) record(rec semel.Record, first bool) {
	const columns = "%-12s  %-12s  %s  %6s  %8s  %-16s  %7s  %-10s  %-20s  %s"
	if first {
		t.row(columns, "SLOT", "REF", fmt.Sprintf("%-9s", "STATE"), "STATUS", "ATTEMPTS", "FENCE", "AGE", "EXPIRES", "OWNER", "SCOPE", "KEY")
	}
	state := fmt.Sprintf("%-9s", t.stateOf(rec))
	if t.NeedsDecision(rec) && t.colors {
		state = red + state + plain
	}
	status := "-"
	if rec.Response.Status != 0 {
		status = strconv.Itoa(rec.Response.Status)
	}
	t.row(columns, rec.Key.Slot().String()[:12], t.engine.Ref(rec.Key), state, status, strconv.Itoa(rec.Attempts), strconv.FormatInt(rec.Fence, 10),
		span(t.now.Sub(rec.CreatedAt)), expiry(rec, t.now), printable(rec.Owner), printable(rec.Key.Scope), printable(rec.Key.ID))
}

// ageFlag reads a duration that bounds ages; "" is no bound.
func ageFlag(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err == nil && d == 0 {
		err = errors.New("it is not more than zero")
	}
	if err != nil {
		return 0, wrong("give a duration such as 90s, 2h or 7d", "--%s: %w", name, err)
	}
	return d, nil
}

// formatPlace writes a place as parsePlace reads it: microseconds since 1970 and the slot.
func formatPlace(p semel.Place) string {
	return strconv.FormatInt(p.CreatedAt.UnixMicro(), 10) + "-" + p.Slot.String()
}

func parsePlace(text string) (semel.Place, error) {
	if text == "" {
		return semel.Place{}, nil
	}
	micros, digits, _ := strings.Cut(text, "-")
	at, err := strconv.ParseInt(micros, 10, 64)
	slot, slotErr := operators.ParseSlot(digits)
	if err != nil || slotErr != nil {
		return semel.Place{}, wrong("a list that was cut prints one", "--after: %q is no place in a list", text)
	}
	return semel.Place{CreatedAt: time.UnixMicro(at), Slot: slot}, nil
}

// row prints the cells, the last of which is the key.
func (t table) row(columns string, cells ...any) {
	if t.reveal {
		columns += "  %s"
	} else {
		cells = cells[:len(cells)-1]
	}
	t.out.printf(columns+"\n", cells...)
}
