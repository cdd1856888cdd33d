package redisstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// keyOf is where the record of r is.
func keyOf(prefix string, r semel.Reservation) string {
	return prefix + "{" + r.Key.Slot().String() + "}"
}

// I9: a reservation has no time to live, whatever the slot was before; a
// completed or free one has what is left of its retention.
func TestReservationHasNoTTL(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s, c := open(t, server.DSN(), redisstore.Config{Prefix: prefix}), admin(t, server.Addr())
	r := ask("a")
	check := func(when string, forever bool) {
		t.Helper()
		ttl, err := c.PTTL(t.Context(), keyOf(prefix, r)).Result()
		must(t, "pttl", err)
		if forever != (ttl == -1) || !forever && (ttl <= 0 || ttl > r.Retention+time.Second) {
			t.Errorf("%s: got TTL %v, want none: %v", when, ttl, forever)
		}
	}
	grant(t, s, r)
	check("reserved", true)
	must(t, "release", s.Release(t.Context(), r.Key, r.Token))
	check("free", false)
	r = another(r)
	grant(t, s, r)
	check("reserved again", true)
	_, err := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "renew", err)
	check("renewed", true)
	_, err = s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	check("lapsed", true)
	r = another(r)
	r.TakeOver = true
	held := grant(t, s, r)
	check("taken over", true)
	_, err = s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	must(t, "resolve", s.Resolve(t.Context(), semel.Resolution{
		Key: r.Key, Fence: held.Fence, Retention: r.Retention, Response: &semel.Response{Status: 200},
	}))
	check("resolved", false)
	r = ask("b")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	check("completed", false)
}

// A slot is free again when its retention is over, also when somebody took the
// time to live away.
func TestExpiryWithoutTTL(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s, c := open(t, server.DSN(), redisstore.Config{Prefix: prefix}), admin(t, server.Addr())
	var r semel.Reservation
	var held semel.Record
	for n, kept := 1, false; !kept; n *= 2 { // a slow machine finds it gone, and needs longer
		r = ask(fmt.Sprint("a", n))
		r.Retention = time.Duration(n) * 300 * time.Millisecond
		held = grant(t, s, r)
		must(t, "complete", s.Complete(t.Context(), completion(r)))
		var err error
		kept, err = c.Persist(t.Context(), keyOf(prefix, r)).Result()
		must(t, "persist", err)
	}
	until(t, "the retention is over", func() bool { return time.Now().After(held.ExpiresAt.Add(50 * time.Millisecond)) })
	r = another(r)
	if got := grant(t, s, r); got.Attempts != 1 || got.Fence <= held.Fence {
		t.Errorf("got attempt %d under fence %d, want the first, under more than %d (I6)", got.Attempts, got.Fence, held.Fence)
	}
}

// What is no record of ours, or one of another layout, older or newer, is an
// error of every step that meets it, never a reservation and never a replay, and
// it stays as it is (I12).
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	c := admin(t, server.Addr())
	type damage func(prefix string, r semel.Reservation, value string) error
	set := func(change func(v []byte) []byte) damage {
		return func(prefix string, r semel.Reservation, value string) error {
			return c.Set(t.Context(), keyOf(prefix, r), change([]byte(value)), 0).Err()
		}
	}
	for name, d := range map[string]struct {
		damage damage
		writes bool // also the steps that write see it
		schema bool // of another version of the layout
	}{
		"another type": {damage: func(prefix string, r semel.Reservation, _ string) error {
			c.Del(t.Context(), keyOf(prefix, r))
			return c.HSet(t.Context(), keyOf(prefix, r), "field", "value").Err()
		}, writes: true},
		"empty":     {damage: set(func([]byte) []byte { return nil }), writes: true},
		"foreign":   {damage: set(func([]byte) []byte { return []byte(strings.Repeat("value ", 100)) }), writes: true},
		"cut off":   {damage: set(func(v []byte) []byte { return v[:80] }), writes: true},
		"older":     {damage: set(func(v []byte) []byte { v[3] = 0; return v }), writes: true, schema: true},
		"newer":     {damage: set(func(v []byte) []byte { v[3] = 3; return v }), writes: true, schema: true},
		"deferred":  {damage: set(extend(1, ""))},
		"half":      {damage: set(extend(2, ""))},
		"endless":   {damage: set(func(v []byte) []byte { v = extend(0, "")(v); v[50] = 0xff; return v }), writes: true},
		"names":     {damage: set(func(v []byte) []byte { v[97] = 1; return v })},
		"state":     {damage: set(func(v []byte) []byte { v[4] = 7; return v }), writes: true},
		"another's": {damage: set(func(v []byte) []byte { v[109] ^= 1; return v })},
		"response":  {damage: set(func(v []byte) []byte { v[len(v)-1] ^= 1; return v })},
		"no tail":   {damage: set(func(v []byte) []byte { return v[:109+len("tenant-1")+len("a")+len("host/1")] })},
		"status":    {damage: set(func(v []byte) []byte { v[8]++; return v })},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := servertest.Name(t)
			s := open(t, server.DSN(), redisstore.Config{Prefix: prefix})
			r := ask("a")
			held := grant(t, s, r)
			must(t, "complete", s.Complete(t.Context(), completion(r)))
			value, err := c.Get(t.Context(), keyOf(prefix, r)).Result()
			must(t, "get", err)
			must(t, "damage", d.damage(prefix, r, value))
			before, err := c.Dump(t.Context(), keyOf(prefix, r)).Result()
			must(t, "dump", err)

			_, reserve := s.Reserve(t.Context(), another(r))
			_, renew := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
			var list error
			for _, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
				list = err
			}
			errs := map[string]error{"reserve": reserve, "list": list}
			if d.writes {
				errs["complete"] = s.Complete(t.Context(), completion(r))
				errs["begin effects"] = s.BeginEffects(t.Context(), r.Key, r.Token)
				errs["release"] = s.Release(t.Context(), r.Key, r.Token)
				errs["renew"] = renew
				errs["resolve"] = s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence})
			}
			for step, err := range errs {
				found, schema := errors.AsType[*redisstore.SchemaError](err)
				if schema != d.schema || !schema && !errors.Is(err, semel.ErrDamaged) || schema && (found.Found == 1 || found.Found == 2 || found.Want != 2) || !strings.HasPrefix(err.Error(), "redisstore: "+step+": ") {
					t.Errorf("%s: got error %v, want one that names the step and the damage", step, err)
				}
			}
			if after, err := c.Dump(t.Context(), keyOf(prefix, r)).Result(); err != nil || after != before {
				t.Errorf("the value was changed (error %v)", err)
			}
		})
	}
}

// extend makes a record of layout 1 one of layout 2.
func extend(deferred byte, reason string) func(v []byte) []byte {
	return func(v []byte) []byte {
		extension := append([]byte{deferred, byte(len(reason) >> 8), byte(len(reason))}, reason...)
		v[3] = 2
		return slices.Insert(v, 49, extension...)
	}
}

// Foreign keys beside the records do not disturb a list.
func TestListPassesForeignKeys(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s, c := open(t, server.DSN(), redisstore.Config{Prefix: prefix}), admin(t, server.Addr())
	longer := open(t, server.DSN(), redisstore.Config{Prefix: prefix + ":"})
	r := ask("a")
	grant(t, s, r)
	grant(t, longer, r)
	for _, key := range []string{"{}", "{abc}", "{" + strings.Repeat("z", 64) + "}", "{" + strings.Repeat("A", 64) + "}"} {
		must(t, "set", c.Set(t.Context(), prefix+key, "foreign", time.Minute).Err())
	}
	n := 0
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		must(t, "list", err)
		if n++; rec.Key != r.Key {
			t.Error("got another record")
		}
	}
	if n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
	for _, err := range s.List(t.Context(), semel.Filter{Slot: "no slot"}) {
		if err == nil || !strings.Contains(err.Error(), "hexadecimal") {
			t.Errorf("got error %v, want one about the slot", err)
		}
	}
}

// L1: an attempt that was given up is lapsed whatever the margin, also one that
// is longer than the time since 1970.
func TestAbandonedWhateverTheMargin(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	r := ask("a")
	grant(t, s, r)
	_, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	r = another(r)
	r.TakeOver, r.Margin = true, 200*365*24*time.Hour
	grant(t, s, r)
}
