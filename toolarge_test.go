package semel_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// narrow is a store that takes bodies of up to eight bytes, and is no
// [semel.Immediate], so that the engine would repeat what fails.
type narrow struct {
	semel.Store
	tries int
}

func (n *narrow) Complete(ctx context.Context, c semel.Completion) error {
	n.tries++
	if len(c.Response.Body) > 8 {
		return semel.ErrTooLarge
	}
	return n.Store.Complete(ctx, c)
}

// A response that the store can never take is not tried again, and the claim
// stays open for a smaller one (I2: the effect has happened, so the key is not
// freed).
func TestResponseTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &narrow{Store: memstore.New(memstore.Config{})}
		e := newEngine(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		err := c.Complete(t.Context(), semel.Response{Body: []byte("nine bytes")})
		wantError(t, err, semel.ErrTooLarge)
		if store.tries != 1 {
			t.Errorf("got %d tries, want 1", store.tries)
		}
		if how, ok := c.Settled(); ok {
			t.Errorf("got settled %v, want an open claim", how)
		}
		if err := c.Complete(t.Context(), semel.Response{Status: 201, Body: []byte("less")}); err != nil {
			t.Fatal(err)
		}
		out, err := e.Begin(t.Context(), call("order-1", "x"))
		if err != nil || out.Kind != semel.Replay || string(out.Record.Response.Body) != "less" {
			t.Errorf("got %v, %v, want a replay of the smaller response", out.Kind, err)
		}
	})
}

// Do gives its caller the value that the store cannot keep, and holds the key.
func TestDoTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, &narrow{Store: memstore.New(memstore.Config{})}, semel.Config{})
		long := strings.Repeat("x", 20)
		got, err := semel.Do(t.Context(), e, call("order-1", "x"), func(context.Context) (string, error) { return long, nil })
		wantError(t, err, semel.ErrTooLarge)
		if got.Value != long {
			t.Errorf("got %q, want the value of the call", got.Value)
		}
		out, err := e.Begin(t.Context(), call("order-1", "x"))
		if err != nil || out.Kind != semel.InFlight {
			t.Errorf("got %v, %v, want the key held", out.Kind, err)
		}
	})
}

// renewable is a narrow store whose leases can be ended.
type renewable struct {
	*narrow
	semel.Renewer
}

// I7, L1: what a recovery hook found and the store cannot keep leaves the outcome
// unknown. The key is not held for as long as an attempt may run: the next one asks.
func TestRecoveredTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New(memstore.Config{})
		e := newEngine(t, renewable{&narrow{Store: records}, records}, semel.Config{})
		reserve(t, e, call("order-1", "x")).Abandon(t.Context())
		asked := 0
		again := call("order-1", "x")
		again.Lapsed = semel.Recover
		again.Recover = func(context.Context, semel.Record) (semel.Recovery, error) {
			asked++
			return semel.Recovery{Verdict: semel.Executed, Response: answer(strings.Repeat("x", 20))}, nil
		}
		for n := 1; n <= 2; n++ {
			_, err := e.Begin(t.Context(), again)
			wantError(t, err, semel.ErrTooLarge)
			if asked != n {
				t.Errorf("got the hook asked %d times, want %d", asked, n)
			}
		}
	})
}
