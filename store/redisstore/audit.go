package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

// trailPage is how many entries one request reads.
const trailPage = 200

// auditKey is the key of the trail: one stream, which one master of a cluster has.
// No slot has that name.
func (s *Store) auditKey() string { return s.prefix + "{audit}" }

// Audit implements [semel.Auditor]. The trail is a stream without a time to live; it
// survives what the store's grade says, and is waited for as a completion is. After
// [ErrNotReplicated] the entry may be there.
func (s *Store) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if err := e.Fits(); err != nil {
		return semel.AuditEntry{}, fmt.Errorf("redisstore: audit: %w", err)
	}
	if err := s.enter(); err != nil {
		return semel.AuditEntry{}, err
	}
	defer s.leave()
	mark := semel.NewToken()
	p := &step{script: auditScript, key: s.auditKey(), durable: true, args: []any{
		mark[:], s.touch(), "actor", e.Actor, "action", string(e.Action), "scope", e.Key.Scope, "id", e.Key.ID,
		"fence", e.Fence, "reason", e.Reason, "begun", e.Begun, "result", e.Result,
	}}
	if err := s.router.do(context.WithoutCancel(ctx), p); err != nil {
		return semel.AuditEntry{}, explainTrail("audit", err)
	}
	n, err := p.cmd.Int64Slice()
	if err == nil && len(n) != 2 {
		err = fmt.Errorf("the script answered %d numbers", len(n))
	}
	if err != nil {
		return semel.AuditEntry{}, explainTrail("audit", err)
	}
	e.ID, e.At = n[0], time.UnixMicro(n[1])
	return e, nil
}

// explainTrail is explain for a key that holds no record.
func explainTrail(name string, err error) error {
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		return fmt.Errorf("redisstore: %s: %w: the value at its key is no stream", name, semel.ErrDamaged)
	}
	return explain(name, semel.Slot{}, err)
}

// Trail implements [semel.Auditor]. It reads 200 entries at a time, of the whole trail
// also when those of one slot are wanted, and ends when ctx does.
func (s *Store) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	return func(yield func(semel.AuditEntry, error) bool) {
		err := s.readTrail(ctx, f, func(e semel.AuditEntry) bool { return yield(e, nil) })
		if err != nil {
			yield(semel.AuditEntry{}, explainTrail("trail", err))
		}
	}
}

func (s *Store) readTrail(ctx context.Context, f semel.AuditFilter, yield func(semel.AuditEntry) bool) error {
	before, left := f.Before, f.Limit
	if before <= 0 {
		before = math.MaxInt64
	}
	if left <= 0 {
		left = math.MaxInt
	}
	for before > 1 {
		last := strconv.FormatInt(before-1, 10)
		page, err := s.trailPage(ctx, last)
		if err != nil {
			return err
		}
		for _, msg := range page {
			e, err := entryOf(msg)
			if err != nil {
				return err
			}
			before = e.ID
			if f.Key != (semel.Key{}) && e.Key != f.Key {
				continue
			}
			if !yield(e) {
				return nil
			}
			if left--; left == 0 {
				return nil
			}
		}
		if len(page) < trailPage {
			return nil
		}
	}
	return nil
}

// trailPage reads entries of the stream, from one on.
func (s *Store) trailPage(ctx context.Context, last string) ([]redis.XMessage, error) {
	return within(ctx, s, func(ctx context.Context) ([]redis.XMessage, error) {
		p := &step{script: trailScript, key: s.auditKey(), args: []any{last, trailPage}}
		if err := s.router.do(context.WithoutCancel(ctx), p); err != nil {
			return nil, err
		}
		replies, err := p.cmd.Slice()
		page := make([]redis.XMessage, 0, len(replies))
		for _, reply := range replies {
			page = append(page, messageOf(reply))
		}
		return page, err
	})
}

// messageOf takes a reply apart: an ID, and names before their values.
func messageOf(reply any) (msg redis.XMessage) {
	parts, _ := reply.([]any)
	if len(parts) != 2 {
		return msg
	}
	msg.ID, _ = parts[0].(string)
	fields, _ := parts[1].([]any)
	msg.Values = make(map[string]any, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		if name, ok := fields[i].(string); ok {
			msg.Values[name] = fields[i+1]
		}
	}
	return msg
}

// entryOf reads an entry of the stream.
func entryOf(msg redis.XMessage) (e semel.AuditEntry, err error) {
	text := func(name string) string {
		v, ok := msg.Values[name].(string)
		if !ok {
			err = cmp.Or(err, fmt.Errorf("%w: the entry %s of the trail has no %s", semel.ErrDamaged, msg.ID, name))
		}
		return v
	}
	number := func(name, v string) int64 {
		n, bad := strconv.ParseInt(v, 10, 64)
		if bad != nil {
			err = cmp.Or(err, fmt.Errorf("%w: in the entry %s of the trail %s is no number", semel.ErrDamaged, msg.ID, name))
		}
		return n
	}
	id, _, _ := strings.Cut(msg.ID, "-")
	e = semel.AuditEntry{
		ID: number("its ID", id), At: time.UnixMicro(number("at", text("at"))),
		Actor: text("actor"), Action: semel.Action(text("action")), Key: semel.Key{Scope: text("scope"), ID: text("id")},
		Fence: number("fence", text("fence")), Reason: text("reason"), Begun: number("begun", text("begun")), Result: text("result"),
	}
	return e, err
}
