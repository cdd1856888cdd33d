package semel_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// told returns an engine and what it logs.
func told(t *testing.T, store semel.Store, cfg semel.Config) (*semel.Engine, *bytes.Buffer) {
	t.Helper()
	logs := new(bytes.Buffer)
	cfg.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return newEngine(t, store, cfg), logs
}

// wantLine wants exactly one line with msg, which names record and attempt and no key.
func wantLine(t *testing.T, logs *bytes.Buffer, e *semel.Engine, c *semel.Claim, msg string, more ...string) {
	t.Helper()
	var found []string
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, msg) {
			found = append(found, line)
		}
	}
	logs.Reset()
	if len(found) != 1 {
		t.Fatalf("got %d lines with %q, want 1", len(found), msg)
	}
	for _, part := range append(more, fmt.Sprintf(" ref=%s fence=%d", e.Ref(c.Key()), c.Fence())) {
		if !strings.Contains(found[0], part) {
			t.Errorf("got %q, want %q in it", found[0], part)
		}
	}
	if leaks(found[0]) {
		t.Errorf("the line tells the key: %q", found[0])
	}
}

// What an operator has to know of an attempt is one line each: that it is held, that it was
// taken over, that its completion was lost.
func TestLogsWhatBecomesOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, logs := told(t, memstore.New(memstore.Config{}), semel.Config{Lapsed: semel.Rerun})
		pay := semel.Call{Key: secretKey, Route: "POST /payments"}
		first := reserve(t, e, pay)
		first.Abandon(t.Context())
		first.Abandon(t.Context()) // it is held once
		wantLine(t, logs, e, first, "an attempt is held: its outcome is not known", "level=WARN", "reason=abandoned", `route="POST /payments"`)
		time.Sleep(lapse)
		second := reserve(t, e, pay)
		wantLine(t, logs, e, second, "a lapsed attempt is taken over", "level=WARN", "lapses=1", "policy=rerun")
		if err := e.Store().Release(t.Context(), second.Key(), second.Token()); err != nil {
			t.Fatal(err)
		}
		if err := second.Complete(t.Context(), answer("late")); err == nil {
			t.Fatal("got no error, want ErrLost")
		}
		wantLine(t, logs, e, second, "a response came too late", "level=ERROR")

		third := reserve(t, e, pay)
		_ = third.Release(t.Context())
		complete(t, reserve(t, e, pay), answer("paid"))
		begin(t, e, pay)
		if logs.Len() > 0 {
			t.Errorf("got %s for attempts that end well, want nothing", logs)
		}
	})
}

// An attempt that has promised to have had no effect is not held when it ends: the line does not
// say so, and does not say more than is known of one in a transaction.
func TestLogsWhatEndsWithoutEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newBank(t).teller(t, semel.Config{})
		e, logs := told(t, s, semel.Config{})
		pay := semel.Call{Key: secretKey, Route: "POST /payments", DeferEffects: true}
		first := reserve(t, e, pay)
		first.Abandon(t.Context())
		wantLine(t, logs, e, first, "an attempt has ended without effect: its next request runs", "reason=abandoned")
		second := reserve(t, e, pay)
		if err := second.BeginEffects(t.Context()); err != nil {
			t.Fatal(err)
		}
		second.Abandon(t.Context())
		wantLine(t, logs, e, second, "an attempt is held: its outcome is not known")
		pay.Key.ID += "2"
		third := reserve(t, e, pay)
		x := own(t, s)
		x.pay(t, third, "paid")
		third.Abandon(t.Context())
		wantLine(t, logs, e, third, "an attempt has ended in a transaction: its next request finds the answer, runs, or is held if something was committed")
		x.Rollback(context.WithoutCancel(t.Context()))
	})
}

// I9: an attempt that has promised to have had no effect is held all the same when one before it
// is unknown, and in a transaction too.
func TestLogsWhatStaysUnknown(t *testing.T) {
	type engine = *semel.Engine
	rerun := semel.Call{Key: secretKey, DeferEffects: true, Lapsed: semel.Rerun}
	recovers := semel.Call{Key: secretKey, DeferEffects: true, Lapsed: semel.Recover, Recover: (&ledger{}).recover}
	var s *teller
	for name, attempt := range map[string]func(t *testing.T, e engine){
		"a retry asks in vain": func(t *testing.T, e engine) { t.Helper(); wantUnknown(t, begin(t, e, recovers)) },
		"a rerun is given up":  func(t *testing.T, e engine) { t.Helper(); reserve(t, e, rerun).Abandon(t.Context()) },
		"a rerun is given up in a transaction": func(t *testing.T, e engine) {
			t.Helper()
			x := own(t, s)
			defer x.Rollback(context.WithoutCancel(t.Context()))
			c := reserve(t, e, rerun)
			x.pay(t, c, "paid")
			c.Abandon(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store semel.Store = memstore.New(memstore.Config{})
				if strings.Contains(name, "transaction") {
					_, s = newBank(t).teller(t, semel.Config{})
					store = s
				}
				crashed(t, store, semel.Call{Key: secretKey})
				time.Sleep(lapse)
				e, logs := told(t, store, semel.Config{})
				attempt(t, e)
				if got := logs.String(); strings.Count(got, "an attempt is held: its outcome is not known") != 1 || strings.Contains(got, "an attempt has ended") {
					t.Errorf("got %s, want one line that it is held", got)
				}
			})
		})
	}
}

// The line of a held attempt says why, in the words of whoever knew it first.
func TestHeldAttemptSaysWhy(t *testing.T) {
	const held = "an attempt is held: its outcome is not known"
	doubted := func(reasons ...string) func(*testing.T, *semel.Engine) {
		return func(t *testing.T, e *semel.Engine) {
			t.Helper()
			c := reserve(t, e, semel.Call{Key: secretKey})
			for _, r := range reasons {
				c.Doubt(r)
			}
			c.Abandon(t.Context())
		}
	}
	do := func(f func(context.Context) (any, error)) func(*testing.T, *semel.Engine) {
		return func(t *testing.T, e *semel.Engine) {
			t.Helper()
			defer func() { _ = recover() }()
			_, _ = semel.Do(t.Context(), e, semel.Call{Key: secretKey}, f)
		}
	}
	recovered := func(hook semel.RecoverFunc) func(*testing.T, *semel.Engine) {
		return func(t *testing.T, e *semel.Engine) {
			t.Helper()
			defer func() { _ = recover() }()
			begin(t, e, semel.Call{Key: secretKey, Lapsed: semel.Recover, Recover: hook})
		}
	}
	for want, attempt := range map[string]func(*testing.T, *semel.Engine){
		"card network timed out":     doubted("card network timed out", "panic"),
		strings.Repeat("é", 40):      doubted(strings.Repeat("é", 40) + "more"),
		strings.Repeat("y", 79):      doubted(strings.Repeat("y", 79) + "é"),
		"abandoned":                  doubted(),
		"panic":                      do(func(context.Context) (any, error) { panic("no") }),
		"the func returned an error": do(func(context.Context) (any, error) { return nil, context.Canceled }),
		"the value cannot be kept":   do(func(context.Context) (any, error) { return make(chan int), nil }),
		"the recovery failed": recovered(func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{}, context.Canceled
		}),
		"the recovery does not know": recovered(func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{}, nil
		}),
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, logs := told(t, memstore.New(memstore.Config{}), semel.Config{})
				if strings.Contains(want, "recovery") {
					reserve(t, e, semel.Call{Key: secretKey}).Abandon(t.Context())
					time.Sleep(lapse)
					logs.Reset()
				}
				attempt(t, e)
				reason := want
				if strings.Contains(want, " ") {
					reason = `"` + want + `"`
				}
				if got := logs.String(); strings.Count(got, held) != 1 || !strings.Contains(got, " reason="+reason+" ") || leaks(got) {
					t.Errorf("got %q, want one line with the reason %s and no key", got, reason)
				}
			})
		})
	}
}

// A sweep asks about the same records round by round: its lines are for debugging.
func TestSweepDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, logs := told(t, memstore.New(memstore.Config{}), semel.Config{})
		reserve(t, e, call("order-1", "x")).Abandon(t.Context())
		time.Sleep(lapse)
		logs.Reset()
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		asked := 0
		_ = e.RunSweep(ctx, semel.Sweeping{Every: time.Minute, Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
			asked++
			return semel.Recovery{}, nil
		}})
		if asked < 5 || logs.Len() > 0 {
			t.Errorf("asked %d times and logged %q, want several and nothing", asked, logs)
		}
	})
}

// Running counts what runs, and knows for how long the oldest has.
func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		want := func(n int, oldest time.Duration) {
			t.Helper()
			if gotN, gotOldest := e.Running(); gotN != n || gotOldest != oldest {
				t.Errorf("got %d, the oldest for %v, want %d and %v", gotN, gotOldest, n, oldest)
			}
		}
		want(0, 0)
		first := reserve(t, e, call("order-1", "x"))
		time.Sleep(time.Second)
		second := reserve(t, e, call("order-2", "x"))
		time.Sleep(time.Second)
		want(2, 2*time.Second)
		complete(t, first, answer("paid"))
		want(1, time.Second)
		_ = second.Release(t.Context())
		want(0, 0)
	})
}
