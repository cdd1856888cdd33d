package demo

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestOnce(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out, Once: true}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"1. Alice pays Bob 25.00", "(replayed)", "after 2 attempts", "ten got the same payment",
		"422 Unprocessable Entity  idempotency_key_conflict", "504 Gateway Timeout  outcome_unknown",
		"409 Conflict  outcome_unknown", "All 7 steps came out right",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "✗\x1b") {
		t.Errorf("the story has a failed check or colors:\n%s", out.String())
	}
}

// A demo that cannot fail would prove nothing: with a ledger that moves money
// by itself, the story must say so.
func TestStoryNotices(t *testing.T) {
	l := newLedger()
	api, err := startAPI(t.Context(), l, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer api.close()
	var out bytes.Buffer
	s := &story{page: &page{out: &out}, api: api}
	s.checkLedger(1, 2500)
	if s.failed != 1 || !strings.Contains(out.String(), "✗") {
		t.Errorf("got %d failed checks, want 1:\n%s", s.failed, out.String())
	}
}

func TestLedgerMovesMoneyEachTime(t *testing.T) {
	l := newLedger()
	for range 2 {
		if _, err := l.pay(payment{From: "alice", To: "bob", Amount: 100}); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.state().Balances["bob"]; got != 200 {
		t.Errorf("bob has %d, want 200", got)
	}
	if _, err := l.pay(payment{From: "alice", To: "bob", Amount: 10_000}); err == nil {
		t.Error("alice paid more than she has")
	}
}

func TestEndsWhenToldWhileUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopper{stop: cancel}
	if err := Run(ctx, Options{Out: out}); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
	for _, want := range []string{"Try it by hand", "curl -i http://127.0.0.1:", "Idempotency-Key: mine-1", "records list --store sqlite:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
}

// stopper is a reader who presses Ctrl-C after the last curl line.
type stopper struct {
	bytes.Buffer
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("records list")) {
		s.stop()
	}
	return s.Buffer.Write(p)
}
