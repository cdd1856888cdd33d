package semelwatermill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

// I7: what a handler did that returned an error, panicked or ended its goroutine is not known, unless
// somebody says that nothing happened.
func TestHowAFailureEnds(t *testing.T) {
	fails := func(err error) message.HandlerFunc {
		return func(*message.Message) ([]*message.Message, error) { return []*message.Message{order("r1", "")}, err }
	}
	says := func(how semel.Disposition, err error) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			semel.FromContext(msg.Context()).Settle(how)
			return nil, err
		}
	}
	panics := func(*message.Message) ([]*message.Message, error) { panic(errDeclined) }
	recovered := middleware.Recoverer(panics)
	free := semelwatermill.Config{OnError: semel.Free}
	for name, c := range map[string]struct {
		cfg  semelwatermill.Config
		h    message.HandlerFunc
		held bool
	}{
		"error":                  {h: fails(errDeclined), held: true},
		"retryable":              {h: fails(fmt.Errorf("try 1: %w", semel.Retryable(errDeclined)))},
		"error, all free":        {cfg: free, h: fails(errDeclined)},
		"error, said to be free": {h: says(semel.Free, errDeclined)},
		"error, said to be held": {cfg: free, h: says(semel.Unknown, errDeclined), held: true},
		"error, said to be kept": {cfg: free, h: says(semel.Keep, errDeclined), held: true},
		"panic":                  {cfg: free, h: panics, held: true},
		"panic recovered":        {cfg: free, h: recovered, held: true},
		"panic recovered, said free": {h: middleware.Recoverer(func(msg *message.Message) ([]*message.Message, error) {
			semel.FromContext(msg.Context()).Settle(semel.Free)
			panic(1)
		}), held: true},
		"goexit":                    {cfg: free, h: func(*message.Message) ([]*message.Message, error) { runtime.Goexit(); return nil, nil }, held: true},
		"nil message":               {cfg: free, h: func(*message.Message) ([]*message.Message, error) { return []*message.Message{nil}, nil }, held: true},
		"no error, said to be held": {h: says(semel.Unknown, nil), held: true},
		"claim abandoned by the handler": {h: func(msg *message.Message) ([]*message.Message, error) {
			semel.FromContext(msg.Context()).Abandon(msg.Context())
			return nil, nil
		}, held: true},
	} {
		t.Run(name, func(t *testing.T) {
			mw := guard(t, memory(t), c.cfg)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer func() { _ = recover() }()
				if msgs, err := inHandler(mw.Middleware(c.h))(order("m1", "x")); err == nil || msgs != nil {
					t.Errorf("got %v, %v, want an error and nothing else", msgs, err)
				}
			}()
			<-ended
			ran := false
			_, err := inHandler(mw.Middleware(func(*message.Message) ([]*message.Message, error) { ran = true; return nil, nil }))(order("m1", "x"))
			if c.held && (ran || !errors.Is(err, semel.ErrOutcomeUnknown) || !semelwatermill.Terminal(err)) {
				t.Errorf("got %v, ran %v, want that the outcome is unknown at once, and for good", err, ran)
			}
			if !c.held && (!ran || err != nil) {
				t.Errorf("got %v, ran %v, want that the next delivery runs", err, ran)
			}
		})
	}
}

// A handler that returns no error and says that nothing happened is done with the message; the
// key is free.
func TestSaidFree(t *testing.T) {
	mw, runs := guard(t, memory(t), semelwatermill.Config{}), 0
	for range 2 {
		msgs, err := inHandler(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
			runs++
			semel.FromContext(msg.Context()).Settle(semel.Free)
			return []*message.Message{order("skipped", "")}, nil
		}))(order("m1", "x"))
		if err != nil || len(msgs) != 1 {
			t.Errorf("got %v, %v, want the handler's message", msgs, err)
		}
	}
	if runs != 2 {
		t.Errorf("the handler ran %d times, want twice", runs)
	}
}

// A handler may complete its claim by itself; what it has kept is published, whatever it returns.
func TestHandlerCompletes(t *testing.T) {
	mw := guard(t, memory(t), semelwatermill.Config{})
	for range 2 {
		msgs, err := inHandler(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
			kept, err := semelwatermill.Encode(order("kept", "1"))
			if err != nil {
				t.Error(err)
			}
			if err := semel.FromContext(msg.Context()).Complete(msg.Context(), kept); err != nil {
				t.Error(err)
			}
			return []*message.Message{order("returned", "2")}, nil
		}))(order("m1", "x"))
		if err != nil || len(msgs) != 1 || msgs[0].UUID != "kept" {
			t.Errorf("got %v, %v, want what was kept", msgs, err)
		}
	}
}

// What happens to a held message is the policy's.
func TestLapsedPolicies(t *testing.T) {
	recovered, err := semelwatermill.Encode(order("found", "in the ledger"))
	if err != nil {
		t.Fatal(err)
	}
	answers := func(r semel.Recovery) semel.RecoverFunc {
		return func(context.Context, semel.Record) (semel.Recovery, error) { return r, nil }
	}
	for name, c := range map[string]struct {
		cfg  semelwatermill.Config
		want string
	}{
		"hold":         {semelwatermill.Config{Lapsed: semel.Hold}, "refused for good"},
		"default":      {semelwatermill.Config{}, "refused for good"},
		"rerun":        {semelwatermill.Config{Lapsed: semel.Rerun}, "again"},
		"executed":     {semelwatermill.Config{Lapsed: semel.Recover, Recover: answers(semel.Recovery{Verdict: semel.Executed, Response: recovered})}, "found"},
		"not executed": {semelwatermill.Config{Lapsed: semel.Recover, Recover: answers(semel.Recovery{Verdict: semel.NotExecuted})}, "again"},
		"unknown":      {semelwatermill.Config{Lapsed: semel.Recover, Recover: answers(semel.Recovery{})}, "refused"},
		"nonsense": {semelwatermill.Config{Lapsed: semel.Recover, Recover: answers(semel.Recovery{
			Verdict: semel.Executed, Response: semel.Response{Body: []byte("by hand")},
		})}, "damaged"},
	} {
		mw := guard(t, memory(t), c.cfg)
		if _, err := inHandler(mw.Middleware(func(*message.Message) ([]*message.Message, error) { return nil, errDeclined }))(order("m1", "x")); !errors.Is(err, errDeclined) {
			t.Errorf("%s: got %v, want the handler's own error", name, err)
		}
		msgs, err := inHandler(mw.Middleware(func(*message.Message) ([]*message.Message, error) {
			return []*message.Message{order("again", "")}, nil
		}))(order("m1", "x"))
		got := "nothing"
		switch {
		case errors.Is(err, semel.ErrDamaged) && semelwatermill.Terminal(err):
			got = "damaged"
		case errors.Is(err, semel.ErrOutcomeUnknown) && semelwatermill.Terminal(err):
			got = "refused for good"
		case errors.Is(err, semel.ErrOutcomeUnknown):
			got = "refused"
		case err == nil && len(msgs) == 1:
			got = msgs[0].UUID
		}
		if got != c.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, c.want)
		}
	}
}

// What is too large to be kept is published once, and never run again (I3).
func TestNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   semelwatermill.Config
		large int
		room  int // of the store
	}{
		"by the middleware": {cfg: semelwatermill.Config{MaxResponse: 100}, large: 100, room: 1 << 30},
		"by default":        {large: semelwatermill.DefaultMaxResponse, room: 1 << 30},
		"by the store":      {large: 100, room: 99},
	} {
		t.Run(name, func(t *testing.T) {
			store := &faulty{Store: memstore.New(memstore.Config{}), complete: func(done semel.Completion) error {
				if len(done.Response.Body) > c.room {
					return semel.ErrTooLarge
				}
				return nil
			}}
			mw, runs := guard(t, newEngine(t, store, semel.Config{}), c.cfg), 0
			h := inHandler(mw.Middleware(func(*message.Message) ([]*message.Message, error) {
				runs++
				return []*message.Message{order("r1", strings.Repeat("x", c.large))}, nil
			}))
			msgs, err := h(order("m1", "x"))
			if err != nil || len(msgs) != 1 || len(msgs[0].Payload) != c.large {
				t.Fatalf("got %v, %v, want the large message", msgs, err)
			}
			msgs, err = h(order("m1", "x"))
			if !errors.Is(err, semelwatermill.ErrNotKept) || !semelwatermill.Terminal(err) || msgs != nil || runs != 1 {
				t.Errorf("got %v, %v after %d runs, want that it is not kept", msgs, err, runs)
			}
		})
	}
}

// The log says why a key is held.
func TestReasons(t *testing.T) {
	for want, h := range map[string]message.HandlerFunc{
		"panic":                                func(*message.Message) ([]*message.Message, error) { panic(1) },
		"the handler returned an error":        func(*message.Message) ([]*message.Message, error) { return nil, errDeclined },
		"the produced messages cannot be kept": func(*message.Message) ([]*message.Message, error) { return []*message.Message{nil}, nil },
		"the handler said hold": func(msg *message.Message) ([]*message.Message, error) {
			semel.FromContext(msg.Context()).Settle(semel.Unknown)
			return nil, nil
		},
	} {
		var log bytes.Buffer
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		func() {
			defer func() { _ = recover() }()
			_, _ = inHandler(guard(t, e, semelwatermill.Config{}).Middleware(h))(order("m1", "x"))
		}()
		if text := log.String(); !strings.Contains(text, want) || strings.Contains(text, "m1") {
			t.Errorf("got log %q, want %q in it and no key", text, want)
		}
	}
}

// What no delivery can cure goes to the poison queue, by Watermill's own middleware, and
// what can be cured does not; a Retry outside tries only the latter.
func TestPoisonQueueAndRetry(t *testing.T) {
	var tries atomic.Int64
	var poisoned []*message.Message
	var mu sync.Mutex
	r := startWith(t, func(r *rig) (message.HandlerFunc, []message.HandlerMiddleware) {
		poison, err := middleware.PoisonQueueWithFilter(poisonTopic(func(msg *message.Message) {
			mu.Lock()
			defer mu.Unlock()
			poisoned = append(poisoned, msg)
		}), "poison", semelwatermill.Terminal)
		if err != nil {
			t.Fatal(err)
		}
		retry := middleware.Retry{
			MaxRetries: 5, InitialInterval: time.Microsecond, ResetContextOnRetry: true,
			ShouldRetry: func(p middleware.RetryParams) bool { return !semelwatermill.Terminal(p.Err) },
		}
		return func(msg *message.Message) ([]*message.Message, error) {
			if string(msg.Payload) == "crashes" {
				return nil, errDeclined // unknown
			}
			if n := tries.Add(1); n < 3 {
				return nil, semel.Retryable(errDeclined)
			}
			return []*message.Message{order("r1", "")}, nil
		}, []message.HandlerMiddleware{poison, retry.Middleware, guard(t, memory(t), semelwatermill.Config{}).Middleware}
	})
	r.send(order("m1", "10 EUR"))
	if all := r.settled(1); len(all) != 1 || tries.Load() != 3 {
		t.Errorf("got %d deliveries and %d tries, want that one delivery is tried 3 times", len(all), tries.Load())
	}
	r.send(order("m1", "20 EUR")) // another payload
	r.settled(2)
	r.send(order("m2", "crashes"))
	r.settled(3)
	mu.Lock()
	defer mu.Unlock()
	var reasons []string
	for _, msg := range poisoned {
		_, reason, _ := strings.Cut(msg.Metadata.Get(middleware.ReasonForPoisonedKey), "is refused: ")
		reasons = append(reasons, string(msg.Payload)+": "+reason)
	}
	want := []string{"20 EUR: " + semel.ErrConflict.Error(), "crashes: " + semel.ErrOutcomeUnknown.Error()}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("got %q on the poison queue, want %q", reasons, want)
	}
	if tries.Load() != 3 {
		t.Errorf("got %d tries, want that nothing else ran", tries.Load())
	}
}

type poisonTopic func(*message.Message)

func (p poisonTopic) Publish(_ string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		p(msg)
	}
	return nil
}

func (poisonTopic) Close() error { return nil }

// A Retry inside is one attempt, whose outcome is that of the last try.
func TestRetryInside(t *testing.T) {
	attempts, tries := map[int64]bool{}, 0
	retry := middleware.Retry{MaxRetries: 5, InitialInterval: time.Microsecond}
	mw := guard(t, memory(t), semelwatermill.Config{})
	h := inHandler(mw.Middleware(retry.Middleware(func(msg *message.Message) ([]*message.Message, error) {
		attempts[semel.FromContext(msg.Context()).Fence()] = true
		if tries++; tries < 3 {
			return nil, errDeclined
		}
		return []*message.Message{order("r1", "")}, nil
	})))
	for range 2 {
		if msgs, err := h(order("m1", "x")); err != nil || len(msgs) != 1 {
			t.Errorf("got %v, %v, want the message of the last try", msgs, err)
		}
	}
	if len(attempts) != 1 || tries != 3 {
		t.Errorf("got %d attempts and %d tries, want 1 and 3", len(attempts), tries)
	}
}

// A panic in the router, without a Recoverer, holds the key, and the message is delivered again.
func TestPanicInRouter(t *testing.T) {
	refusals := make(chan error, 1000)
	var runs atomic.Int64
	r := start(t, func(*message.Message) ([]*message.Message, error) {
		runs.Add(1)
		panic("out of range")
	}, acksTerminal, refusalsTo(refusals), guard(t, memory(t), semelwatermill.Config{}).Middleware)
	r.send(order("m1", "x"))
	if all := r.settled(1); len(all) != 2 || runs.Load() != 1 {
		t.Errorf("got %d deliveries and %d runs, want 2 and 1", len(all), runs.Load())
	}
	if err := <-refusals; !errors.Is(err, semel.ErrOutcomeUnknown) {
		t.Errorf("got %v, want that the outcome is unknown", err)
	}
}

// acksTerminal lets the broker forget what cannot be cured.
func acksTerminal(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		msgs, err := next(msg)
		if semelwatermill.Terminal(err) {
			return nil, nil
		}
		return msgs, err
	}
}
