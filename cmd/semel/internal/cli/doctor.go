package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/doctor"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

func (a *app) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a store, and say what to change",
		Long: `Examine a store: whether it can be reached, its schema, its settings, its clock,
how long a round trip takes, and what it survives. Nothing is written without
--probe. The exit code is 1 when something is broken.`,
		Example: `  semel doctor --store postgres://semel@db.internal/payments
  semel doctor --store redis://127.0.0.1:6379/0 --probe --output json`,
		Args: nothing(),
	}
	addSettings(cmd, cmd.Flags(), "store")
	addConfig(cmd.Flags())
	probe := cmd.Flags().Bool("probe", false, "reserve, complete and replay ten slots of its own; semel records list shows them for a minute, and until they are purged")
	timeout := cmd.Flags().Duration("timeout", 15*time.Second, "give up after this `DURATION`")
	format := addOutput(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := format.check(); err != nil {
			return err
		}
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return a.examine(ctx, cfg, *probe, format.value == formatJSON)
	}
	return cmd
}

// examine prints a report. A store that is broken is not written to.
func (a *app) examine(ctx context.Context, cfg config.Config, probe, asJSON bool) error {
	var report *doctor.Report
	kind := ""
	err := a.withStore(ctx, cfg, stores.Examine, func(opened *stores.Opened) (err error) {
		kind = opened.Kind
		report, err = doctor.Examine(ctx, opened.Store)
		return err
	})
	if err == nil && probe && report.Worst() != semel.Broken {
		err = a.withStore(ctx, cfg, stores.Change, func(opened *stores.Opened) error {
			return report.Probe(ctx, opened.Store)
		})
	}
	if err != nil {
		return openFault(cfg, err)
	}
	if asJSON {
		err = a.writeJSON(viewReport(kind, report))
	} else {
		a.printReport(kind, report)
	}
	if err == nil && report.Worst() == semel.Broken {
		err = refused("what is marked broken must be mended first", "the store must not serve like this")
	}
	return err
}

// withStore opens the store for the time of f.
func (a *app) withStore(ctx context.Context, cfg config.Config, use stores.Use, f func(*stores.Opened) error) error {
	opened, err := stores.Open(ctx, cfg.Store, stores.Options{Use: use, Logger: a.logger(cfg, cfg.LogLevel)})
	if err != nil {
		return err
	}
	return errors.Join(f(opened), opened.Close())
}

const yellow = "\x1b[33m"

func (a *app) printReport(kind string, r *doctor.Report) {
	line := func(name, format string, args ...any) {
		a.out.printf("%-10s "+format+"\n", append([]any{name}, args...)...)
	}
	server := kind
	if r.Server != "" {
		server += ", " + printable(r.Server)
	}
	line("store", "%s", server)
	if r.Grade.Letter != "" {
		line("grade", "%s: %s", r.Grade.Letter, r.Grade.Survives)
	}
	if r.Clock != nil {
		line("clock", "%+.1f ms against this machine's, give or take %.1f ms", millis(r.Clock.Ahead), millis(r.Clock.Within))
	}
	for _, t := range r.Trips {
		line(t.Step, "%.2f ms, the median of %d; the slowest %.2f ms", millis(t.Median), t.Count, millis(t.Slowest))
	}
	for _, f := range r.Findings {
		mark := f.Level.String()
		if a.colors() && f.Level != semel.Fine {
			paint := yellow
			if f.Level == semel.Broken {
				paint = red
			}
			mark = paint + mark + plain
		}
		a.out.printf("%s%*s %s: %s\n", mark, 10-len(f.Level.String()), "", f.Name, cmp.Or(printable(f.Value), "none"))
		if f.Advice != "" {
			a.out.printf("%10s %s\n", "", f.Advice)
		}
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// reportView is a report as JSON. Times are in milliseconds.
type reportView struct {
	Store    string        `json:"store"`
	Server   string        `json:"server,omitempty"`
	Verdict  string        `json:"verdict"`
	Grade    string        `json:"grade,omitempty"`
	Survives string        `json:"survives,omitempty"`
	Clock    *clockView    `json:"clock,omitempty"`
	Trips    []tripView    `json:"trips"`
	Findings []findingView `json:"findings"`
}

type clockView struct {
	Ahead  float64 `json:"ahead_ms"`
	Within float64 `json:"within_ms"`
}

type tripView struct {
	Step    string  `json:"step"`
	Count   int     `json:"count"`
	Median  float64 `json:"median_ms"`
	Slowest float64 `json:"slowest_ms"`
}

type findingView struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Level  string `json:"level"`
	Advice string `json:"advice,omitempty"`
}

func viewReport(kind string, r *doctor.Report) reportView {
	v := reportView{
		Store: kind, Server: r.Server, Verdict: r.Worst().String(), Grade: r.Grade.Letter, Survives: r.Grade.Survives,
		Trips: []tripView{}, Findings: []findingView{},
	}
	if r.Clock != nil {
		v.Clock = &clockView{millis(r.Clock.Ahead), millis(r.Clock.Within)}
	}
	for _, t := range r.Trips {
		v.Trips = append(v.Trips, tripView{t.Step, t.Count, millis(t.Median), millis(t.Slowest)})
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, findingView{f.Name, f.Value, f.Level.String(), f.Advice})
	}
	return v
}
