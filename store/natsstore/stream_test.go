package natsstore_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// client returns a JetStream client beside the store.
func client(t testing.TB, s *natsstore.Store) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.Conn())
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func configOf(t testing.TB, js jetstream.JetStream, stream string) jetstream.StreamConfig {
	t.Helper()
	st, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().Config
}

// Ten processes may migrate at once: all succeed, and there is one stream, of
// the configuration on which the promises rest.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "AT-ONCE", Subject: "some.prefix", MaxBytes: 1 << 30}
	var wg sync.WaitGroup
	errs := make([]error, 10)
	stores := make([]*natsstore.Store, len(errs))
	for i := range errs {
		stores[i] = connect(t, server.URL(), cfg)
	}
	for i, s := range stores {
		wg.Go(func() { errs[i] = s.Migrate(t.Context()) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	c := configOf(t, client(t, stores[0]), cfg.Stream)
	if c.AllowDirect || !c.AllowMsgTTL || c.SubjectDeleteMarkerTTL != 0 || c.MaxMsgsPerSubject != 2 || !c.AllowRollup || c.Discard != jetstream.DiscardNew ||
		c.Storage != jetstream.FileStorage || c.MaxAge != 0 || c.MaxBytes != cfg.MaxBytes || !c.DenyDelete {
		t.Errorf("got a stream of %+v", c)
	}
	if c.FirstSeq < 1e15 {
		t.Errorf("got first sequence %d, want microseconds since 1970: fences go on after a stream was made anew (I6)", c.FirstSeq)
	}
}

// Migrate repairs what can be repaired and keeps what the operator chose.
func TestMigrateUpgrades(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "UPGRADE"}
	s := open(t, server.URL(), cfg)
	r := request("a")
	if _, err := s.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	js := client(t, s)
	c := configOf(t, js, cfg.Stream)
	c.AllowDirect, c.MaxAge, c.MaxBytes, c.Compression = true, time.Hour, 1<<30, jetstream.S2Compression
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	again := connect(t, server.URL(), cfg)
	if err := again.Validate(t.Context()); err == nil {
		t.Fatal("a stream that forgets by age is valid")
	}
	if err := again.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := configOf(t, js, cfg.Stream); c.AllowDirect || c.MaxAge != 0 || c.MaxBytes != 1<<30 || c.Compression != jetstream.S2Compression {
		t.Errorf("got a stream of %+v, want it repaired and otherwise as it was", c)
	}
	other := r
	other.Token = semel.NewToken()
	if held, err := again.Reserve(t.Context(), other); err != nil || held.Token != r.Token {
		t.Errorf("got it held by %v, error %v, want %v (I10)", held.Token, err, r.Token)
	}
}

// I10: a newer program migrates the stream of an older one in place, with its
// records. Then the older one refuses it, and does not take it back.
func TestMigrateOlder(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "OLDER"}
	older, newer, late := open(t, server.URL(), cfg), connect(t, server.URL(), cfg), connect(t, server.URL(), cfg)
	newer.SetLayout(2)
	kept, running := request("kept"), request("running")
	reserve(t, older, kept)
	complete(t, older, kept, answerOf("kept"))
	reserve(t, older, running)

	var schema *natsstore.SchemaError
	_, err := newer.Reserve(t.Context(), request("a"))
	for what, err := range map[string]error{"reserve": err, "validate": newer.Validate(t.Context())} {
		if !errors.As(err, &schema) || schema.Have != 1 || schema.Want != 2 || !strings.Contains(err.Error(), "migrate") {
			t.Errorf("%s: got error %v, want a SchemaError of 1 for 2", what, err)
		}
	}
	found, err := newer.Inspect(t.Context())
	if err != nil || !has(found, "schema", "1", semel.Broken) {
		t.Errorf("inspect: got %+v, %v, want the schema broken", found.Findings, err)
	}
	for range 2 { // the second finds nothing to do
		if err := newer.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if v := configOf(t, client(t, newer), cfg.Stream).Metadata["semel.schema"]; v != "2" {
		t.Errorf("got version %q, want 2", v)
	}
	replay(t, newer, kept)
	complete(t, newer, running, answerOf("running"))
	replay(t, newer, running)

	_, err = late.Reserve(t.Context(), request("b"))
	for what, err := range map[string]error{"reserve": err, "migrate": late.Migrate(t.Context()), "validate": late.Validate(t.Context())} {
		if !errors.As(err, &schema) || schema.Have != 2 || schema.Want != 1 || !strings.Contains(err.Error(), "newer program") {
			t.Errorf("%s: got error %v, want a SchemaError of 2 for 1", what, err)
		}
	}
	if v := configOf(t, client(t, newer), cfg.Stream).Metadata["semel.schema"]; v != "2" {
		t.Errorf("got version %q, want 2: an older program took the stream back", v)
	}
}

// A stream of somebody else is left alone, and one of a newer version too.
func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := connect(t, server.URL(), natsstore.Config{Stream: "OTHER"})
	js := client(t, s)
	theirs := jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other.*"}}
	if _, err := js.CreateStream(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "other.thing", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "not made by semel") {
		t.Errorf("got error %v, want a refusal", err)
	}
	if c := configOf(t, js, "OTHER"); c.MaxMsgsPerSubject == 2 || c.Subjects[0] != "other.*" {
		t.Errorf("somebody else's stream was changed to %+v", c)
	}

	newer := open(t, server.URL(), natsstore.Config{Stream: "NEWER"})
	c := configOf(t, js, "NEWER")
	c.Metadata["semel.schema"] = "2"
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var schema *natsstore.SchemaError
	for what, err := range map[string]error{"migrate": newer.Migrate(t.Context()), "validate": newer.Validate(t.Context())} {
		if !errors.As(err, &schema) || schema.Have != 2 || schema.Want != 1 {
			t.Errorf("%s: got error %v, want a SchemaError of 2", what, err)
		}
	}
	older := connect(t, server.URL(), natsstore.Config{Stream: "NEWER"})
	if _, err := older.Reserve(t.Context(), request("a")); !errors.As(err, &schema) {
		t.Errorf("reserve: got error %v, want a SchemaError: nobody serves from a stream that he does not know", err)
	}
}

// Each setting under which records would be lost, or read late, is refused by
// its name, before anything is served, and reported as broken.
func TestUnfitStreams(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	for name, unfit := range map[string]func(*jetstream.StreamConfig){
		"allow_direct":              func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"max_age":                   func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs_per_subject":      func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"subject_delete_marker_ttl": func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Hour },
		"allow_rollup_hdrs":         func(c *jetstream.StreamConfig) { c.AllowRollup = false },
		"retention":                 func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"discard":                   func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 1000 },
		"allow_msg_ttl":             func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false },
		"no_ack":                    func(c *jetstream.StreamConfig) { c.NoAck = true },
		"subjects":                  func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere.>"} },
		"storage":                   func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"schema":                    func(c *jetstream.StreamConfig) { c.Metadata = nil },
		"persist_mode":              func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"subject_transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: c.Name + ".*", Destination: "x.{{wildcard(1)}}"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := open(t, server.URL(), natsstore.Config{Stream: "MODEL-" + name})
			js := client(t, model)
			c := configOf(t, js, "MODEL-"+name)
			c.Name, c.Subjects = "UNFIT-"+name, []string{"UNFIT-" + name + ".*"}
			unfit(&c)
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			s := connect(t, server.URL(), natsstore.Config{Stream: c.Name})
			_, err := s.Reserve(t.Context(), request("a"))
			var schema *natsstore.SchemaError
			if err == nil || !strings.Contains(err.Error(), name) && !errors.As(err, &schema) {
				t.Errorf("reserve: got error %v, want one that names %s", err, name)
			}
			found, err := s.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found.Findings {
				if (f.Level == semel.Broken) != (f.Name == name) || f.Level != semel.Fine && f.Advice == "" {
					t.Errorf("got finding %+v, want only %s to be broken", f, name)
				}
			}
		})
	}
}

// A stream in memory is served from only if that is accepted by name.
func TestMemoryByName(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	model := open(t, server.URL(), natsstore.Config{Stream: "MODEL"})
	js := client(t, model)
	c := configOf(t, js, "MODEL")
	c.Name, c.Subjects, c.Storage = "MEMORY", []string{"MEMORY.*"}, jetstream.MemoryStorage
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s := connect(t, server.URL(), natsstore.Config{Stream: "MEMORY", AcceptMemory: true, SyncAlways: true})
	if _, err := s.Reserve(t.Context(), request("a")); err != nil {
		t.Fatal(err)
	}
	if g := s.Grade(); g.Letter != "C" {
		t.Errorf("got grade %v, want C: nothing of it is on a disk", g)
	}
}

// The grade is the worst until the stream was looked at, and B only on the
// operator's word.
func TestGradeAndInspect(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{SyncAlways: true, MaxPayload: 1 << 20})
	cfg := natsstore.Config{Stream: "GRADE"}
	plain := open(t, server.URL(), cfg)
	cfg.SyncAlways = true
	synced := connect(t, server.URL(), cfg)
	if g := synced.Grade(); g.Letter != "C" {
		t.Errorf("before a look: got grade %v, want C", g)
	}
	found, err := synced.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if g := synced.Grade(); g.Letter != "B" {
		t.Errorf("got grade %v, want B", g)
	}
	if found.Server != "NATS 2.15.2" || time.Since(found.Clock).Abs() > time.Hour {
		t.Errorf("got server %q with clock %v", found.Server, found.Clock)
	}
	if !has(found, "num_replicas", "1", semel.Weak) || !has(found, "max_payload", "1048576", semel.Weak) ||
		!has(found, "sync_interval", "always (the operator's word)", semel.Fine) || !has(found, "allow_direct", "false", semel.Fine) {
		t.Errorf("got findings %+v", found.Findings)
	}
	found, err = plain.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if g := plain.Grade(); g.Letter != "C" || !has(found, "sync_interval", "unknown", semel.Weak) {
		t.Errorf("got grade %v, findings %+v, want C: nobody gave his word", g, found.Findings)
	}
}
