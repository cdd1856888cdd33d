//go:build unix

package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Server is a database's server that can be killed and started again.
type Server interface {
	Kill() error
	Start() error
}

// Line leads to the database's server and can be broken: all its connections end, at once
// for the app and for the server when it looks, and new ones are let through.
type Line interface{ Break() }

// Config says what to run.
type Config struct {
	// Kind is "postgres", "mariadb" or "sqlite", and DSN its database, which is empty.
	Kind, DSN string
	// Server is killed, too; nil for none.
	Server Server
	// Line is broken, too; nil for none. FarDSN is the database at its other end, for one of
	// the apps. On PostgreSQL commits of a session whose application_name is FarName are
	// often slow, so that they go on while nobody is there any more to hear of them.
	Line   Line
	FarDSN string
	// For is how long things are killed.
	For time.Duration
	// Seed chooses orders and faults.
	Seed uint64
	// Dir is for the clients' files.
	Dir string
}

// FarName is the application_name of the sessions that come by the [Line].
const FarName = "far"

const (
	apps    = 3
	clients = 2
	workers = 8
	drain   = 30 * time.Second
)

// Run moves money while everything is killed, and audits the books. An error means
// that nothing could be found out; what must not be is in [Report].Broken.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	b, err := openBank(ctx, cfg.Kind, cfg.DSN, sql.LevelSerializable)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.migrate(ctx); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, bank: b, report: &Report{}}
	defer r.end()
	if err := r.startApps(); err != nil {
		return nil, err
	}
	if err := r.startClients(); err != nil {
		return nil, err
	}
	stop := r.revive()
	if err := r.disturb(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	all, err := r.finish()
	if err := errors.Join(err, stop()); err != nil {
		return nil, err
	}
	found, err := b.audit(ctx)
	if err != nil {
		return nil, err
	}
	r.report.check(found, all)
	return r.report, nil
}

// run is one run.
type run struct {
	cfg     Config
	bank    bank
	report  *Report
	until   time.Time
	addrs   []string
	clients []*process
	files   []string

	mu   sync.Mutex // guards apps and what they count
	apps []*process
}

func (r *run) startApps() error {
	for range apps {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		r.addrs = append(r.addrs, listener.Addr().String())
		defer func() { _ = listener.Close() }() // when all ports are known, so that they differ
	}
	r.apps = make([]*process, apps)
	return nil
}

func (r *run) startApp(n int) (err error) {
	dsn := r.cfg.DSN
	if n == apps-1 && r.cfg.Line != nil {
		dsn = r.cfg.FarDSN
	}
	r.apps[n], err = start("app", appConfig{r.cfg.Kind, dsn, r.addrs[n], levels[n%len(levels)]})
	return err
}

func (r *run) startClients() error {
	for n := range r.apps {
		if err := r.startApp(n); err != nil {
			return err
		}
	}
	r.until = time.Now().Add(r.cfg.For)
	for n := range clients {
		file := filepath.Join(r.cfg.Dir, fmt.Sprintf("client-%d.json", n))
		p, err := start("client", clientConfig{
			Name: fmt.Sprintf("c%d", n), Addrs: r.addrs, Workers: workers, Seed: r.cfg.Seed + uint64(n),
			Until: r.until, Drain: drain, Out: file,
			Idles: r.cfg.Kind != "sqlite", // whose only writer would idle with them
		})
		if err != nil {
			return err
		}
		r.clients, r.files = append(r.clients, p), append(r.files, file)
	}
	return nil
}

// revive starts apps that have crashed, until it is stopped. It is an error if an app has
// ended in any other way.
func (r *run) revive() (stop func() error) {
	var all errgroup
	done := make(chan struct{})
	all.Go(func() error {
		for {
			select {
			case <-done:
				return nil
			case <-time.After(20 * time.Millisecond):
			}
			for n := range r.apps {
				if err := r.reviveApp(n); err != nil {
					return err
				}
			}
		}
	})
	return func() error {
		close(done)
		return all.Wait()
	}
}

func (r *run) reviveApp(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.apps[n].ended:
	default:
		return nil
	}
	if !r.apps[n].killed() {
		return errors.Join(fmt.Errorf("app %d has ended by itself", n), r.apps[n].wait())
	}
	r.report.Crashes++
	return r.startApp(n)
}

// disturb kills until it is time to stop. In the end everything runs.
func (r *run) disturb(ctx context.Context) error {
	var all errgroup
	all.Go(func() error { return r.killApps(r.dice(3)) })
	all.Go(func() error { return r.pauseApps(r.dice(4)) })
	if r.cfg.Server != nil {
		all.Go(func() error { return r.killServer(r.dice(5)) })
	}
	if r.cfg.Line != nil {
		all.Go(func() error { return r.breakLine(ctx, r.dice(6)) })
	}
	return all.Wait()
}

func (r *run) dice(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.cfg.Seed, stream))
}

// rest sleeps for a while between the bounds and reports whether there is time left.
func (r *run) rest(dice *rand.Rand, least, most time.Duration) bool {
	time.Sleep(least + time.Duration(dice.Int64N(int64(most-least))))
	return time.Now().Before(r.until)
}

func (r *run) killApps(dice *rand.Rand) error {
	for r.rest(dice, 400*time.Millisecond, 1400*time.Millisecond) {
		n := dice.IntN(apps)
		r.mu.Lock()
		r.report.AppKills++
		r.apps[n].kill()
		err := r.startApp(n)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// pauseApps halts an app for longer than a lease, so that it comes back as one that
// was overtaken.
func (r *run) pauseApps(dice *rand.Rand) error {
	for r.rest(dice, time.Second, 2*time.Second) {
		r.mu.Lock()
		p := r.apps[dice.IntN(apps)]
		r.mu.Unlock()
		p.signal(syscall.SIGSTOP)
		time.Sleep(1500 * time.Millisecond)
		p.signal(syscall.SIGCONT)
	}
	return nil
}

func (r *run) killServer(dice *rand.Rand) error {
	for r.rest(dice, time.Second, 4*time.Second) {
		r.report.ServerKills++
		if err := r.cfg.Server.Kill(); err != nil {
			return err
		}
		if err := r.cfg.Server.Start(); err != nil {
			return err
		}
	}
	return nil
}

// breakLine breaks the line at random moments, and mostly while a commit is under way.
func (r *run) breakLine(ctx context.Context, dice *rand.Rand) error {
	w, watches := r.bank.(watcher)
	for r.rest(dice, 50*time.Millisecond, 150*time.Millisecond) {
		if watches && dice.IntN(10) > 0 && !w.committing(ctx) {
			continue
		}
		r.report.Breaks++
		r.cfg.Line.Break()
	}
	return nil
}

// errgroup runs functions and joins their errors.
type errgroup struct {
	running sync.WaitGroup
	mu      sync.Mutex
	err     error
}

func (g *errgroup) Go(f func() error) {
	g.running.Go(func() {
		err := f()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.err = errors.Join(g.err, err)
	})
}

func (g *errgroup) Wait() error {
	g.running.Wait()
	return g.err
}

// finish waits for the clients and reads what they have seen.
func (r *run) finish() ([]*seen, error) {
	var all []*seen
	for n, p := range r.clients {
		if err := p.wait(); err != nil {
			return nil, fmt.Errorf("client %d: %w", n, err)
		}
		text, err := os.ReadFile(r.files[n])
		if err != nil {
			return nil, err
		}
		var some []*seen
		if err := json.Unmarshal(text, &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// end kills what is left.
func (r *run) end() {
	for _, p := range append(r.apps, r.clients...) {
		if p != nil {
			p.kill()
		}
	}
}
