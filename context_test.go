package semel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

type valueKey struct{}

// The attempt has the client's values and nothing else of his: neither his
// cancellation nor his deadline.
func TestAttachIsDetachedFromTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		start := time.Now()
		c := reserve(t, e, call("order-1", "x"))
		client, leave := context.WithTimeout(context.WithValue(t.Context(), valueKey{}, "trace"), time.Second)
		defer leave()
		ctx := c.Attach(client)
		if got := ctx.Value(valueKey{}); got != "trace" {
			t.Errorf("got value %v, want the client's", got)
		}
		if semel.FromContext(ctx) != c {
			t.Errorf("got claim %v, want %v", semel.FromContext(ctx), c)
		}
		if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(start.Add(semel.DefaultMaxRun)) {
			t.Errorf("got deadline %v, %v, want the end of MaxRun", deadline, ok)
		}
		child, stop := context.WithCancel(context.WithValue(ctx, valueKey{}, "of the handler"))
		defer stop()
		time.Sleep(time.Minute)
		if client.Err() == nil {
			t.Fatal("the client is still there")
		}
		if ctx.Err() != nil || child.Err() != nil || context.Cause(ctx) != nil {
			t.Errorf("got %v and %v, want the attempt to go on without the client", ctx.Err(), child.Err())
		}
		if semel.FromContext(child) != c {
			t.Error("a child context has lost the claim")
		}

		c.Detach()
		for name, ctx := range map[string]context.Context{"attempt": ctx, "child": child} {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), context.Canceled) {
				t.Errorf("%s: got %v because of %v, want an end without a cause", name, ctx.Err(), context.Cause(ctx))
			}
		}
		c.Detach()
	})
}

func TestFromContextWithoutAClaim(t *testing.T) {
	if c := semel.FromContext(t.Context()); c != nil {
		t.Errorf("got claim %v, want none", c)
	}
}

// One attempt has one context: attaching again ends the one before.
func TestAttachAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		first := c.Attach(t.Context())
		second := c.Attach(t.Context())
		if first.Err() == nil || second.Err() != nil {
			t.Errorf("got %v and %v, want the first ended and the second not", first.Err(), second.Err())
		}
		time.Sleep(semel.DefaultMaxRun + semel.DefaultLease)
		wantError(t, context.Cause(second), semel.ErrOverran)
		third := c.Attach(t.Context()) // the attempt is over already
		wantError(t, third.Err(), context.Canceled)
		wantError(t, context.Cause(third), semel.ErrOverran)
		<-third.Done()
	})
}

// What an attempt ends with reaches whoever looks, in whatever way and order.
func TestAttachTellsItsEnd(t *testing.T) {
	for name, watch := range map[string]func(ctx context.Context) func() error{
		"nobody looked before": func(ctx context.Context) func() error { return func() error { return context.Cause(ctx) } },
		"done": func(ctx context.Context) func() error {
			done := ctx.Done()
			return func() error { <-done; return context.Cause(ctx) }
		},
		"child": func(ctx context.Context) func() error {
			child, stop := context.WithTimeout(ctx, time.Hour)
			return func() error { <-child.Done(); defer stop(); return context.Cause(child) }
		},
		"value first": func(ctx context.Context) func() error {
			_ = ctx.Value(valueKey{})
			return func() error { return context.Cause(ctx) }
		},
		"after func": func(ctx context.Context) func() error {
			called := make(chan struct{})
			context.AfterFunc(ctx, func() { close(called) })
			return func() error { <-called; return context.Cause(ctx) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
				c := reserve(t, e, call("order-1", "x"))
				client, leave := cancellable(t)
				leave()
				ctx := c.Attach(client)
				defer c.Detach()
				cause := watch(ctx)
				w.cut()
				time.Sleep(semel.DefaultLease)
				wantError(t, ctx.Err(), context.Canceled)
				wantError(t, cause(), semel.ErrLost)
			})
		})
	}
}
