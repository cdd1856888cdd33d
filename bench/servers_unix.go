//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// serverGroups measure the stores on servers, each beside what its server lets
// anybody do.
func serverGroups() []group {
	return []group{
		{"postgres", onServers("PostgreSQL", postgresGroup)},
		{"mariadb", onServers("MariaDB", mariadbGroup)},
		{"redis", onServers("Redis", redisGroup)},
		{"nats", onServers("NATS JetStream", natsGroup)},
		{"transactions", onServers("Transactional completion", transactionsGroup)},
	}
}

// closeServers removes what servertest has left for the next group.
func closeServers() { servertest.Close() }

// rig is what servertest is given in the place of a test. Fatal, Fatalf and Skip
// end the group.
type rig struct {
	*env
	cleanups []func()
	failed   bool
}

var _ servertest.TB = (*rig)(nil)

// rigEnd is what a rig panics with.
type rigEnd struct {
	reason  string
	skipped bool
}

func (r *rig) Helper() {}

func (r *rig) Logf(format string, args ...any) { r.progress(format, args...) }

func (r *rig) Fatal(args ...any) {
	r.failed = true
	panic(rigEnd{reason: fmt.Sprint(args...)})
}

func (r *rig) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *rig) Skip(args ...any) { panic(rigEnd{fmt.Sprint(args...), true}) }

func (r *rig) Failed() bool { return r.failed }

func (r *rig) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// need returns the path of a program that drives a server. Without it the group
// is not measured, as without the server.
func (r *rig) need(program string, patterns ...string) string {
	for _, pattern := range append(patterns, filepath.Join("/usr/bin", program), filepath.Join("/usr/local/bin", program)) {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[len(found)-1]
		}
	}
	missing := program + " is not installed: make servers"
	if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
		r.Fatal(missing)
	}
	r.Skip(missing)
	return ""
}

// onServers makes a group of a function that starts servers.
func onServers(title string, measure func(ctx context.Context, r *rig) (section, error)) func(context.Context, *env) (section, error) {
	return func(ctx context.Context, e *env) (s section, err error) {
		r := &rig{env: e}
		defer func() {
			thrown := recover()
			r.failed = r.failed || thrown != nil || err != nil
			for _, f := range slices.Backward(r.cleanups) {
				f()
			}
			end, ours := thrown.(rigEnd)
			switch {
			case thrown == nil:
			case !ours:
				panic(thrown)
			case end.skipped:
				s = section{title: title, method: "Not measured: " + end.reason + ".", missing: true}
			default:
				err = fmt.Errorf("%s", end.reason)
			}
		}()
		s, err = measure(ctx, r)
		s.title = title
		return s, err
	}
}

// settingsOf says what the server is and which of its settings the figures rest
// on, as the store found them.
func settingsOf(ctx context.Context, s semel.Inspector, names ...string) (string, error) {
	found, err := s.Inspect(ctx)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, f := range found.Findings {
		if slices.Contains(names, f.Name) {
			texts = append(texts, f.Name+" "+f.Value)
		}
	}
	return fmt.Sprintf("%s (%s; files on %s)", found.Server, strings.Join(texts, ", "), fileSystem(os.TempDir())), nil
}
