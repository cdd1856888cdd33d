package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	"github.com/semel-go/semel/store/memstore"
)

// TestWaitHints: with wait_hints the engine listens, without it does not, and a store that carries
// no hints is refused with its kind.
func TestWaitHints(t *testing.T) {
	for _, on := range []string{"true", "false"} {
		cfg := loaded(t, "", "--wait-hints", on)
		e, err := newEngine(cfg, &stores.Opened{Store: memstore.New(memstore.Config{}), Kind: "memory"}, serving(semel.Config{}, cfg))
		if err != nil {
			t.Fatal(err)
		}
		out, err := e.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "tenant", ID: "order-1"}})
		if err != nil {
			t.Fatal(err)
		}
		out.Claim.Abandon(t.Context())
		for deadline := time.Now().Add(10 * time.Second); on == "true" && !e.Hearing(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it does not listen")
			}
		}
		if on == "false" && e.Hearing() {
			t.Error("it listens although nobody wants it")
		}
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	cfg := loaded(t, "", "--wait-hints", "true")
	_, err := newEngine(cfg, &stores.Opened{Store: mute{memstore.New(memstore.Config{})}, Kind: "sqlite"}, serving(semel.Config{}, cfg))
	if err == nil || !strings.Contains(err.Error(), `--wait-hints: a store of kind "sqlite" carries no hints`) {
		t.Errorf("got %v, want that the store carries none", err)
	}
}

// mute is a store without any capability.
type mute struct{ semel.Store }
