package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

var (
	_ semel.Store          = (*Store)(nil)
	_ semel.EffectBeginner = (*Store)(nil)
	_ semel.Renewer        = (*Store)(nil)
	_ semel.Purger         = (*Store)(nil)
	_ semel.Lister         = (*Store)(nil)
	_ semel.Resolver       = (*Store)(nil)
	_ semel.Resealer       = (*Store)(nil)
	_ semel.Auditor        = (*Store)(nil)
	_ semel.Pinger         = (*Store)(nil)
	_ semel.Grader         = (*Store)(nil)
	_ semel.Inspector      = (*Store)(nil)
	_ semel.Messenger      = (*Store)(nil)
)

// Store keeps records in one JetStream stream, and the trail in another. Make one with [New] or [Open].
// All methods are safe for concurrent use.
type Store struct {
	cfg   Config
	js    jetstream.JetStream
	nc    *nats.Conn
	owned bool // the connection is ours to close

	layout int                              // the version of the stream that this program knows
	stream atomic.Pointer[jetstream.Stream] // set by a Validate that succeeds; nil again when the stream is gone
	grade  atomic.Pointer[semel.Grade]
	told   sync.Once // what the promise rests on
	clock  clock
	grace  time.Duration // ttlGrace, but for tests
	hints  hints

	closing sync.Once
}

// New returns a store on a client that exists; it does no I/O and fails only
// when cfg is invalid. Make the client with [nats.ReconnectBufSize] -1: what it
// would buffer while it is disconnected is sent when nobody waits for it any more.
func New(js jetstream.JetStream, cfg Config) (*Store, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if js == nil {
		return nil, errors.New("natsstore: no JetStream")
	}
	return &Store{cfg: cfg, js: js, nc: js.Conn(), layout: schemaVersion, clock: clock{now: time.Now}, grace: ttlGrace}, nil
}

// Close closes the connection that [Open] made. It leaves that of [New] alone.
// Steps after it fail with [ErrClosed]. A second call does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		if s.owned {
			s.nc.Close()
		}
	})
	return nil
}

// within bounds one request. What the caller cancels does not end it: an
// abandoned write may still happen.
func (s *Store) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
}

// ready returns the stream, which the first step validates.
func (s *Store) ready(ctx context.Context) (jetstream.Stream, error) {
	if stream := s.stream.Load(); stream != nil {
		return *stream, s.connected()
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	return s.validate(ctx)
}

// connected fails while there is no server to talk to, so that nothing is
// buffered that nobody waits for.
func (s *Store) connected() error {
	switch s.nc.Status() {
	case nats.CONNECTED:
		return nil
	case nats.CLOSED:
		return ErrClosed
	case nats.DISCONNECTED, nats.RECONNECTING, nats.CONNECTING, nats.DRAINING_SUBS, nats.DRAINING_PUBS:
	}
	if err := s.nc.LastError(); err != nil {
		return fmt.Errorf("not connected: %w", err)
	}
	return errors.New("not connected")
}

// ask asks the leader what time it is, and learns it. Without a stream it fails
// with [*SchemaError].
func (s *Store) ask(ctx context.Context) (jetstream.Stream, *jetstream.StreamInfo, error) {
	if err := s.connected(); err != nil {
		return nil, nil, err
	}
	sent := s.clock.now()
	stream, err := s.js.Stream(ctx, s.cfg.Stream)
	if err != nil {
		return nil, nil, s.explain(err)
	}
	info := stream.CachedInfo()
	if info.TimeStamp.IsZero() {
		return nil, nil, errors.New("the server does not tell its time")
	}
	s.clock.learn(sample{server: info.TimeStamp.UnixNano(), sent: sent, received: s.clock.now()})
	return stream, info, nil
}

// measure is ask for one who only wants the time.
func (s *Store) measure(ctx context.Context) (int64, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	_, info, err := s.ask(ctx)
	if err != nil {
		return 0, err
	}
	return info.TimeStamp.UnixNano(), nil
}

// earliest is an instant that the leader's time has passed.
func (s *Store) earliest(ctx context.Context) (int64, error) {
	if earliest, _, ok := s.clock.bounds(); ok {
		return earliest, nil
	}
	return s.measure(ctx)
}

// Ping implements [semel.Pinger]: the stream's leader answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	_, _, err := s.ask(ctx)
	return failed("ping", err)
}
