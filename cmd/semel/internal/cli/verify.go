package cli

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel/cmd/semel/internal/verify"
)

const formatJUnit = "junit"

// verifying is what semel verify was asked for.
type verifying struct {
	profile, keyHeader                         string
	method, contentType                        string
	body, otherBody, declined, transient, slow string
	slowURL, otherURL, effects, ca             string
	header, other, ignore                      []string
	requireKey                                 bool
	maxKey, maxRequests, concurrency           int
	timeout, requestTimeout                    time.Duration
	strict, yes, dryRun                        bool
	format                                     *outputFlag
}

func (a *app) verify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify URL",
		Short: "Check from outside what an endpoint promises about idempotency keys",
		Long: `Check over HTTP alone how an endpoint treats idempotency keys, whoever wrote it:
replays, conflicts, duplicates in flight, keys of all forms, callers, clients
that leave, caches. A rule that cannot be tried is skipped with the reason; it
never passes.

It sends requests that take effect, to the URLs that it is given and nowhere
else: it follows no redirect and uses no proxy. Take a test system. It asks
first when the endpoint or the counter is not on this machine; --dry-run only says what would
be tried.

A body is text, @FILE, or @- for standard input. In it {{n}} becomes a number
and {{key}} the key, the same in each retry and another one for each operation.

The exit code is 1 when a rule with the severity must is broken, or when not
all rules could be tried in the limits.`,
		Example: `  semel verify http://127.0.0.1:8080/payments --header 'Authorization: Bearer alice' \
      --other-header 'Authorization: Bearer bob' --body '{"amount": 100}' \
      --effects http://127.0.0.1:3000/stats#/payments
  semel verify https://staging.example.com/charges --profile stripe --body @charge.json --output junit --yes`,
		Args: exactly(1, "the URL of an endpoint"),
	}
	v := addVerifying(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := v.format.check(); err != nil {
			return err
		}
		target, cfg, err := v.read(a, args[0], cmd.Flags().Changed("require-key"))
		if err != nil {
			return err
		}
		return a.check(cmd.Context(), v, target, cfg)
	}
	return cmd
}

func addVerifying(cmd *cobra.Command) *verifying {
	v, f := new(verifying), cmd.Flags()
	f.SortFlags = false
	f.StringVar(&v.profile, "profile", "ietf", "what the endpoint promises, a `NAME`: "+strings.Join(verify.ProfileNames(), ", "))
	propose(cmd, "profile", verify.ProfileNames())
	f.StringVar(&v.keyHeader, "key-header", "", "field that carries the key, a `NAME` (default that of the profile)")
	f.BoolVar(&v.requireKey, "require-key", false, "a request without a key is refused, or with =false is not (default as the profile says)")
	f.IntVar(&v.maxKey, "max-key", 0, "longest key in `BYTES` (default that of the profile)")
	f.StringVarP(&v.method, "method", "X", http.MethodPost, "`METHOD`: "+strings.Join(verify.Methods(), ", "))
	propose(cmd, "method", verify.Methods())
	f.StringVarP(&v.body, "body", "d", "", "`BODY` of a request that succeeds")
	f.StringVar(&v.contentType, "content-type", "application/json", "media `TYPE` of all bodies")
	f.StringArrayVarP(&v.header, "header", "H", nil, "field of every request as `'NAME: VALUE'`; repeatable")
	f.StringArrayVar(&v.other, "other-header", nil, "the same field for another caller, as `'NAME: VALUE'`; repeatable")
	f.StringVar(&v.effects, "effects", "", "`URL` that counts what was done; its fragment is a JSON Pointer to the number, such as #/payments")
	f.StringVar(&v.otherBody, "other-body", "", "`BODY` of another request that succeeds (default --body with another number)")
	f.StringVar(&v.slow, "slow-body", "", "`BODY` of a request that takes about a second")
	f.StringVar(&v.slowURL, "slow-url", "", "`URL` on the same server whose requests take about a second")
	f.StringVar(&v.otherURL, "other-url", "", "`URL` on the same server that takes the same request")
	f.StringVar(&v.declined, "declined-body", "", "`BODY` of a request that gets a final error, such as a declined card")
	f.StringVar(&v.transient, "transient-body", "", "`BODY` of a request that gets 503 the first time")
	f.StringArrayVar(&v.ignore, "ignore", nil, "response field that differs in every answer on purpose, a `NAME`; repeatable")
	f.IntVar(&v.concurrency, "concurrency", 8, "send `N` duplicates at once, 2 to 64")
	f.IntVar(&v.maxRequests, "max-requests", 200, "send at most `N` requests, those to --effects included")
	f.DurationVar(&v.timeout, "timeout", time.Minute, "end after this `DURATION`")
	f.DurationVar(&v.requestTimeout, "request-timeout", 5*time.Second, "wait this `DURATION` for one answer")
	f.StringVar(&v.ca, "ca", "", "trust these authorities for an https URL instead of the system's, PEM `FILE`")
	f.BoolVar(&v.strict, "strict", false, "rules with the severity should count as well")
	addAsking(cmd, &v.yes, &v.dryRun)
	v.format = addOutput(cmd, formatTable, formatJSON, formatJUnit)
	return v
}

// least is the severity from which a broken rule counts.
func (v *verifying) least() verify.Severity {
	if v.strict {
		return verify.Should
	}
	return verify.Must
}

// check asks, runs, and prints what was found.
func (a *app) check(ctx context.Context, v *verifying, t verify.Target, cfg verify.Config) error {
	if v.dryRun {
		a.plan(t, cfg)
		return nil
	}
	if !local(t) {
		a.say("%s %s will get up to %d requests in %v, and what they ask for happens", t.Method, verify.ShowURL(t.URL), cfg.MaxRequests, cfg.Timeout)
		if t.Effects.URL != nil {
			a.say("%s is asked how often it has happened", verify.ShowURL(t.Effects.URL))
		}
		if err := a.confirm(ctx, "Go on?", v.yes, "--yes"); err != nil {
			return err
		}
	}
	progress := a.progress("tried", 0)
	cfg.Progress = func(done, of int, rule string) { progress.line("rule %d of %d: %s", done+1, of, rule) }
	report, err := verify.Run(ctx, t, cfg)
	progress.end()
	if err != nil {
		return verifyFault(ctx, err)
	}
	switch v.format.value {
	case formatJSON:
		err = a.writeJSON(report.View())
	case formatJUnit:
		err = report.WriteJUnit(a.out, v.least())
	default:
		err = report.WriteTable(a.out, a.paint())
	}
	if err != nil {
		return outside("", "standard output: %w", err)
	}
	switch n := report.Broken(v.least()); {
	case n == 1:
		return refused("", "1 rule is broken")
	case n > 1:
		return refused("", "%d rules are broken", n)
	case ctx.Err() != nil:
		return refused("", "stopped; not every rule was tried")
	case !report.Complete:
		return refused("raise --max-requests or --timeout; the report says what was not run", "not every rule was tried")
	}
	return nil
}

// verifyFault gives what keeps a run from beginning its code and hint.
func verifyFault(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return refused("", "stopped before a rule was tried")
	case errors.Is(err, verify.ErrRedirect):
		return outside("give the URL that it ends at", "%w", err)
	case errors.Is(err, verify.ErrNotServed):
		return outside("give a request that succeeds under a fresh key: --body, --header, --method, --key-header", "%w", err)
	case errors.Is(err, verify.ErrCounter):
		return outside("--effects is the URL of a whole number that grows with each operation; its fragment says where in a JSON answer", "%w", err)
	case errors.Is(err, verify.ErrUnreachable):
		return outside("is it running, and is the port right?", "%w", err)
	}
	return outside("raise --timeout, --request-timeout or --max-requests", "nothing could be tried: %w", err)
}

// plan says what would be sent, and which rules could not be tried.
func (a *app) plan(t verify.Target, cfg verify.Config) {
	a.out.printf("%s %s, profile %s, key in %s: up to %d requests in %v\n\n",
		t.Method, verify.ShowURL(t.URL), cfg.Profile.Name, cfg.Profile.Header, cfg.MaxRequests, cfg.Timeout)
	if t.Effects.URL != nil {
		a.out.printf("GET %s counts the effects\n\n", verify.ShowURL(t.Effects.URL))
	}
	for _, rule := range verify.Rules() {
		if why := rule.Skipped(t, cfg.Profile); why != "" {
			a.out.printf("skip  %-20s %s: %s\n", rule.ID, rule.Title, why)
		} else {
			a.out.printf("try   %-20s %s\n", rule.ID, rule.Title)
		}
	}
}

// paint is how results are painted; nil when they are not.
func (a *app) paint() verify.Paint {
	if !a.colors() {
		return nil
	}
	return func(s verify.Status, text string) string {
		switch s {
		case verify.Failed:
			return red + text + plain
		case verify.Noted:
			return yellow + text + plain
		case verify.Passed, verify.Skipped:
		}
		return text
	}
}

// local reports whether everything that is sent stays on this machine.
func local(t verify.Target) bool {
	return isLoopback(t.URL) && (t.Effects.URL == nil || isLoopback(t.Effects.URL))
}

// isLoopback reports whether u is on this machine.
func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}
