package natsstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// trailVersion is the version of the layout of the trail's stream, and of its entries.
const trailVersion = 1

// trailMagic begins every entry.
const trailMagic = "SMA"

// trailStream is the stream of the trail. It is another one than that of the records,
// whose configuration older programs insist on and which rolls up, expires and may be
// bounded. Nothing is ever removed from it.
func (s *Store) trailStream() string { return s.cfg.Stream + "-AUDIT" }

// trailSubject is the subject of the entries about a slot. That of the records has one
// token less, so that no message is in both streams.
func (s *Store) trailSubject(key semel.Key) string {
	token := "none"
	if key != (semel.Key{}) {
		token = key.Slot().String()
	}
	return s.cfg.Subject + ".audit." + token
}

// trail is the design of that stream; replicas is what a new one has.
func (s *Store) trail(replicas int) design {
	return design{
		fresh: jetstream.StreamConfig{
			Name: s.trailStream(), Description: "Semel: what operators did",
			Storage: jetstream.FileStorage, Replicas: replicas, MaxBytes: -1,
		},
		want: func(c jetstream.StreamConfig) jetstream.StreamConfig {
			c.Subjects = []string{s.cfg.Subject + ".audit.*"}
			c.Discard, c.DiscardNewPerSubject = jetstream.DiscardNew, false
			c.MaxMsgs, c.MaxAge, c.MaxMsgsPerSubject = -1, 0, -1
			c.AllowDirect, c.MirrorDirect, c.NoAck = false, false, false
			c.AllowRollup, c.DenyDelete, c.DenyPurge = false, true, true
			if s.cfg.Replicas > 0 {
				c.Replicas = s.cfg.Replicas
			}
			c.Metadata = withSchema(c.Metadata, trailVersion)
			return c
		},
		version: func(metadata map[string]string) (int, error) {
			return versionOf(s.trailStream(), metadata, trailVersion)
		},
		layout: trailVersion,
	}
}

// Audit implements [semel.Auditor]. The trail is a stream of its own, which [Store.Migrate]
// makes. ID is the sequence of the entry's message, At the leader's time. An entry of which
// no answer comes is sent up to three times, under a name that makes the server keep it
// once. When that ends in an error, it may be there.
func (s *Store) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	err := e.Fits()
	if err == nil {
		err = s.addEntry(ctx, &e)
	}
	if err != nil {
		return semel.AuditEntry{}, failed("audit", err)
	}
	return e, nil
}

func (s *Store) addEntry(ctx context.Context, e *semel.AuditEntry) error {
	stream, err := s.openTrail(ctx)
	if err != nil {
		return err
	}
	ack, err := s.publishEntry(ctx, stream, e)
	if err != nil {
		return err
	}
	if ack.Stream != s.trailStream() {
		return fmt.Errorf("the subject belongs to the stream %s", ack.Stream)
	}
	msg, err := ask(ctx, s, auditTries, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return stream.GetMsg(ctx, ack.Sequence) })
	if err != nil {
		return fmt.Errorf("the entry %d is in the trail, but its time cannot be read: %w", ack.Sequence, err)
	}
	e.ID, e.At = int64(ack.Sequence), msg.Time //nolint:gosec // a stream of 2^63 messages will not be
	return nil
}

// auditTries is how often a question of Audit is sent that gets no answer.
const auditTries = 3

// ask sends a question up to tries times, until there is an answer, and bounds each try. An
// error after a try that got none says that too.
func ask[T any](ctx context.Context, s *Store, tries int, question func(context.Context) (T, error)) (T, error) {
	var unanswered error
	for try := 1; ; try++ {
		bounded, cancel := s.within(ctx)
		answer, err := question(bounded)
		cancel()
		switch {
		case err == nil:
			return answer, nil
		case try < tries && silent(err):
			unanswered = err
			continue
		case unanswered != nil:
			err = fmt.Errorf("%w, after %w", err, unanswered)
		}
		return answer, s.explain(err)
	}
}

// publishEntry adds the message of an entry. The server knows it by its name for as long as
// the stream's window for duplicates, two minutes unless somebody has set another: where that
// is shorter than all tries, there is one.
func (s *Store) publishEntry(ctx context.Context, stream jetstream.Stream, e *semel.AuditEntry) (*jetstream.PubAck, error) {
	msg := &nats.Msg{
		Subject: s.trailSubject(e.Key), Data: encodeEntry(e),
		Header: nats.Header{jetstream.MsgIDHeader: []string{semel.NewToken().String()}},
	}
	tries := auditTries
	if stream.CachedInfo().Config.Duplicates <= auditTries*s.cfg.Timeout {
		tries = 1
	}
	ack, err := ask(ctx, s, tries, func(ctx context.Context) (*jetstream.PubAck, error) { return s.js.PublishMsg(ctx, msg) })
	if silent(err) { // it may have happened
		err = fmt.Errorf("it is not known whether the entry is in the trail: %w", err)
	}
	return ack, err
}

// openTrail returns the trail's stream as the leader has it now.
func (s *Store) openTrail(ctx context.Context) (jetstream.Stream, error) {
	if err := s.connected(); err != nil {
		return nil, err
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.trailStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, &SchemaError{What: "the stream " + s.trailStream(), Want: trailVersion}
	}
	if err != nil {
		return nil, explain(err)
	}
	_, err = s.trail(1).version(stream.CachedInfo().Config.Metadata)
	return stream, err
}

// encodeEntry writes an entry as the value of a message, in the form of a row: magic,
// version, the fields in order, and a CRC-32C of all that.
func encodeEntry(e *semel.AuditEntry) []byte {
	b := append([]byte(trailMagic), trailVersion)
	for _, text := range []string{e.Actor, string(e.Action), e.Key.Scope, e.Key.ID, e.Reason, e.Result} {
		b = appendText(b, text)
	}
	b = binary.AppendVarint(binary.AppendVarint(b, e.Fence), e.Begun)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeEntry reads the message of an entry.
func decodeEntry(value []byte, seq uint64, stamp time.Time) (semel.AuditEntry, error) {
	damaged := func(why error) (semel.AuditEntry, error) {
		return semel.AuditEntry{}, fmt.Errorf("%w: the entry %s of the trail: %w", semel.ErrDamaged, strconv.FormatUint(seq, 10), why)
	}
	head := len(trailMagic) + 1
	if len(value) < head+4 || string(value[:head-1]) != trailMagic {
		return damaged(errForeign)
	}
	if version := int(value[head-1]); version != trailVersion {
		return semel.AuditEntry{}, &SchemaError{What: "an entry of the trail", Have: version, Want: trailVersion}
	}
	body, sum := value[:len(value)-4], binary.BigEndian.Uint32(value[len(value)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return damaged(errChecksum)
	}
	r := reader{rest: body[head:]}
	e := semel.AuditEntry{ID: int64(seq), At: stamp} //nolint:gosec // as above
	e.Actor, e.Action = string(r.text()), semel.Action(r.text())
	e.Key.Scope, e.Key.ID = string(r.text()), string(r.text())
	e.Reason, e.Result = string(r.text()), string(r.text())
	e.Fence, e.Begun = r.integer(), r.integer()
	if r.short || len(r.rest) != 0 {
		return damaged(errShape)
	}
	return e, nil
}
