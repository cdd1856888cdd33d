package semel_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// newEngine makes an engine that is closed at the end of the test: in a bubble
// of virtual time nothing that it started may be left.
func newEngine(t *testing.T, store semel.Store, cfg semel.Config) *semel.Engine {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := semel.New(store, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// call is a request for a payment; requests with different payloads differ.
func call(id, payload string) semel.Call {
	return semel.Call{
		Key:         semel.Key{Scope: "tenant", ID: id},
		Fingerprint: semel.FingerprintOf([]byte(payload)),
	}
}

func begin(t *testing.T, e *semel.Engine, c semel.Call) semel.Outcome {
	t.Helper()
	out, err := e.Begin(t.Context(), c)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	if (out.Claim != nil) != (out.Kind == semel.Reserved) {
		t.Fatalf("Begin: got claim %v with kind %v, want one if and only if reserved", out.Claim, out.Kind)
	}
	if kept := len(out.Record.Response.Header)+len(out.Record.Response.Body)+out.Record.Response.Status > 0; kept && out.Kind != semel.Replay {
		t.Fatalf("Begin: got a response with kind %v, want one only with replay", out.Kind)
	}
	return out
}

// reserve begins an attempt that must be granted.
func reserve(t *testing.T, e *semel.Engine, c semel.Call) *semel.Claim {
	t.Helper()
	out := begin(t, e, c)
	wantOutcome(t, out, semel.Reserved)
	return out.Claim
}

// wantOutcome compares the kind, and that nothing is told to have lapsed.
func wantOutcome(t *testing.T, out semel.Outcome, want semel.Kind) {
	t.Helper()
	if out.Kind != want || out.Lapsed {
		t.Fatalf("got %v, lapsed %v, want %v", out.Kind, out.Lapsed, want)
	}
}

// wantUnknown wants the refusal of a slot whose attempt lapsed.
func wantUnknown(t *testing.T, out semel.Outcome) {
	t.Helper()
	if out.Kind != semel.InFlight || !out.Lapsed {
		t.Fatalf("got %v, lapsed %v, want in-flight and lapsed", out.Kind, out.Lapsed)
	}
	wantError(t, out.Err(), semel.ErrOutcomeUnknown)
}

// wantReplay wants the very bytes of one response (I3).
func wantReplay(t *testing.T, out semel.Outcome, want semel.Response) {
	t.Helper()
	wantOutcome(t, out, semel.Replay)
	if !sameResponse(out.Record.Response, want) {
		t.Fatalf("got the response %s, want %s", show(out.Record.Response), show(want))
	}
}

func sameResponse(a, b semel.Response) bool {
	return a.Status == b.Status && bytes.Equal(a.Header, b.Header) && bytes.Equal(a.Body, b.Body)
}

func show(r semel.Response) string { return string(r.Header) + "|" + string(r.Body) }

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func answer(body string) semel.Response {
	return semel.Response{Status: 201, Header: []byte("header of " + body), Body: []byte(body)}
}

func complete(t *testing.T, c *semel.Claim, r semel.Response) {
	t.Helper()
	if err := c.Complete(t.Context(), r); err != nil {
		t.Fatalf("Complete: %v", err)
	}
}

// lines is a log that a test may read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func cancellable(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}
