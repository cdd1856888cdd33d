package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

// reloader gives a running proxy new settings on SIGHUP.
type reloader struct {
	server  *proxy.Server
	holds   *atomic.Pointer[config.Config] // what the proxy runs with; only reload replaces it
	files   map[string]fileSum             // what it read at the start
	again   func() (config.Config, error)
	opened  *stores.Opened
	metrics *proxy.Metrics
	keys    *liveKeys // nil when nothing is sealed
	log     *slog.Logger
	level   *slog.LevelVar
}

// start waits for signals until what it returns is called, which waits for a reload that
// is under way.
func (r *reloader) start(ctx context.Context) (stop func(), err error) {
	if r.files, err = fixedFiles(*r.holds.Load()); err != nil {
		return nil, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-signals:
				r.reload(ctx)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(quit)
		<-done
	}, nil
}

// reload changes all or nothing.
func (r *reloader) reload(ctx context.Context) {
	cfg, err := r.next()
	if err != nil {
		r.log.ErrorContext(ctx, "the settings are not reloaded; those from before stand", "err", err)
		return
	}
	r.level.Set(cfg.LogLevel)
	if names := r.holds.Load().Reidentifies(cfg); len(names) > 0 {
		r.log.WarnContext(ctx, "a request is now known by something else: a retry of what ran before can run again", "changed", strings.Join(names, ", "))
	}
	r.holds.Store(&cfg)
	warn(ctx, cfg, r.log)
	r.log.InfoContext(ctx, "the settings are reloaded", "upstream", cfg.Upstream.String(), "routes", len(cfg.Routes))
}

func (r *reloader) next() (config.Config, error) {
	cfg, err := r.again()
	if err != nil {
		return cfg, err
	}
	before := r.holds.Load()
	if names := before.Differs(cfg, config.Fixed()); len(names) > 0 {
		return cfg, fmt.Errorf("a restart is needed to change %s", strings.Join(names, ", "))
	}
	if (before.TLSCert == "") != (cfg.TLSCert == "") {
		return cfg, errors.New("a restart is needed to begin or end TLS")
	}
	files, err := fixedFiles(cfg)
	if err != nil {
		return cfg, err
	}
	for name, sum := range files {
		if sum != r.files[name] {
			return cfg, fmt.Errorf("a restart is needed to change what is in the file of %s", name)
		}
	}
	wanted, err := proxyConfig(cfg, r.opened, r.metrics, r.log)
	if err != nil {
		return cfg, err
	}
	takeKeys, err := r.keys.next(cfg)
	if err != nil {
		return cfg, err
	}
	if err := r.server.Reload(cfg.Scope.Func(), wanted); err != nil {
		return cfg, err
	}
	takeKeys()
	return cfg, nil
}

// fileSum is the hash of what a file holds.
type fileSum [sha256.Size]byte

// fixedFiles reads the files whose content a running proxy cannot change.
func fixedFiles(cfg config.Config) (map[string]fileSum, error) {
	sums := make(map[string]fileSum)
	for name, path := range map[string]string{"secret_file": cfg.SecretFile, "console_tokens": cfg.ConsoleTokens} {
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, outside("", "%s: %w", cfg.Where(name), err)
		}
		sums[name] = sha256.Sum256(text)
	}
	return sums, nil
}
