package natsstore_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// raw returns the message of a key as the stream has it.
func raw(t testing.TB, s *natsstore.Store, stream string, key semel.Key) *jetstream.RawStreamMsg {
	t.Helper()
	st, err := client(t, s).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := st.GetLastMsgForSubject(t.Context(), s.SubjectOf(key))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// publish writes a message past the store.
func publish(t testing.TB, s *natsstore.Store, key semel.Key, value []byte, ttl string) {
	t.Helper()
	msg := &nats.Msg{Subject: s.SubjectOf(key), Data: value, Header: nats.Header{}}
	msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	if ttl != "" {
		msg.Header.Set(jetstream.MsgTTLHeader, ttl)
	}
	if _, err := client(t, s).PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func reserve(t testing.TB, s *natsstore.Store, r semel.Reservation) semel.Record {
	t.Helper()
	held, err := s.Reserve(t.Context(), r)
	if err != nil || held.Token != r.Token {
		t.Fatalf("got a %v slot held by %v, error %v, want it for %v", held.State, held.Token, err, r.Token)
	}
	return held
}

func complete(t testing.TB, s *natsstore.Store, r semel.Reservation, with semel.Response) {
	t.Helper()
	c := semel.Completion{Key: r.Key, Token: r.Token, Response: with, Retention: r.Retention}
	if err := s.Complete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// I9: the server is never told to delete a reservation, renewed or not. What
// was completed or released has a life that ends after its retention, in whole
// seconds, and a completion does not lose it.
func TestTTL(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "TTL"}
	s, other := open(t, server.URL(), cfg), open(t, server.URL(), cfg)
	life := func(what string, key semel.Key, least time.Duration) {
		t.Helper()
		text := raw(t, s, cfg.Stream, key).Header.Get(jetstream.MsgTTLHeader)
		seconds, err := strconv.Atoi(text)
		got := time.Duration(seconds) * time.Second
		if err != nil || got < least+time.Minute || got > least+3*time.Minute {
			t.Errorf("%s: got a life of %q, want %v and a minute more", what, text, least)
		}
	}
	unlimited := func(what string, key semel.Key) {
		t.Helper()
		if ttl := raw(t, s, cfg.Stream, key).Header.Get(jetstream.MsgTTLHeader); ttl != "" {
			t.Errorf("%s: got a life of %q, want none (I9)", what, ttl)
		}
	}
	for i, settler := range []*natsstore.Store{s, other} { // with a hint and without
		r := request(fmt.Sprint("completed ", i))
		r.Retention = 90*time.Minute + time.Nanosecond
		reserve(t, s, r)
		unlimited("a reservation", r.Key)
		if lost, err := settler.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
			t.Fatal(lost, err)
		}
		unlimited("a renewed reservation", r.Key)
		complete(t, settler, r, answerOf("a"))
		life("completed", r.Key, 90*time.Minute)

		r = request(fmt.Sprint("released ", i))
		reserve(t, s, r)
		if err := settler.Release(t.Context(), r.Key, r.Token); err != nil {
			t.Fatal(err)
		}
		life("released", r.Key, 24*time.Hour-time.Minute)
	}
	r := request("for ever")
	r.Retention = 200 * 365 * 24 * time.Hour
	reserve(t, s, r)
	complete(t, s, r, answerOf("a"))
	unlimited("kept for centuries", r.Key)
}

// I6, I9: a slot whose message the server has deleted by its life is absent, with
// and without a marker in its place, under a larger fence than before.
func TestServerDeletes(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	for name, marker := range map[string]bool{"plain": false, "marker": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := "DELETES-" + name
			model := open(t, server.URL(), natsstore.Config{Stream: "MODEL-" + name})
			js := client(t, model)
			c := configOf(t, js, "MODEL-"+name)
			c.Name, c.Subjects = stream, []string{stream + ".*"}
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			s := connect(t, server.URL(), natsstore.Config{Stream: stream})
			r := request("a")
			before := reserve(t, s, r)
			complete(t, s, r, answerOf("a"))
			publish(t, s, r.Key, raw(t, s, stream, r.Key).Data, "1") // the same record, with a short life
			st, err := js.Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			natstest.Poll(t, "the server deletes it", func() error {
				_, err := st.GetLastMsgForSubject(t.Context(), s.SubjectOf(r.Key))
				if errors.Is(err, jetstream.ErrMsgNotFound) {
					return nil
				}
				if err == nil {
					err = errors.New("it is there")
				}
				return err
			})
			if marker { // as a stream with subject_delete_marker_ttl would put in its place
				msg := nats.NewMsg(s.SubjectOf(r.Key))
				msg.Header.Set(jetstream.MarkerReasonHeader, "MaxAge")
				if _, err := js.PublishMsg(t.Context(), msg); err != nil {
					t.Fatal(err)
				}
			}
			for rec, err := range s.List(t.Context(), semel.Filter{}) {
				t.Errorf("got a %v record, error %v, want none", rec.State, err)
			}
			if err := s.Release(t.Context(), r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
				t.Errorf("release: got error %v, want ErrLost", err)
			}
			next := request("a")
			held := reserve(t, s, next)
			if held.Attempts != 1 || held.Fence <= before.Fence {
				t.Errorf("got attempt %d under fence %d, want the first above %d (I6)", held.Attempts, held.Fence, before.Fence)
			}
			complete(t, s, next, answerOf("b"))
		})
	}
}

// A value that no step wrote is an error of every step and never an absent slot.
func TestDamageIsNoAbsence(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Stream: "DAMAGE"})
	r := request("the-key")
	reserve(t, s, r)
	complete(t, s, r, answerOf("a"))
	good := raw(t, s, "DAMAGE", r.Key).Data
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	newer := append([]byte(nil), good...)
	newer[3] = 3
	for what, value := range map[string][]byte{
		"empty": nil, "foreign": []byte("hello"), "cut": good[:len(good)-9], "flipped": flipped, "newer": newer,
	} {
		publish(t, s, r.Key, value, "")
		other := request("the-key")
		_, reserved := s.Reserve(t.Context(), other)
		errs := map[string]error{
			"reserve":  reserved,
			"complete": s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}),
			"begin":    s.BeginEffects(t.Context(), r.Key, r.Token),
			"release":  s.Release(t.Context(), r.Key, r.Token),
			"resolve":  s.Resolve(t.Context(), semel.Resolution{Key: r.Key}),
		}
		for _, err := range s.List(t.Context(), semel.Filter{}) {
			errs["list"] = err
		}
		for step, err := range errs {
			var damage *natsstore.DamagedError
			var schema *natsstore.SchemaError
			if what != "newer" && (!errors.As(err, &damage) || damage.Slot != r.Key.Slot() || !errors.Is(err, semel.ErrDamaged)) {
				t.Errorf("%s, %s: got error %v, want a DamagedError that is a semel.ErrDamaged", what, step, err)
			}
			if what == "newer" && (!errors.As(err, &schema) || schema.Have != 3) {
				t.Errorf("%s, %s: got error %v, want a SchemaError", what, step, err)
			}
			if err != nil && strings.Contains(err.Error(), "the-key") {
				t.Errorf("%s, %s: the error has the key: %v", what, step, err)
			}
		}
	}
	elsewhere := request("elsewhere")
	publish(t, s, elsewhere.Key, good, "")
	var damage *natsstore.DamagedError
	if _, err := s.Reserve(t.Context(), elsewhere); !errors.As(err, &damage) {
		t.Errorf("the record of another slot: got error %v, want a DamagedError (I13)", err)
	}
}

// I4: a response that does not fit into a message is refused before it is sent,
// with the limit, and the attempt may still complete with another.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{MaxPayload: 1 << 20})
	s := open(t, server.URL(), natsstore.Config{Stream: "LARGE"})
	r := request("a")
	held := reserve(t, s, r)
	for range 2 {
		err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200, Body: make([]byte, 1<<20)}})
		if !errors.Is(err, semel.ErrTooLarge) || !strings.Contains(err.Error(), "1048576") {
			t.Errorf("got error %v, want ErrTooLarge and the limit", err)
		}
	}
	if !s.Conn().IsConnected() {
		t.Error("the server closed the connection: the message was sent")
	}
	other := request("a")
	if got, err := s.Reserve(t.Context(), other); err != nil || got.Token != r.Token || got.Fence != held.Fence || got.State != semel.StateReserved {
		t.Errorf("got a %v slot of %v, error %v, want it as it was", got.State, got.Token, err)
	}
	complete(t, s, r, semel.Response{Status: 200, Body: make([]byte, 1<<20-1024)})
	if _, err := s.Reserve(t.Context(), semel.Reservation{Key: semel.Key{Scope: "s", ID: "i"}, Token: semel.NewToken(), Lease: time.Hour, Owner: strings.Repeat("x", 1<<20)}); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("reserve: got error %v, want ErrTooLarge", err)
	}
}

// I2, I9: a full stream refuses new keys with ErrFull and drops nothing; what it
// has is replayed, and a larger one takes more.
func TestFull(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Stream: "FULL", MaxBytes: 64 << 10})
	kept := request("kept")
	reserve(t, s, kept)
	complete(t, s, kept, answerOf("kept"))
	n := 1
	fill := func() error {
		r := request(fmt.Sprint(n))
		if _, err := s.Reserve(t.Context(), r); err != nil {
			return err
		}
		n++
		return s.Release(t.Context(), r.Key, r.Token)
	}
	var err error
	for err == nil && n < 1000 {
		err = fill()
	}
	if !errors.Is(err, semel.ErrFull) {
		t.Fatalf("got error %v after %d keys, want ErrFull", err, n)
	}
	listed := 0
	for _, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed++
	}
	if listed != n {
		t.Errorf("got %d records of %d", listed, n)
	}
	if held, err := s.Reserve(t.Context(), request("kept")); err != nil || held.State != semel.StateCompleted || held.Token != kept.Token {
		t.Errorf("got a %v slot, error %v, want a replay", held.State, err)
	}
	larger := connect(t, server.URL(), natsstore.Config{Stream: "FULL", MaxBytes: 128 << 10})
	if err := larger.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := fill(); err != nil {
		t.Errorf("in a larger stream: %v (L4)", err)
	}
}

// I9: a lapsed reservation is listed after its retention too: it waits for an
// operator.
func TestLapsedIsListed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Stream: "LAPSED"})
	r := request("a")
	r.Lease, r.Retention = time.Millisecond, time.Millisecond
	reserve(t, s, r)
	natstest.Poll(t, "the lease ends", func() error {
		n := 0
		for _, err := range s.List(t.Context(), semel.Filter{Lapsed: true}) {
			if err != nil {
				return err
			}
			n++
		}
		if n != 1 {
			return fmt.Errorf("got %d lapsed records, want 1", n)
		}
		return nil
	})
}

// I9: a kill of the server brings no reservation back whose response is over and
// was deleted by the server, although nothing was written since.
func TestReservationsStayAway(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{SyncAlways: true})
	s := open(t, server.URL(), natsstore.Config{Stream: "STAY"})
	s.SetGrace(time.Second) // none would be for ever, if the retention is over before the completion
	for i := range 20 {
		r := request(fmt.Sprint(i))
		r.Retention = time.Millisecond
		reserve(t, s, r)
		if lost, err := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
			t.Fatal(lost, err)
		}
		complete(t, s, r, answerOf("a"))
	}
	js := client(t, s)
	st, err := js.Stream(t.Context(), "STAY")
	if err != nil {
		t.Fatal(err)
	}
	empty := func() error {
		info, err := st.Info(t.Context())
		if err == nil && info.State.Msgs > 0 {
			err = fmt.Errorf("%d messages are left", info.State.Msgs)
		}
		return err
	}
	natstest.Poll(t, "the server deletes what is over", empty)
	server.Kill(t)
	server.Start(t)
	natstest.Poll(t, "nothing is back", empty)
}
