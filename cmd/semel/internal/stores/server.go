package stores

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// server is what the stores that stand on servers have in common.
type server interface {
	semel.Store
	examinee
	Migrate(ctx context.Context) error
	Validate(ctx context.Context) error
	Close() error
}

// examinee is what semel doctor looks at.
type examinee interface {
	semel.Pinger
	semel.Inspector
	semel.Grader
}

// dialer makes a store from the whole URL. It fails only when the URL is wrong.
type dialer func(ctx context.Context, url string, opt Options) (server, error)

// serverKind is a kind of store whose URLs begin with name. One without usage is
// another name of a kind that has it.
func serverKind(name, usage string, schema func() string, dial dialer) kind {
	whole := func(rest string) string { return name + ":" + rest }
	return kind{
		name: name, usage: usage, schema: schema, params: true,
		check: func(rest string) string {
			if !strings.HasPrefix(rest, "//") || len(rest) == len("//") {
				return name + " needs a server: write " + cmp.Or(usage, name+"://HOST")
			}
			return ""
		},
		open: func(ctx context.Context, rest string, opt Options) (*Opened, error) {
			if opt.Use != Serve {
				opt.Logger = quiet
			}
			s, err := dial(ctx, whole(rest), opt)
			if err != nil {
				return nil, &URLError{err.Error()}
			}
			return openServer(ctx, s, opt)
		},
		migrate: func(ctx context.Context, rest string, opt Options) error {
			return withServer(ctx, dial, whole(rest), opt, server.Migrate)
		},
		validate: func(ctx context.Context, rest string, opt Options) error {
			return withServer(ctx, dial, whole(rest), opt, server.Validate)
		},
	}
}

// quiet is for the commands of an operator, who asks semel doctor what a store
// has to say about itself.
var quiet = slog.New(slog.DiscardHandler)

func withServer(ctx context.Context, dial dialer, url string, opt Options, f func(server, context.Context) error) error {
	opt.Logger = quiet
	s, err := dial(ctx, url, opt)
	if err != nil {
		return &URLError{err.Error()}
	}
	return errors.Join(f(s, ctx), s.Close())
}

// purgeBatch is what a server bears: it has more than one writer.
const purgeBatch = 1000

// openServer prepares a store for its use. An operator's command needs the
// server now; a service waits for it.
func openServer(ctx context.Context, s server, opt Options) (*Opened, error) {
	switch opt.Use {
	case Examine:
		return &Opened{Store: s, Close: s.Close}, nil
	case Look, Change:
		if err := s.Validate(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return &Opened{Store: s, Close: s.Close, PurgeBatch: purgeBatch}, nil
	case Serve:
	}
	g := &gate{server: s, migrate: !opt.NoMigrate, log: opt.Logger, stop: make(chan struct{})}
	if err := g.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Opened{Store: g, Close: g.close, Announces: true, PurgeBatch: purgeBatch}, nil
}

// gate lets no reservation through to a server that has not been migrated and
// validated yet, because it was down. It goes on trying.
type gate struct {
	server
	migrate bool
	log     *slog.Logger

	shut atomic.Pointer[error] // why nothing gets through; nil when the gate is open

	trying sync.WaitGroup
	stop   chan struct{}
}

const (
	firstTry   = 5 * time.Second // a start waits no longer
	eachTry    = 30 * time.Second
	firstPause = 500 * time.Millisecond
	lastPause  = 5 * time.Second
)

// start prepares the server. A server that answers and is not fit is an error;
// one that does not answer is tried again in the background.
func (g *gate) start(ctx context.Context) error {
	err := g.prepare(ctx, firstTry)
	if err == nil {
		return nil
	}
	if isUnfit(err) {
		return err
	}
	g.set(err)
	g.log.ErrorContext(ctx, "the store cannot be used yet: requests are refused until it can", "err", err)
	g.trying.Go(func() { g.keepTrying(context.WithoutCancel(ctx)) })
	return nil
}

func (g *gate) prepare(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if g.migrate {
		if err := g.Migrate(ctx); err != nil {
			// Why it could not be, if that is the server's nature: a replica, or a
			// schema that this role may not make.
			if unfit := g.Validate(ctx); isUnfit(unfit) {
				err = errors.Join(err, unfit)
			}
			return err
		}
	}
	return g.Validate(ctx)
}

// isUnfit reports whether a server was asked and is not one to serve from. It does
// not change by waiting.
func isUnfit(err error) bool {
	_, _, versioned := versions(err)
	return versioned || errors.As(err, new(*semel.UnfitError))
}

func (g *gate) set(err error) {
	if err == nil {
		g.shut.Store(nil)
		return
	}
	g.shut.Store(&err)
}

func (g *gate) closedBy() error {
	if err := g.shut.Load(); err != nil {
		return *err
	}
	return nil
}

// keepTrying opens the gate when the server is there, and says what is new.
func (g *gate) keepTrying(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-g.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause := firstPause
	for {
		timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // it spreads the load of many processes
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
		before := g.closedBy().Error()
		err := g.prepare(ctx, eachTry)
		if ctx.Err() != nil {
			return
		}
		g.set(err)
		if err == nil {
			g.log.InfoContext(ctx, "the store can be used now")
			return
		}
		if err.Error() != before {
			g.log.ErrorContext(ctx, "the store cannot be used yet", "err", err)
		}
	}
}

func (g *gate) close() error {
	close(g.stop)
	g.trying.Wait()
	return g.Close()
}

// Unwrap lets the capabilities of the store be found.
func (g *gate) Unwrap() semel.Store { return g.server }

// Reserve implements [semel.Store].
func (g *gate) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if err := g.closedBy(); err != nil {
		return semel.Record{}, err
	}
	return g.server.Reserve(ctx, r)
}

// Purge implements [semel.Purger]. Nothing is over where nothing may be kept yet.
func (g *gate) Purge(ctx context.Context, limit int) (int, error) {
	purger, ok := semel.As[semel.Purger](g.server)
	if !ok || g.shut.Load() != nil {
		return 0, nil
	}
	return purger.Purge(ctx, limit)
}

// Ping implements [semel.Pinger].
func (g *gate) Ping(ctx context.Context) error {
	if err := g.closedBy(); err != nil {
		return err
	}
	return g.server.Ping(ctx)
}
