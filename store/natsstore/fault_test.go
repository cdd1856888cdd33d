package natsstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// I1, I3, I6, I10, L4: a server that is killed with kill -9 under load has, when
// it is back, every record that it had acknowledged.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Timeout: time.Second})
	load(t, s, 3, func(int) { server.Restart(t) })
}

// L4: a server that stands still for a while is a server whose answers are late.
func TestServerStandsStill(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Timeout: 300 * time.Millisecond})
	load(t, s, 2, func(int) {
		server.Stop(t)
		_, err := s.Reserve(t.Context(), request("meanwhile"))
		server.Continue(t)
		if err == nil || errors.Is(err, semel.ErrLost) {
			t.Errorf("got error %v from a server that stands still, want one", err)
		}
	})
}

// I1, I11, L4: steps whose answers are lost on the way are repeated with the
// same token and recognise what the first try did.
func TestRepliesAreLost(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	link := servertest.NewLink(t, server.Addr())
	s := open(t, "nats://"+link.Addr(), natsstore.Config{Timeout: 500 * time.Millisecond})
	var chunks, dropped atomic.Int64
	link.DropReplies(func() bool {
		if chunks.Add(1)%97 != 0 {
			return false
		}
		dropped.Add(1)
		return true
	})
	load(t, s, 2, func(int) { link.Break() })
	link.DropReplies(nil)
	if dropped.Load() == 0 {
		t.Error("no reply was lost")
	}
}

// ADR 0017, L4: a server that is down is no error of Open. Steps say that it
// is, at once and without a password, and work when it is back.
func TestServerIsDown(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{User: "semel", Password: "s3cret"})
	server.Shutdown(t)
	s := connect(t, "nats://semel:s3cret@"+server.Addr(), natsstore.Config{})
	down := func() {
		t.Helper()
		for step, err := range steps(t, s) {
			if err == nil || errors.Is(err, semel.ErrLost) {
				t.Errorf("%s: got error %v from a server that is down, want another one", step, err)
				continue
			}
			if !strings.HasPrefix(err.Error(), "natsstore: "+step+": ") || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "the-key") {
				t.Errorf("%s: got error %q, want the store, the step and no secret", step, err)
			}
		}
	}
	down()
	server.Start(t)
	natstest.Poll(t, "the store works again (L4)", func() error { return s.Migrate(t.Context()) })
	r := request("the-key")
	if held, err := s.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Fatalf("got it held by %v, error %v, want %v", held.Token, err, r.Token)
	}
	server.Kill(t)
	natstest.Poll(t, "the client hears of it", func() error {
		if s.Conn().IsConnected() {
			return errors.New("it is connected")
		}
		return nil
	})
	down()
	server.Start(t)
	natstest.Poll(t, "the store works again (L4)", func() error { return s.Ping(t.Context()) })
	if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
		t.Errorf("complete after the outage: %v (I10)", err)
	}
}

// steps runs every step of the store and returns the errors.
func steps(t *testing.T, s *natsstore.Store) map[string]error {
	t.Helper()
	r := request("the-key")
	errs := make(map[string]error)
	_, errs["reserve"] = s.Reserve(t.Context(), r)
	errs["begin effects"] = s.BeginEffects(t.Context(), r.Key, r.Token)
	errs["complete"] = s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token})
	errs["release"] = s.Release(t.Context(), r.Key, r.Token)
	_, errs["renew"] = s.Renew(t.Context(), time.Minute, []semel.Holder{{Key: r.Key, Token: r.Token}})
	errs["resolve"] = s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: 1})

	for _, err := range s.List(t.Context(), semel.Filter{}) {
		errs["list"] = err
	}
	errs["ping"] = s.Ping(t.Context())
	errs["migrate"] = s.Migrate(t.Context())
	errs["validate"] = s.Validate(t.Context())
	_, errs["inspect"] = s.Inspect(t.Context())
	return errs
}

// A wrong password is an error of every step, without the password, and not
// the end of the store: it works when the server knows it.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{User: "semel", Password: "right"})
	s := connect(t, "nats://semel:wr0ng@"+server.Addr(), natsstore.Config{})
	natstest.Poll(t, "the server refuses", func() error {
		err := s.Ping(t.Context())
		if err == nil {
			t.Fatal("a wrong password is accepted")
		}
		if !strings.Contains(err.Error(), "uthorization") {
			return err
		}
		if strings.Contains(err.Error(), "wr0ng") {
			t.Fatalf("the error has the password: %v", err)
		}
		return nil
	})
	natstest.Poll(t, "the client was refused several times, after which by default it gives up", func() error {
		if n := strings.Count(server.Log(), "authentication error"); n < 4 {
			return fmt.Errorf("%d refusals", n)
		}
		return nil
	})
	if err := s.Ping(t.Context()); err == nil || errors.Is(err, natsstore.ErrClosed) {
		t.Errorf("got error %v, want a refusal that may end", err)
	}
	server.Configure(t, natstest.Options{User: "semel", Password: "wr0ng"})
	server.Restart(t)
	natstest.Poll(t, "the store works (L4)", func() error { return s.Migrate(t.Context()) })
	reserve(t, s, request("a"))
}

// A server without JetStream, and a stream that nobody made, are told apart
// from one that is slow.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	bare := connect(t, natstest.Start(t, natstest.Options{NoJetStream: true}).URL(), natsstore.Config{})
	if _, err := bare.Reserve(t.Context(), request("a")); err == nil || !strings.Contains(err.Error(), "jetstream") && !strings.Contains(err.Error(), "responders") {
		t.Errorf("without JetStream: got error %v, want one that says so", err)
	}
	s := connect(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{})
	var missing *natsstore.SchemaError
	for step, err := range steps(t, s) {
		switch step {
		case "ping", "migrate", "inspect": // migrate may have run before others
			continue
		}
		if err != nil && !errors.Is(err, semel.ErrLost) && !errors.As(err, &missing) {
			t.Errorf("%s: got error %v, want a SchemaError", step, err)
		}
	}
	fresh := connect(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{})
	_, err := fresh.Reserve(t.Context(), request("a"))
	if !errors.As(err, &missing) || missing.Have != 0 || missing.Want != 1 || !strings.HasPrefix(err.Error(), "natsstore: reserve: ") {
		t.Errorf("got error %v, want a SchemaError of the step", err)
	}
	found, err := fresh.Inspect(t.Context())
	if err != nil || !has(found, "stream", "missing", semel.Broken) {
		t.Errorf("inspect: got %+v, %v, want the missing stream", found, err)
	}
}

func has(found semel.Inspection, name, value string, level semel.Level) bool {
	for _, f := range found.Findings {
		if f.Name == name && f.Value == value && f.Level == level {
			return true
		}
	}
	return false
}

// Close ends what Open made, and steps say so.
func TestClose(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for step, err := range steps(t, s) {
		if !errors.Is(err, natsstore.ErrClosed) {
			t.Errorf("%s: got error %v, want ErrClosed", step, err)
		}
	}
}
