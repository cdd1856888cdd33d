// Package memstore keeps records in memory. It is for tests and for programs of
// one process, and it is the reference model of what every store must do.
//
// It survives nothing: when the process ends, every record is gone, and a retry
// runs again (grade C).
//
// The strings of a key and the bytes of a response are kept as they are, not
// copied. A key that was cut out of a longer string keeps that string in memory
// for as long as the record; clone it first where that matters.
package memstore

import (
	"context"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

var (
	_ semel.Store          = (*Store)(nil)
	_ semel.EffectBeginner = (*Store)(nil)
	_ semel.Renewer        = (*Store)(nil)
	_ semel.Purger         = (*Store)(nil)
	_ semel.Lister         = (*Store)(nil)
	_ semel.Resolver       = (*Store)(nil)
	_ semel.Resealer       = (*Store)(nil)
	_ semel.Auditor        = (*Store)(nil)
	_ semel.Pinger         = (*Store)(nil)
	_ semel.Grader         = (*Store)(nil)
	_ semel.Messenger      = (*Store)(nil)
	_ semel.Immediate      = (*Store)(nil)
)

// Config is what a [Store] may be told. The zero value is safe.
type Config struct {
	// MaxRecords bounds how many records are held: running, lapsed, completed
	// and free ones together. Default 0: no bound, and memory grows with the
	// traffic of one retention. With a bound, a reservation of a new key in a
	// full store deletes a record that is over, or else fails with
	// [semel.ErrFull]; nothing that still counts is ever evicted. A negative
	// value is no bound.
	MaxRecords int
}

// Store is a [semel.Store] in memory. It is safe for concurrent use. Make one
// with [New].
type Store struct {
	shards  [shardCount]shard
	seed    maphash.Seed
	started time.Time // the wall clock here, the monotonic clock from here on
	max     int64     // 0: no bound
	count   atomic.Int64
	cursor  atomic.Uint32 // the shard where the next purge begins
	trail   trail

	listeners listeners
}

// New returns an empty store. It starts nothing and need not be closed.
func New(cfg Config) *Store {
	s := &Store{seed: maphash.MakeSeed(), started: time.Now(), max: int64(max(cfg.MaxRecords, 0))}
	for i := range s.shards {
		s.shards[i].records = make(map[uint64]*record)
	}
	return s
}

// now is the store's clock in nanoseconds since 1970. It starts with the wall
// clock and goes on with the monotonic one, so it never goes back.
func (s *Store) now() int64 {
	return s.started.UnixNano() + int64(time.Since(s.started))
}

// after is t+d without overflow, for a d that is not negative.
func after(t int64, d time.Duration) int64 {
	if d > 0 && t > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return t + int64(d)
}

// Reserve implements [semel.Store]. It fails only with [semel.ErrFull].
func (s *Store) Reserve(_ context.Context, r semel.Reservation) (held semel.Record, err error) {
	for !s.reserve(&r, &held) {
		if s.purge(1) == 0 && s.full() {
			return held, semel.ErrFull
		}
	}
	return held, nil
}

// reserve is one try. It reports false, and has done nothing, when the key is
// new and the store is full.
func (s *Store) reserve(r *semel.Reservation, held *semel.Record) bool {
	sum := s.sum(&r.Key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := s.now()
	rec := sh.find(sum, &r.Key)
	switch {
	case rec == nil:
		if !s.admit() {
			return false
		}
		rec = sh.insert(sum, r.Key)
		rec.grant(r, now, 1, 0)
	case rec.state != semel.StateReserved && rec.expires <= now: // over: as if it were absent
		sh.over.remove(rec)
		rec.grant(r, now, 1, 0)
	case rec.state == semel.StateFree:
		sh.over.remove(rec)
		rec.grant(r, now, rec.attempts+1, 0)
	case rec.takenBy(r, now):
		lapses := rec.lapses + 1
		if rec.blameless() { // nothing is unknown
			lapses = 0
		}
		rec.grant(r, now, rec.attempts+1, lapses)
	}
	rec.show(held, now, r.Margin)
	return true
}

// Complete implements [semel.Store]. Its only error is [semel.ErrLost].
func (s *Store) Complete(_ context.Context, c semel.Completion) error {
	sum := s.sum(&c.Key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec := sh.find(sum, &c.Key)
	switch {
	case rec == nil || rec.state == semel.StateFree || rec.token != c.Token:
		return semel.ErrLost
	case rec.state == semel.StateCompleted: // by this token: the first response stands
		return nil
	}
	if now := s.now(); rec.leaseEnd <= now {
		rec.expires = max(rec.expires, after(now, c.Retention))
	}
	rec.keep(c.Response)
	sh.over.add(rec)
	return nil
}

// Release implements [semel.Store]. Its only error is [semel.ErrLost], also for
// a repeated release.
func (s *Store) Release(_ context.Context, key semel.Key, token semel.Token) error {
	sum := s.sum(&key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec := sh.find(sum, &key)
	if rec == nil || !rec.heldBy(token) {
		return semel.ErrLost
	}
	rec.free()
	sh.over.add(rec)
	return nil
}

// BeginEffects implements [semel.EffectBeginner]. Its only error is [semel.ErrLost].
func (s *Store) BeginEffects(_ context.Context, key semel.Key, token semel.Token) error {
	sum := s.sum(&key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec := sh.find(sum, &key)
	if rec == nil || !rec.heldBy(token) {
		return semel.ErrLost
	}
	rec.deferred = false
	return nil
}

// Renew implements [semel.Renewer]. It never fails.
func (s *Store) Renew(_ context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var lost []semel.Token
	for i := range holders {
		if !s.renew(lease, &holders[i]) {
			lost = append(lost, holders[i].Token)
		}
	}
	return lost, nil
}

func (s *Store) renew(lease time.Duration, h *semel.Holder) bool {
	sum := s.sum(&h.Key)
	sh := s.shard(sum)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec := sh.find(sum, &h.Key)
	if rec == nil || !rec.heldBy(h.Token) {
		return false
	}
	rec.leaseEnd = ended
	if lease > 0 {
		rec.leaseEnd = after(s.now(), lease)
	}
	return true
}

// Immediate implements [semel.Immediate]: no step waits for anything but the
// mutex of one shard.
func (*Store) Immediate() {}

// Ping implements [semel.Pinger]. It never fails.
func (*Store) Ping(context.Context) error { return nil }

// Grade implements [semel.Grader].
func (*Store) Grade() semel.Grade {
	return semel.Grade{Letter: "C", Survives: "Nothing: the records live in this process and end with it."}
}
