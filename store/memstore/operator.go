package memstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// Purge implements [semel.Purger]. It never fails. Its cost grows with the
// number of records it deletes, not with the number of records there are. The
// room of a deleted record in the index is used again, but not given back.
func (s *Store) Purge(_ context.Context, limit int) (int, error) { return s.purge(limit), nil }

// purge visits each shard at most once, from where the last purge ended.
func (s *Store) purge(limit int) int {
	n := 0
	for range shardCount {
		if n >= limit {
			break
		}
		n += s.purgeShard(&s.shards[s.cursor.Add(1)%shardCount], limit-n)
	}
	return n
}

func (s *Store) purgeShard(sh *shard, limit int) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := s.now()
	n := 0
	for ; n < limit; n++ {
		rec := sh.over.next(now)
		if rec == nil {
			break
		}
		sh.over.remove(rec)
		sh.remove(s.sum(&rec.key), rec)
	}
	if s.max > 0 {
		s.count.Add(int64(-n))
	}
	return n
}

// List implements [semel.Lister]. It locks one shard at a time and yields
// without a lock. Without a limit it first collects every chosen record. It
// fails only when ctx ends.
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		shards := s.shards[:]
		if f.Scope != "" && f.ID != "" { // one key has one shard
			n := s.sum(&semel.Key{Scope: f.Scope, ID: f.ID}) % shardCount
			shards = shards[n : n+1]
		}
		l := look{filter: &f, digits: f.Slot, wanted: math.MinInt64}
		for i := range shards {
			if err := context.Cause(ctx); err != nil {
				yield(semel.Record{}, err)
				return
			}
			l.collect(&shards[i], s.now())
		}
		for _, rec := range youngest(l.found, f.Limit) {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// look is a List under way.
type look struct {
	filter *semel.Filter
	digits string // of Filter.Slot
	found  []semel.Record
	wanted int64 // in microseconds: as many as may be found are younger
}

// collect finds the records of one shard. Memory stays bounded by the limit, and what is
// too old to be among the found is not copied.
func (l *look) collect(sh *shard, now int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := l.filter
	for _, rec := range sh.records {
		for ; rec != nil; rec = rec.next {
			if rec.created/int64(time.Microsecond) < l.wanted || !rec.chosen(f, now) || !rec.in(l.digits) {
				continue
			}
			var view semel.Record
			rec.show(&view, now, f.Margin)
			if !f.Bodies {
				view.Response.Header, view.Response.Body = nil, nil
			}
			l.found = append(l.found, view)
		}
	}
	if f.Limit > 0 && len(l.found) > 2*f.Limit {
		l.found = youngest(l.found, f.Limit)
		l.wanted = l.found[f.Limit-1].CreatedAt.UnixMicro()
	}
}

// chosen reports whether f wants the record, but for its slot.
func (rec *record) chosen(f *semel.Filter, now int64) bool {
	return (f.Scope == "" || f.Scope == rec.key.Scope) &&
		(f.ID == "" || f.ID == rec.key.ID) &&
		(f.Route == "" || f.Route == rec.route.Value()) &&
		(f.MinAge <= 0 || now-rec.created >= int64(f.MinAge)) &&
		(f.MaxAge <= 0 || now-rec.created <= int64(f.MaxAge)) &&
		(len(f.States) == 0 || slices.Contains(f.States, rec.state)) &&
		(!f.Lapsed || rec.lapsed(now, f.Margin)) &&
		(f.After.IsZero() || rec.behind(f.After))
}

// in reports whether the record's slot begins with these hexadecimal digits.
func (rec *record) in(digits string) bool {
	if digits == "" {
		return true
	}
	slot := rec.key.Slot()
	if len(digits) > hex.EncodedLen(len(slot)) {
		return false
	}
	const hexDigits = "0123456789abcdef"
	for i := range len(digits) {
		b := slot[i/2] >> (4 * (1 - i%2)) & 0xf
		if digits[i] != hexDigits[b] {
			return false
		}
	}
	return true
}

// behind reports whether the record is listed behind a place. A slot costs a hash, so
// it is looked at only where the time does not decide.
func (rec *record) behind(p semel.Place) bool {
	if made, at := rec.created/int64(time.Microsecond), p.CreatedAt.UnixMicro(); made != at {
		return made < at
	}
	slot := rec.key.Slot()
	return bytes.Compare(slot[:], p.Slot[:]) < 0
}

// youngest sorts records and cuts them to the limit, if there is one.
func youngest(records []semel.Record, limit int) []semel.Record {
	slices.SortFunc(records, func(a, b semel.Record) int {
		if c := cmp.Compare(b.CreatedAt.UnixMicro(), a.CreatedAt.UnixMicro()); c != 0 {
			return c
		}
		first, second := a.Key.Slot(), b.Key.Slot()
		return bytes.Compare(second[:], first[:])
	})
	if limit > 0 && len(records) > limit {
		clear(records[limit:])
		records = records[:limit]
	}
	return records
}

// Reseal implements [semel.Resealer]. Its only error is [semel.ErrLost].
func (s *Store) Reseal(_ context.Context, holder semel.Holder, header, body []byte) error {
	sum := s.sum(&holder.Key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec := sh.find(sum, &holder.Key)
	if rec == nil || rec.state != semel.StateCompleted || rec.token != holder.Token {
		return semel.ErrLost
	}
	rec.response.Header, rec.response.Body = header, body
	return nil
}

// Resolve implements [semel.Resolver]. Its only errors are [semel.ErrInFlight],
// [semel.ErrLost], and [semel.ErrTooLarge] for a reason that is too long. It
// replaces the token of the lapsed attempt by one that nobody has: when that
// attempt comes back it gets ErrLost, not its own answer (I3).
func (s *Store) Resolve(_ context.Context, r semel.Resolution) error {
	if n := len(r.Reason); n > semel.MaxReasonLen {
		return fmt.Errorf("%w: the reason has %d bytes, more than %d", semel.ErrTooLarge, n, semel.MaxReasonLen)
	}
	sum := s.sum(&r.Key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := s.now()
	rec := sh.find(sum, &r.Key)
	switch {
	case rec == nil || rec.state != semel.StateReserved || rec.fence != r.Fence:
		return semel.ErrLost
	case !rec.lapsed(now, r.Margin):
		return semel.ErrInFlight
	}
	rec.expires = after(now, r.Retention)
	if r.Response == nil {
		rec.free()
	} else {
		rec.token = semel.NewToken()
		rec.keep(*r.Response)
	}
	if reason := r.Reason; reason != "" { // a pointer to r's would keep all of r
		rec.reason = &reason
	}
	sh.over.add(rec)
	return nil
}
