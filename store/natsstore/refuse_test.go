package natsstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// replay reserves a slot that r completed with answerOf its id.
func replay(t testing.TB, s *natsstore.Store, r semel.Reservation) {
	t.Helper()
	r.Token = semel.NewToken()
	held, err := s.Reserve(t.Context(), r)
	want := answerOf(r.Key.ID)
	if err != nil || held.State != semel.StateCompleted || held.Response.Status != want.Status || string(held.Response.Body) != string(want.Body) {
		t.Errorf("%s: got a %v slot, error %v, want the kept response (I2, I3)", r.Key.ID, held.State, err)
	}
}

// settle are the steps that write, on a slot that r holds.
func settle(t testing.TB, s *natsstore.Store, r semel.Reservation) map[string]error {
	t.Helper()
	fresh := r
	fresh.Key.ID, fresh.Token = r.Key.ID+" fresh "+semel.NewToken().String(), semel.NewToken()
	_, reserve := s.Reserve(t.Context(), fresh)
	lost, renew := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	if len(lost) > 0 {
		renew = semel.ErrLost
	}
	return map[string]error{
		"reserve": reserve, "renew": renew, "begin effects": s.BeginEffects(t.Context(), r.Key, r.Token), "release": s.Release(t.Context(), r.Key, r.Token),
		"complete": s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: answerOf(r.Key.ID), Retention: r.Retention}),
	}
}

// refused checks that each step failed with an error that names it and has text.
func refused(t testing.TB, errs map[string]error, text string) {
	t.Helper()
	for step, err := range errs {
		if err == nil || !strings.HasPrefix(err.Error(), "natsstore: "+step+": ") || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got error %v, want one that names the step and says %q", step, err, text)
		}
	}
}

// L4: a stream that is deleted under a store is missing, as every step says,
// until Migrate has made it anew. What the old one held is gone: its attempts
// get ErrLost, whatever this process remembers of them (I4), and fences go on (I6).
func TestStreamIsDeleted(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "GONE"})
	hinted, other := request("hinted"), request("other")
	fence := reserve(t, s, hinted).Fence
	reserve(t, s, other)
	js := client(t, s)
	if err := js.DeleteStream(t.Context(), "GONE"); err != nil {
		t.Fatal(err)
	}
	var missing *natsstore.SchemaError
	for range 2 { // with the stream that the store remembers, and without
		for step, err := range settle(t, s, hinted) {
			if !errors.As(err, &missing) || missing.Have != 0 || !strings.HasPrefix(err.Error(), "natsstore: "+step+": ") {
				t.Errorf("%s: got error %v, want one that says that the stream is missing", step, err)
			}
		}
	}
	found, err := s.Inspect(t.Context())
	if err != nil || !has(found, "stream", "missing", semel.Broken) {
		t.Errorf("inspect: got %+v, %v, want the missing stream", found, err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []semel.Reservation{hinted, other} {
		for step, err := range settle(t, s, r) {
			if step == "reserve" && err != nil || step != "reserve" && !errors.Is(err, semel.ErrLost) {
				t.Errorf("%s: got error %v, want a new reservation, and ErrLost for the old", step, err)
			}
		}
	}
	hinted.Token = semel.NewToken()
	if held := reserve(t, s, hinted); held.Fence <= fence || held.Attempts != 1 {
		t.Errorf("got attempt %d under fence %d, want the first, under more than %d", held.Attempts, held.Fence, fence)
	}
	complete(t, s, hinted, answerOf("hinted"))
	replay(t, s, hinted)
}

// A stream that somebody else makes anew is validated before it is served from.
func TestStreamIsReplaced(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "REPLACED"})
	reserve(t, s, request("a"))
	js := client(t, s)
	c := configOf(t, js, "REPLACED")
	if err := js.DeleteStream(t.Context(), "REPLACED"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(t.Context(), request("b")); err == nil {
		t.Error("a step succeeds without a stream")
	}
	c.AllowDirect = true
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	_, err := s.Reserve(t.Context(), request("c"))
	unfit, ok := errors.AsType[*semel.UnfitError](err)
	if !ok || unfit.Findings[0].Name != "allow_direct" {
		t.Errorf("got error %v, want one about allow_direct", err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	reserve(t, s, request("c"))
}

// A stream that is sealed under a store takes no records, as every step says:
// also a replay begins with a write that the server would refuse.
func TestStreamIsSealed(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "SEALED"})
	kept, running := request("kept"), request("running")
	reserve(t, s, kept)
	complete(t, s, kept, answerOf("kept"))
	reserve(t, s, running)
	js := client(t, s)
	c := configOf(t, js, "SEALED")
	c.Sealed = true
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	errs := settle(t, s, running)
	kept.Token = semel.NewToken()
	_, errs["reserve"] = s.Reserve(t.Context(), kept)
	refused(t, errs, "sealed")
	found, err := s.Inspect(t.Context())
	if err != nil || !has(found, "sealed", "true", semel.Broken) {
		t.Errorf("inspect: got %+v, %v, want it broken", found.Findings, err)
	}
}

// L4: a user who may not write, or not ask, is told so, and by what; when the
// server permits it, the same store serves.
func TestPermissions(t *testing.T) {
	t.Parallel()
	opts := natstest.Options{User: "semel", Password: "s3cret"}
	server := natstest.Start(t, opts)
	s := open(t, "nats://semel:s3cret@"+server.Addr(), natsstore.Config{Stream: "DENIED", Timeout: time.Second})
	kept, running := request("kept"), request("running")
	reserve(t, s, kept)
	complete(t, s, kept, answerOf("kept"))
	reserve(t, s, running)
	restart := func(deny ...string) {
		t.Helper()
		opts.Deny = deny
		server.Configure(t, opts)
		before := s.Conn().ConnectedServerId()
		server.Restart(t)
		natstest.Poll(t, "the client is connected to what was started", func() error {
			if id := s.Conn().ConnectedServerId(); id == "" || id == before {
				return errors.New("it is not")
			}
			return nil
		})
	}
	restart("DENIED.>")
	refused(t, settle(t, s, running), "ermissions violation")
	restart("$JS.API.STREAM.>")
	refused(t, map[string]error{"ping": s.Ping(t.Context()), "validate": s.Validate(t.Context())}, "ermissions violation")
	restart()
	natstest.Poll(t, "the store works again (L4)", func() error { return s.Ping(t.Context()) })
	complete(t, s, running, answerOf("running"))
	replay(t, s, running)
	replay(t, s, kept)
}
