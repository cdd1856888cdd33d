//go:build unix

package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// nobodyWaits: while the line to the server is silent, every caller of an engine
// is told so when his time is over (L3), and not before; when the line is back, so
// is service, and the slot of the attempt that could not be stored is not given
// to anybody (I1, I9, L4).
func nobodyWaits(t *testing.T, rig *Rig) {
	const patience = 400 * time.Millisecond // less than any driver's
	config := semel.Config{ReserveTimeout: patience, CompleteTimeout: patience, Logger: slog.New(slog.DiscardHandler)}
	engine, err := semel.New(rig.Store, config)
	if err != nil {
		t.Fatal(err)
	}
	call := func(id string) semel.Call {
		return semel.Call{Key: semel.Key{Scope: t.Name(), ID: id}, Fingerprint: requests[0]}
	}
	claimed := begin(t, engine, func(try int) semel.Call { return call(fmt.Sprint("claimed ", try)) })
	if claimed.Claim == nil {
		t.Fatalf("a fresh key is %v", claimed.Kind)
	}
	rig.Link.Blackhole()
	defer rig.Link.Heal()
	ends(t, "Begin", patience, func() error {
		_, err := engine.Begin(context.Background(), call("asked"))
		if _, ok := errors.AsType[*semel.StoreError](err); !ok {
			t.Errorf("Begin over a silent line: %v, want a StoreError", err)
		}
		return err
	})
	ends(t, "Complete", patience, func() error {
		err := claimed.Claim.Complete(context.Background(), semel.Response{Status: 200})
		if !errors.Is(err, semel.ErrNotStored) {
			t.Errorf("Complete over a silent line: %v, want ErrNotStored", err)
		}
		return err
	})
	ends(t, "Close", patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := engine.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close over a silent line: %v, want that its context is over", err)
		}
		return err
	})
	rig.Link.Heal()
	rig.WaitUntilServing(t)
	next, err := semel.New(rig.Store, semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got := begin(t, next, func(int) semel.Call { return call(claimed.Record.Key.ID) }); got.Kind != semel.InFlight && got.Kind != semel.Replay {
		t.Errorf("I9: the slot of an attempt that was not stored is %v", got.Kind)
	}
	fresh := begin(t, next, func(try int) semel.Call { return call(fmt.Sprint("new ", try)) })
	if fresh.Claim == nil {
		t.Fatalf("L4: a fresh key is %v", fresh.Kind)
	}
	if err := fresh.Claim.Complete(context.Background(), semel.Response{Status: 200}); err != nil {
		t.Errorf("L4: %v", err)
	}
	closing, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := next.Close(closing); err != nil {
		t.Error(err)
	}
}

// begin asks until the store answers, for up to a minute. An earlier try may have
// got its key without knowing.
func begin(t *testing.T, e *semel.Engine, call func(try int) semel.Call) semel.Outcome {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for try := 1; ; try++ {
		got, err := e.Begin(context.Background(), call(try))
		if err == nil {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("L4: no service after a minute: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ends runs a step that must end, not before least, and long before anybody would
// call it hung.
func ends(t *testing.T, name string, least time.Duration, step func() error) {
	t.Helper()
	const hung = 30 * time.Second
	begun := time.Now()
	_, err := within(hung, func() (struct{}, error) { return struct{}{}, step() })
	took := time.Since(begun)
	t.Logf("%s ended after %v: %v", name, took.Round(time.Millisecond), err)
	switch {
	case errors.Is(err, errImpatient):
		t.Fatalf("L3: %s still waits after %v", name, hung)
	case took < least:
		t.Errorf("%s gave up after %v, before its time-out of %v", name, took, least)
	}
}
