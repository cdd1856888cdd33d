package redisstore_test

import (
	"embed"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// The scripts of the last version that knew layout 1 alone.
//
//go:embed testdata/layout1
var layout1 embed.FS

// older is a program of that version on the same records.
type older struct {
	t      *testing.T
	c      *redis.Client
	prefix string
}

func (o older) run(name string, r semel.Reservation, args ...any) (string, error) {
	o.t.Helper()
	var source strings.Builder
	for _, file := range []string{"record", name} {
		text, err := layout1.ReadFile("testdata/layout1/" + file + ".lua")
		must(o.t, "read", err)
		source.Write(text)
	}
	return o.c.Eval(o.t.Context(), source.String(), []string{keyOf(o.prefix, r)}, args...).Text()
}

// reserve returns a digit that says whether the slot is lapsed, and the record.
func (o older) reserve(r semel.Reservation) (string, error) {
	name := append(append([]byte{}, r.Fingerprint[:]...), r.Token[:]...)
	for _, s := range []string{r.Key.Scope, r.Key.ID, r.Owner} {
		name = binary.BigEndian.AppendUint32(name, uint32(len(s)))
	}
	name = append(name, r.Key.Scope+r.Key.ID+r.Owner...)
	return o.run("reserve", r, name, r.Lease.Microseconds(), r.Retention.Microseconds(), 0, "1", "0")
}

// holds checks what the older program finds.
func (o older) holds(what string, r semel.Reservation, state semel.State, within string) {
	o.t.Helper()
	got, err := o.reserve(another(r))
	if err != nil || got[4] != 1 || semel.State(got[5]) != state || !strings.Contains(got, within) {
		o.t.Errorf("%s: the older program found %.200q, error %v, want a %v record of layout 1", what, got, err, state)
	}
}

// refuses checks that no step of the older program reads or writes the record.
func (o older) refuses(what string, r semel.Reservation) {
	o.t.Helper()
	value, err := o.c.Dump(o.t.Context(), keyOf(o.prefix, r)).Result()
	must(o.t, "dump", err)
	_, reserve := o.reserve(another(r))
	_, complete := o.run("complete", r, r.Token[:], 200, 1, "response", "1")
	_, renew := o.run("renew", r, r.Token[:], 0)
	for step, err := range map[string]error{"reserve": reserve, "complete": complete, "renew": renew} {
		if !redis.HasErrorPrefix(err, "SEMEL version 2") {
			o.t.Errorf("%s, %s: the older program got error %v, want one about the version", what, step, err)
		}
	}
	if now, err := o.c.Dump(o.t.Context(), keyOf(o.prefix, r)).Result(); err != nil || now != value {
		o.t.Errorf("%s: the older program changed the record (error %v)", what, err)
	}
}

// I3, I9: while a program replaces one of the version before, each reads what
// the other wrote, or refuses it and leaves it as it is. None misreads.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s := open(t, server.DSN(), redisstore.Config{Prefix: prefix})
	o := older{t, admin(t, server.Addr()), prefix}

	r := ask("the older one's")
	_, err := o.reserve(r)
	must(t, "reserve", err)
	held, err := s.Reserve(t.Context(), another(r))
	must(t, "reserve", err)
	if held.Token != r.Token || held.Deferred || held.Blameless() || held.Reason != "" || held.Owner != r.Owner {
		t.Errorf("got %+v, want the reservation, not deferred", held)
	}
	must(t, "begin effects", s.BeginEffects(t.Context(), r.Key, r.Token))
	o.holds("begun", r, semel.StateReserved, string(r.Token[:]))
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	o.holds("completed", r, semel.StateCompleted, string(answer(r).Body))

	r = ask("a deferred one")
	r.Deferred = true
	grant(t, s, r)
	lost, err := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	if err != nil || len(lost) > 0 {
		t.Fatalf("renew: got %d lost, error %v", len(lost), err)
	}
	o.refuses("deferred", r)
	must(t, "begin effects", s.BeginEffects(t.Context(), r.Key, r.Token))
	o.holds("begun", r, semel.StateReserved, string(r.Token[:]))

	r = ask("one that stays deferred")
	r.Deferred = true
	grant(t, s, r)
	o.refuses("deferred", r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	o.holds("completed", r, semel.StateCompleted, string(answer(r).Body))

	r = ask("one that is released deferred")
	r.Deferred = true
	grant(t, s, r)
	must(t, "release", s.Release(t.Context(), r.Key, r.Token))
	o.holds("released, and reserved again", r, semel.StateReserved, "")

	r = ask("a resolved one")
	r.Deferred = true
	held = grant(t, s, r)
	_, err = s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	must(t, "resolve", s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence, Reason: "asked the bank", Retention: time.Hour}))
	o.refuses("resolved with a reason", r)
	grant(t, s, another(ask("a resolved one")))
	o.holds("reserved again", r, semel.StateReserved, "")
}

// The longest reason is kept, whatever its bytes, and a longer one is refused
// before anything is written.
func TestReasonLength(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	r := ask("a")
	held := grant(t, s, r)
	_, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	resolution := semel.Resolution{
		Key: r.Key, Fence: held.Fence, Retention: time.Hour,
		Reason: "\x00\xff" + strings.Repeat("x", semel.MaxReasonLen-1), Response: &semel.Response{Status: 201, Body: []byte("body")},
	}
	if err := s.Resolve(t.Context(), resolution); err == nil || !strings.Contains(err.Error(), "1025 bytes, and 1024") {
		t.Errorf("got error %v, want one that says how long it may be", err)
	}
	resolution.Reason = resolution.Reason[:semel.MaxReasonLen]
	must(t, "resolve", s.Resolve(t.Context(), resolution))
	got, err := s.Reserve(t.Context(), another(r))
	if err != nil || got.State != semel.StateCompleted || got.Reason != resolution.Reason || string(got.Response.Body) != "body" {
		t.Errorf("got a %v slot, error %v, want the resolution with its reason", got.State, err)
	}
}
