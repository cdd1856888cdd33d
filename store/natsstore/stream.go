package natsstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// schemaVersion is the version of the stream's layout; schemaKey is where the
// stream's metadata tell it.
const (
	schemaVersion = 1
	schemaKey     = "semel.schema"
)

// perSubject is how many messages a slot may have: the last one, and the one that
// it replaces for the moment until its roll-up removes that.
const perSubject = 2

// wanted turns a stream's configuration into the one that the store needs. What
// is not said here stays.
func (s *Store) wanted(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Subjects = []string{s.cfg.Subject + ".*"}
	c.Discard = jetstream.DiscardNew
	c.DiscardNewPerSubject = false
	c.MaxMsgs, c.MaxAge, c.MaxMsgsPerSubject = -1, 0, perSubject
	c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = true, 0
	c.AllowDirect, c.MirrorDirect = false, false
	c.NoAck, c.DenyDelete = false, true
	c.AllowRollup, c.DenyPurge = true, false // the one needs the other
	if s.cfg.Replicas > 0 {
		c.Replicas = s.cfg.Replicas
	}
	if s.cfg.MaxBytes > 0 {
		c.MaxBytes = s.cfg.MaxBytes
	}
	c.Metadata = withSchema(c.Metadata, s.layout)
	return c
}

// withSchema adds the version of a layout to a stream's metadata.
func withSchema(metadata map[string]string, layout int) map[string]string {
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = make(map[string]string)
	}
	metadata[schemaKey] = strconv.Itoa(layout)
	return metadata
}

// Migrate makes the stream and that of the trail, or brings their configuration to what
// this version needs, and validates the first. Any number of processes may run it at once. It
// fails when a stream holds messages and was not made by a Migrate, and with
// [*SchemaError] when a newer version made it. It never deletes anything.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return failed("migrate", err)
	}
	return s.Validate(ctx)
}

func (s *Store) migrate(ctx context.Context) error {
	if err := s.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*s.cfg.Timeout) // a cluster may elect leaders first
	defer cancel()
	records, err := s.ensure(ctx, s.records())
	if err != nil {
		return err
	}
	_, err = s.ensure(ctx, s.trail(records.Replicas))
	return err
}

// design is a stream as the store needs it.
type design struct {
	fresh   jetstream.StreamConfig                                   // what a new one has beside what is wanted
	want    func(c jetstream.StreamConfig) jetstream.StreamConfig    // changes only what must be
	version func(metadata map[string]string) (have int, wrong error) // what the stream has
	layout  int                                                      // what it should have
}

func (s *Store) records() design {
	return design{
		fresh: jetstream.StreamConfig{
			Name: s.cfg.Stream, Description: "Semel: one message for each idempotency key",
			Storage: jetstream.FileStorage, Replicas: 1, MaxBytes: -1,
			FirstSeq: firstSeq(s.clock.now()),
		},
		want: s.wanted, version: s.version, layout: s.layout,
	}
}

// ensure makes a stream, or changes what must be changed of the one that is there. It
// returns its configuration.
func (s *Store) ensure(ctx context.Context, d design) (jetstream.StreamConfig, error) {
	var none jetstream.StreamConfig
	for try := range maxTries {
		pause(try)
		stream, err := s.js.Stream(ctx, d.fresh.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			stream, err = s.js.CreateStream(ctx, d.want(d.fresh))
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				continue // another process was faster
			}
			if err != nil {
				return none, err
			}
			return stream.CachedInfo().Config, nil
		}
		if err != nil {
			return none, err
		}
		return s.upgrade(ctx, stream.CachedInfo(), d)
	}
	return none, errContended
}

// firstSeq is where the sequences of a new stream begin, so that the fences of
// a stream that was deleted and made anew go on: microseconds since 1970 grow
// faster than a stream. This is the only use of this process's wall clock, and
// no fence is compared with it.
func firstSeq(now time.Time) uint64 { return uint64(max(1, now.UnixMicro())) }

// upgrade changes what must be changed of a stream that is there.
func (s *Store) upgrade(ctx context.Context, info *jetstream.StreamInfo, d design) (jetstream.StreamConfig, error) {
	var none jetstream.StreamConfig
	have, err := d.version(info.Config.Metadata)
	switch {
	case err == nil:
	case have > d.layout:
		return none, err
	case have == 0 && info.State.Msgs > 0:
		return none, fmt.Errorf("the stream %s holds messages and was not made by semel", d.fresh.Name)
	}
	want := d.want(info.Config)
	if reflect.DeepEqual(want, info.Config) {
		return want, nil
	}
	_, err = s.js.UpdateStream(ctx, want)
	return want, err
}

// version returns the layout that the metadata of the stream of records tell, 0 for
// none, and fails unless it is this program's.
func (s *Store) version(metadata map[string]string) (int, error) {
	return versionOf(s.cfg.Stream, metadata, s.layout)
}

func versionOf(stream string, metadata map[string]string, want int) (int, error) {
	have, err := strconv.Atoi(metadata[schemaKey])
	if err != nil || have < 0 {
		have = 0
	}
	if have != want {
		return have, &SchemaError{What: "the stream " + stream, Have: have, Want: want}
	}
	return have, nil
}

func (s *Store) missing() *SchemaError {
	return &SchemaError{What: "the stream " + s.cfg.Stream, Want: s.layout}
}

// Validate says why the store must not serve: the stream is missing, was made
// by another version ([*SchemaError]), or has a configuration under which
// records would be lost or read late, or the server is too old
// ([*semel.UnfitError]). It changes nothing. The first step of a store does it too.
func (s *Store) Validate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	_, err := s.validate(ctx)
	return failed("validate", err)
}

func (s *Store) validate(ctx context.Context) (jetstream.Stream, error) {
	stream, info, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.version(info.Config.Metadata); err != nil {
		return nil, err
	}
	if err := semel.Unfit(s.findings(info)); err != nil {
		return nil, err
	}
	s.setGrade(info)
	s.stream.Store(&stream)
	s.told.Do(func() {
		s.inspection(info).Announce(ctx, s.cfg.Logger.With("store", "nats", "stream", s.cfg.Stream), s.Grade())
	})
	return stream, nil
}
