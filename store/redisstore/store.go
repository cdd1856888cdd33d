package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
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

// Config is what [New] and [Open] may be told. The zero value is safe.
type Config struct {
	// Prefix begins the key of every record, PREFIX{SLOT}, and that of the trail,
	// PREFIX{audit}. Stores with different
	// prefixes share nothing. Up to 128 bytes without braces. Default "semel:".
	Prefix string
	// Replicas is how many replicas must confirm a reservation, the beginning of
	// its effects, a completion, a resolution, a response that is sealed again and
	// an entry of the trail (WAIT) before it counts. When fewer do in time, the step fails
	// with [ErrNotReplicated], and a reservation is given back. It makes it rarer
	// that a failover forgets a record, not impossible. 0 to 16; in a cluster, of
	// each master. Default 0: nobody waits.
	Replicas int
	// SyncAOF also waits until the server, and each of Replicas, has synced the
	// write to its append-only file (WAITAOF, Redis 7.2 or Valkey). Needed only
	// where appendfsync is not "always". Default false.
	SyncAOF bool
	// WaitTimeout bounds that wait. It must be less than the client's
	// ReadTimeout. Rounded up to milliseconds. Default 1 s.
	WaitTimeout time.Duration
	// Logger is told once what the store survives and what weakens it. Default
	// [slog.Default].
	Logger *slog.Logger
}

// waits says whether a step waits for more than its answer.
func (c Config) waits() bool { return c.Replicas > 0 || c.SyncAOF }

const (
	defaultPrefix = "semel:"
	maxPrefix     = 128
	maxReplicas   = 16
)

// Store keeps records in Redis or Valkey. Make one with [New] or [Open].
// All methods are safe for concurrent use; after Close they return [ErrClosed].
type Store struct {
	client redis.UniversalClient
	owned  bool
	prefix string
	cfg    Config
	router *router
	gate   gate
	grade  atomic.Pointer[semel.Grade]
	told   sync.Once // what the promise rests on

	mu      sync.RWMutex // guards closed, and the Add of running
	closed  bool
	running sync.WaitGroup

	over     chan struct{} // closed by Close
	silence  time.Duration // maxSilence, but for tests
	closing  sync.Once
	closeErr error
}

// New returns a store that uses a client of the caller's: a [redis.Client],
// also one that follows sentinels, or a [redis.ClusterClient]. A [redis.Ring]
// is refused: when one of its servers fails it asks another, which knows nothing
// of the records. So is a client without ReadTimeout or WriteTimeout: steps share
// pipelines, and two that wait for ever for a server that fell silent would stop
// all the others. New does no I/O and starts nothing; the first Reserve validates the
// server. The client stays the caller's, who closes it after the store.
func New(client redis.UniversalClient, cfg Config) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = defaultPrefix
	}
	if cfg.WaitTimeout == 0 {
		cfg.WaitTimeout = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	var readTimeout, writeTimeout time.Duration
	switch c := client.(type) {
	case *redis.Client:
		readTimeout, writeTimeout = c.Options().ReadTimeout, c.Options().WriteTimeout
	case *redis.ClusterClient:
		readTimeout, writeTimeout = c.Options().ReadTimeout, c.Options().WriteTimeout
	default:
		return nil, errClient
	}
	switch {
	case readTimeout <= 0 || writeTimeout <= 0:
		return nil, errTimeouts
	case len(cfg.Prefix) > maxPrefix || strings.ContainsAny(cfg.Prefix, "{}"):
		return nil, errors.New("redisstore: Config.Prefix has more than 128 bytes, or braces")
	case cfg.Replicas < 0 || cfg.Replicas > maxReplicas:
		return nil, fmt.Errorf("redisstore: Config.Replicas is %d, want 0 to %d", cfg.Replicas, maxReplicas)
	case cfg.WaitTimeout < 0 || cfg.waits() && cfg.WaitTimeout >= readTimeout:
		return nil, fmt.Errorf("redisstore: Config.WaitTimeout is %v, want more than zero and less than the client's ReadTimeout, %v",
			cfg.WaitTimeout, readTimeout)
	}
	wait := waiting{replicas: cfg.Replicas, aof: cfg.SyncAOF, millis: (micros(cfg.WaitTimeout) + 999) / 1000}
	return &Store{
		client: client, prefix: cfg.Prefix, cfg: cfg, router: newRouter(client, wait),
		over: make(chan struct{}), silence: maxSilence,
	}, nil
}

// Close ends who listens, waits for the steps under way, and closes the client if [Open] made it.
// A second call returns what the first returned.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.over)
		s.running.Wait()
		if s.owned {
			s.closeErr = s.client.Close()
		}
	})
	return s.closeErr
}

// enter counts a call in, for Close to wait for. The caller calls leave.
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.running.Add(1)
	return nil
}

func (s *Store) leave() { s.running.Done() }

// within runs f and returns when it is done or ctx ends. The driver does not
// look at ctx while it waits for the network; f then goes on for as long as the
// client's timeouts allow, and Close waits for it.
func within[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := s.enter(); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer s.leave()
		v, err := f(ctx)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}
