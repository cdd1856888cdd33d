package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// ledger is what the store acknowledged to a load of workers.
type ledger struct {
	mu        sync.Mutex
	completed []semel.Reservation
	owners    map[semel.Key]semel.Token
	fences    map[semel.Key]int64
	errs      []error
	pairs     atomic.Int64
}

// load lets workers reserve and complete fresh keys, and ask again for kept
// ones, until ctx ends. Steps that fail are repeated with the same token, as
// the engine does. allowed says which errors may come.
func load(ctx context.Context, t *testing.T, s semel.Store, workers int, allowed func(error) bool) *ledger {
	t.Helper()
	return loadKeys(ctx, t, s, workers, allowed, func(w, n int) semel.Reservation {
		r := ask(fmt.Sprint(w, "/", n))
		r.Deferred = n%2 == 1
		return r
	})
}

// loadKeys is load with keys of the caller's choice: the nth of a worker.
func loadKeys(ctx context.Context, t *testing.T, s semel.Store, workers int, allowed func(error) bool,
	key func(worker, n int) semel.Reservation,
) *ledger {
	t.Helper()
	l := &ledger{owners: make(map[semel.Key]semel.Token), fences: make(map[semel.Key]int64)}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.pair(ctx, s, key(w, n), allowed)
			}
		})
	}
	wg.Wait()
	for _, err := range l.errs {
		t.Errorf("got error %v", err)
	}
	return l
}

// pair runs one attempt. A second attempt on the same key must not get the slot.
func (l *ledger) pair(ctx context.Context, s semel.Store, r semel.Reservation, allowed func(error) bool) {
	steps := context.WithoutCancel(ctx)
	var held semel.Record
	if !l.retry(ctx, allowed, func() (err error) { held, err = s.Reserve(steps, r); return err }) {
		return
	}
	if held.Token != r.Token || held.State != semel.StateReserved {
		l.fail(fmt.Errorf("I1: a fresh slot is %v for somebody else", held.State))
	}
	if rival, err := s.Reserve(steps, another(r)); err == nil && (rival.Token != r.Token || rival.Fence != held.Fence) {
		l.fail(errors.New("I1: two attempts hold one slot"))
	}
	if r.Deferred && !l.retry(ctx, allowed, func() error { return s.(semel.EffectBeginner).BeginEffects(steps, r.Key, r.Token) }) {
		return
	}
	if !l.retry(ctx, allowed, func() error { return s.Complete(steps, completion(r)) }) {
		return
	}
	l.pairs.Add(1)
	l.mu.Lock()
	l.completed = append(l.completed, r)
	l.mu.Unlock()
}

func (l *ledger) retry(ctx context.Context, allowed func(error) bool, step func() error) bool {
	for {
		err := step()
		if err == nil {
			return true
		}
		if !allowed(err) {
			l.fail(err)
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 5 {
		l.errs = append(l.errs, err)
	}
}

// check replays everything that was acknowledged (I3, I10).
func (l *ledger) check(t *testing.T, s semel.Store) {
	t.Helper()
	if len(l.completed) == 0 {
		t.Error("nothing was completed: the test shows nothing")
	}
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < len(l.completed); i += 8 {
				replay(t, s, l.completed[i])
			}
		})
	}
	wg.Wait()
}

func noError(error) bool { return false }

// anyError is for faults that cut connections. ErrLost is never right: nobody
// else wants these slots (I11).
func anyError(err error) bool { return !errors.Is(err, semel.ErrLost) }

// A server that forgets the scripts is told them again, and nobody notices.
func TestScriptFlushUnderLoad(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	s, c := open(t, server.DSN(), redisstore.Config{}), admin(t, server.Addr())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		defer stop()
		for range 50 {
			if err := c.ScriptFlush(t.Context()).Err(); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	load(ctx, t, s, 8, noError).check(t, s)
}

// I1, I11: connections that are killed all the time cost repetitions, no record.
func TestClientKill(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	s, c := open(t, server.DSN(), redisstore.Config{}), admin(t, server.Addr())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		defer stop()
		for range 40 {
			if err := c.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	load(ctx, t, s, 8, anyError).check(t, s)
}

// I10, L4: with appendfsync always, what was acknowledged survives kill -9, and
// the store serves again without being opened anew.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
	s := open(t, server.DSN(), redisstore.Config{})
	serves(t, s)
	if g := s.Grade(); g.Letter != "B" {
		t.Errorf("got grade %q, want B", g)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan *ledger)
	go func() { done <- load(ctx, t, s, 8, anyError) }()
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		server.Restart(t)
		serves(t, s)
	}
	stop()
	(<-done).check(t, s)
}

// I7, I10: what has begun is known to have begun after a kill -9, and what has not
// may still be taken over.
func TestBegunSurvivesKill(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
	s := open(t, server.DSN(), redisstore.Config{})
	begun, deferred := ask("begun"), ask("deferred")
	begun.Deferred, deferred.Deferred = true, true
	grant(t, s, begun)
	grant(t, s, deferred)
	must(t, "begin effects", s.BeginEffects(t.Context(), begun.Key, begun.Token))
	server.Restart(t)
	serves(t, s)
	for _, r := range []semel.Reservation{begun, deferred} {
		held, err := s.Reserve(t.Context(), another(r))
		if err != nil || held.Token != r.Token || held.Deferred != (r.Key == deferred.Key) {
			t.Errorf("%s: got a %v slot, deferred %v, error %v", r.Key.ID, held.State, held.Deferred, err)
		}
	}
}

// L4: a server that stands still for longer than the time-outs costs errors
// while it does, and no record.
func TestStopAndContinue(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	cfg := redisstore.Config{Prefix: servertest.Name(t)}
	s := open(t, server.DSN()+"?read_timeout=100ms&dial_timeout=100ms", cfg)
	serves(t, s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan *ledger)
	go func() { done <- load(ctx, t, s, 8, anyError) }()
	server.Stop(t)
	until(t, "a step fails", func() bool { _, err := s.Reserve(t.Context(), ask("stopped")); return err != nil })
	server.Continue(t)
	serves(t, s)
	stop()
	(<-done).check(t, open(t, server.DSN(), cfg)) // with patience
}

// I11: an answer that is lost on the way is asked for again; the step succeeds
// and has happened once.
func TestLostReply(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, servertest.Redis(t).Addr())
	s := open(t, "redis://"+link.Addr(), redisstore.Config{})
	serves(t, s)
	lose := func(step func() error) {
		t.Helper()
		var once atomic.Bool
		link.DropReplies(func() bool { return once.CompareAndSwap(false, true) })
		must(t, "a step whose answer was lost", step())
		link.DropReplies(nil)
		if !once.Load() {
			t.Error("no answer was lost: the test shows nothing")
		}
	}
	r := ask("a")
	lose(func() error {
		if held := grant(t, s, r); held.Attempts != 1 {
			t.Errorf("got attempt %d, want 1", held.Attempts)
		}
		return nil
	})
	lose(func() error { return s.Complete(t.Context(), completion(r)) })
	replay(t, s, r)
	r = ask("b")
	r.Deferred = true
	grant(t, s, r)
	lose(func() error { return s.BeginEffects(t.Context(), r.Key, r.Token) })
	lose(func() error { return s.Release(t.Context(), r.Key, r.Token) })
	for _, response := range []*semel.Response{nil, {Status: 200}} {
		r = ask(fmt.Sprint("resolve ", response == nil))
		held := grant(t, s, r)
		_, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
		must(t, "abandon", err)
		lose(func() error {
			return s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence, Response: response, Retention: time.Hour})
		})
	}
}

// L4: nothing gets through for a while. Every step ends with an error, and what
// waited too long for its turn is not sent any more.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, servertest.Redis(t).Addr())
	s := open(t, "redis://"+link.Addr()+"?read_timeout=200ms&dial_timeout=200ms", redisstore.Config{})
	serves(t, s)
	link.Blackhole()
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 50 {
		wg.Go(func() {
			if _, err := s.Reserve(t.Context(), ask(fmt.Sprint(i))); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() != 50 {
		t.Errorf("got %d errors, want 50", failed.Load())
	}
	link.Heal()
	serves(t, s)
}

// Opening needs no server. The first steps say that there is none; when it is
// there, they serve (L4).
func TestServerDownAtStart(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	server.Kill(t)
	s := open(t, server.DSN(), redisstore.Config{})
	for name, step := range map[string]func() error{
		"reserve":       func() error { _, err := s.Reserve(t.Context(), ask("a")); return err },
		"complete":      func() error { return s.Complete(t.Context(), completion(ask("a"))) },
		"begin effects": func() error { return s.BeginEffects(t.Context(), ask("a").Key, ask("a").Token) },
		"release":       func() error { return s.Release(t.Context(), ask("a").Key, ask("a").Token) },
		"resolve":       func() error { return s.Resolve(t.Context(), semel.Resolution{Key: ask("a").Key}) },
		"ping":          func() error { return s.Ping(t.Context()) },
		"validate":      func() error { return s.Validate(t.Context()) },
		"migrate":       func() error { return s.Migrate(t.Context()) },
		"inspect":       func() error { _, err := s.Inspect(t.Context()); return err },
		"renew": func() error {
			_, err := s.Renew(t.Context(), time.Second, []semel.Holder{{Key: ask("a").Key}})
			return err
		},
		"list": func() (last error) {
			for _, err := range s.List(t.Context(), semel.Filter{}) {
				last = err
			}
			return last
		},
	} {
		if err := step(); err == nil || !strings.HasPrefix(err.Error(), "redisstore: "+name+": ") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: got error %v, want one that names the step and the cause", name, err)
		}
	}
	if g := s.Grade(); g.Letter != "C" || g.Survives == "" {
		t.Errorf("got grade %q, want C: nobody knows", g)
	}
	server.Start(t)
	serves(t, s)
}

// L4: the server goes away and comes back.
func TestServerDownLater(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
	s := open(t, server.DSN(), redisstore.Config{})
	r := ask("a")
	grant(t, s, r)
	server.Shutdown(t)
	if err := s.Complete(t.Context(), completion(r)); err == nil || !strings.HasPrefix(err.Error(), "redisstore: complete: ") {
		t.Errorf("got error %v, want one that names the step", err)
	}
	server.Start(t)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	replay(t, s, r)
}

// A context that ends ends what may end, and never a step.
func TestContexts(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, servertest.Redis(t).Addr())
	s := open(t, "redis://"+link.Addr()+"?read_timeout=500ms", redisstore.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r := ask("a")
	held, err := s.Reserve(ended, r)
	if err != nil || held.Token != r.Token {
		t.Errorf("reserve: got error %v, want a reservation: a step looks at no context", err)
	}
	must(t, "complete", s.Complete(ended, completion(r)))
	link.Blackhole()
	for name, f := range map[string]func(context.Context) error{
		"ping": s.Ping, "validate": s.Validate, "migrate": s.Migrate,
		"inspect": func(ctx context.Context) error { _, err := s.Inspect(ctx); return err },
		"list": func(ctx context.Context) (last error) {
			for _, err := range s.List(ctx, semel.Filter{}) {
				last = err
			}
			return last
		},
	} {
		if err := f(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got error %v, want that of the context", name, err)
		}
	}
	link.Heal()
}
