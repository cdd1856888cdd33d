package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/semelhttp"
)

func (a *app) proxy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "proxy --upstream URL",
		Short: "Stand before a service and make its operations run once",
		Long: `Stand before a service and make its operations run once, without a change to it.

A request with an idempotency key is forwarded once; its whole answer is kept
before it is sent, and every retry gets that answer. SIGTERM drains: requests in
flight end and are kept.

When nobody knows what became of a request, its retries are refused until an
operator says so, see semel records. A service that can tell is asked instead:
--lapsed recover and --recover-url, where it finds the operation by the field
Semel-Derived-Key that came with it.

Each flag --max-body is also the variable SEMEL_MAX_BODY and the name max_body in
the file of --config. Flags count before variables, variables before the file.
The file may have routes: a list of mappings with match, a pattern such as
"POST /v1/payments", and what differs there, or bypass: true.`,
		Example: `  semel proxy --upstream http://127.0.0.1:3000
  semel proxy --upstream http://127.0.0.1:3000 --lapsed recover --recover-url 'http://127.0.0.1:3000/operations/{key}'
  semel proxy --config semel.yaml --store sqlite:/var/lib/semel/semel.db`,
		Args: nothing(),
	}
	addSettings(cmd, cmd.Flags())
	addConfig(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.checked(cmd)
		if err != nil {
			return err
		}
		return a.serve(cmd.Context(), cfg, func() (config.Config, error) { return a.checked(cmd) })
	}
	return cmd
}

// serve runs the proxy until ctx ends. again gathers the settings anew.
func (a *app) serve(ctx context.Context, cfg config.Config, again func() (config.Config, error)) (err error) {
	level := new(slog.LevelVar)
	level.Set(cfg.LogLevel)
	log := a.logger(cfg, level)
	engineCfg, keys, err := engineConfig(cfg)
	if err != nil {
		return err
	}
	opened, err := stores.Open(ctx, cfg.Store, stores.Options{Use: stores.Serve, NoMigrate: !cfg.Migrate, Logger: log})
	if err != nil {
		return openFault(cfg, err)
	}
	defer func() { err = errors.Join(err, storeFault(opened.Close())) }()

	metrics := proxy.NewMetrics(readBuild().String())
	traces, end, err := openTraces(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer end()
	engineCfg = serving(engineCfg, cfg)
	meter := console.NewMeter()
	engineCfg.Observe, engineCfg.Logger = semel.Observers(metrics.Observe, traces.observe), log
	if cfg.HasConsole() {
		engineCfg.Observe = meter.Beside(engineCfg.Observe)
	}
	engine, err := newEngine(cfg, opened, engineCfg)
	if err != nil {
		return err
	}
	wanted, err := proxyConfig(cfg, opened, metrics, log)
	if err != nil {
		return err
	}
	holds := new(atomic.Pointer[config.Config])
	holds.Store(&cfg)
	if wanted.Console, err = a.consoleOf(engine, holds, meter, log); err != nil {
		return err
	}
	wanted.Tracer = traces.tracer
	server, err := proxy.New(engine, cfg.Scope.Func(), wanted)
	if err != nil {
		return wrong("", "%s", strings.TrimPrefix(err.Error(), "proxy: "))
	}
	if grader, ok := semel.As[semel.Grader](opened.Store); ok && !opened.Announces {
		grade := grader.Grade()
		log.InfoContext(ctx, "store", "kind", opened.Kind, "grade", grade.Letter, "survives", grade.Survives)
	}
	warn(ctx, cfg, log)
	reloads := reloader{server: server, holds: holds, again: again, opened: opened, metrics: metrics, keys: keys, log: log, level: level}
	stop, err := reloads.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := server.Run(ctx); err != nil {
		return runFault(cfg, err)
	}
	log.InfoContext(context.WithoutCancel(ctx), "drained")
	return nil
}

// newEngine makes the engine that serves. config has checked what New checks, but not the store.
func newEngine(cfg config.Config, opened *stores.Opened, with semel.Config) (*semel.Engine, error) {
	if _, ok := semel.As[semel.Messenger](opened.Store); cfg.WaitHints && !ok {
		return nil, wrong("leave it out, or use postgres://, redis:// or nats://", "%s: a store of kind %q carries no hints", cfg.Where("wait_hints"), opened.Kind)
	}
	engine, err := semel.New(opened.Store, with)
	if err != nil {
		return nil, wrong("", "%w", err)
	}
	return engine, nil
}

// serving adds to what an engine reads by what it serves by.
func serving(to semel.Config, cfg config.Config) semel.Config {
	to.Lease, to.Margin, to.MaxRun, to.Retention = cfg.Lease, orNone(cfg.Margin), cfg.MaxRun, cfg.Retention
	to.MaxWaiters, to.MaxWaitersPerKey, to.Hints = cfg.MaxWaiters, cfg.MaxWaitersPerKey, cfg.WaitHints
	return to
}

// warn says what a careful person would ask about.
func warn(ctx context.Context, cfg config.Config, log *slog.Logger) {
	if cfg.Scope.String() == "global" {
		log.WarnContext(ctx, "every caller shares one scope: who knows a key can read its answer")
	}
	failsOpen, shadows := cfg.FailOpen, cfg.Shadow
	for _, r := range cfg.Routes {
		failsOpen = failsOpen || r.FailOpen != nil && *r.FailOpen
		shadows = shadows || r.Shadow != nil && *r.Shadow
	}
	if failsOpen {
		log.WarnContext(ctx, "while the store fails requests run unguarded: what is sent twice happens twice")
	}
	if shadows {
		log.WarnContext(ctx, "a shadow guards nothing: it says what would have happened")
	}
}

func proxyConfig(cfg config.Config, opened *stores.Opened, metrics *proxy.Metrics, log *slog.Logger) (proxy.Config, error) {
	p := proxy.Config{
		Upstream: cfg.Upstream, UpstreamHost: cfg.UpstreamHost, UpstreamTimeout: cfg.UpstreamTimeout, UpstreamIdle: cfg.UpstreamIdle,
		TrustForwarded: cfg.TrustForwarded,
		Listen:         cfg.Listen, Admin: cfg.Admin, ReadTimeout: cfg.ReadTimeout, Drain: orNone(cfg.Drain),
		HTTP: semelhttp.Config{
			Preset: cfg.Preset, Settle: settleBy(cfg.Preset, cfg.Settle), Headers: cfg.KeyHeaders, MaxKey: cfg.MaxKey, KeyQuery: cfg.KeyQuery, KeyMember: cfg.KeyMember,
			Optional: cfg.Optional, Methods: cfg.Methods, MaxBody: cfg.MaxBody, MaxResponse: cfg.MaxResponse, Lapsed: cfg.Lapsed,
			MaxRun: cfg.MaxRun, Retention: cfg.Retention, Wait: cfg.Wait, // the lease is the engine's
		},
		FailOpen: cfg.FailOpen, Shadow: cfg.Shadow,
		RecoverURL: cfg.RecoverURL, RecoverTimeout: cfg.RecoverTimeout, Sweep: cfg.Sweep,
		Purging: semel.Purging{Batch: opened.PurgeBatch},
		Metrics: metrics, Logger: log, Version: readBuild().String(),
		Ready: func(listen, admin net.Addr) {
			attrs := []any{"listen", listen.String(), "upstream", cfg.Upstream.String(), "scope", cfg.Scope.String(), "preset", cfg.Preset.String(), "lapsed", cfg.Lapsed.String()}
			if admin != nil {
				attrs = append(attrs, "admin", admin.String())
			}
			log.Info("ready", attrs...)
		},
	}
	var err error
	if p.TLS, err = tlsServer(cfg); err != nil {
		return p, err
	}
	if p.UpstreamTLS, err = tlsUpstream(cfg); err != nil {
		return p, err
	}
	for _, r := range cfg.Routes {
		p.Routes = append(p.Routes, proxy.Route{
			Pattern: r.Pattern, Bypass: r.Bypass, RecoverURL: r.RecoverURL, Upstream: r.Upstream, Scope: r.Scope.Func(),
			FailOpen: r.FailOpen, Shadow: r.Shadow,
			Change: func(h *semelhttp.Config) {
				r.Change(h)
				rules := r.Settle
				if rules == nil {
					rules = cfg.Settle
				}
				h.Settle = settleBy(h.Preset, rules)
			},
		})
	}
	return p, nil
}

// settleBy returns the table of preset under rules, or nil for the preset's own.
func settleBy(preset semelhttp.Preset, rules []semelhttp.SettleRule) semelhttp.SettleFunc {
	if len(rules) == 0 {
		return nil
	}
	return semelhttp.SettleBy(preset.Settle(), rules...)
}

// orNone turns a zero that somebody asked for into what a Config takes for one.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (a *app) logger(cfg config.Config, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}

// leastSecret is the least length of a secret in bytes.
const leastSecret = 16

// readSecret reads the file of a secret, without the line break at its end.
func readSecret(cfg config.Config) ([]byte, error) {
	path := cfg.SecretFile
	if path == "" {
		return nil, nil
	}
	const hint = "make one with: head -c 32 /dev/urandom | base64 > FILE"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, outside(hint, "%s: %w", cfg.Where("secret_file"), err)
	}
	secret := bytes.TrimRight(text, "\r\n")
	if len(secret) < leastSecret {
		return nil, outside(hint, "%s: %s has %d bytes, less than %d", cfg.Where("secret_file"), path, len(secret), leastSecret)
	}
	return secret, nil
}

// openFault gives an error about the store that is set its code and hint.
func openFault(cfg config.Config, err error) error {
	if bad := (*stores.URLError)(nil); errors.As(err, &bad) {
		return wrong(stores.Hint(err), "%s: %w", cfg.Where("store"), err)
	}
	return outside(stores.Hint(err), "%s: %w", cfg.Where("store"), err)
}

// storeFault gives an error of an open store its code and hint.
func storeFault(err error) error {
	if err == nil {
		return nil
	}
	return outside(stores.Hint(err), "store: %w", err)
}

// runFault tells a listener that does not open from requests that did not end.
func runFault(cfg config.Config, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		for _, name := range []string{"listen", "admin"} {
			if strings.HasPrefix(err.Error(), "proxy: the setting "+name+": ") {
				err = fmt.Errorf("%s: %w", cfg.Where(name), op)
			}
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return outside("another process listens there: stop it, or choose another address", "%w", err)
	case errors.Is(err, syscall.EACCES):
		return outside("ports below 1024 need a privilege: choose another", "%w", err)
	case errors.As(err, &op):
		return outside("", "%w", err)
	}
	return refused("a longer --drain gives requests more time", "%w", err)
}
