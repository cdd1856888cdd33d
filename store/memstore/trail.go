package memstore

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// trail is what operators did, in the order in which they did it. The entry at index i
// has the ID i+1.
type trail struct {
	mu      sync.Mutex
	entries []semel.AuditEntry
}

// Audit implements [semel.Auditor]. Its only error is [semel.ErrTooLarge].
func (s *Store) Audit(_ context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if err := e.Fits(); err != nil {
		return semel.AuditEntry{}, err
	}
	s.trail.mu.Lock()
	defer s.trail.mu.Unlock()
	e.ID, e.At = int64(len(s.trail.entries))+1, time.Unix(0, s.now())
	s.trail.entries = append(s.trail.entries, e)
	return e, nil
}

// Trail implements [semel.Auditor]. It yields without a lock, the entries that there
// were when it began. It fails only when ctx ends.
func (s *Store) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	return func(yield func(semel.AuditEntry, error) bool) {
		s.trail.mu.Lock()
		entries := s.trail.entries // whose elements never change
		s.trail.mu.Unlock()
		if f.Before > 0 {
			entries = entries[:min(int64(len(entries)), f.Before-1)]
		}
		for i, n := len(entries)-1, 0; i >= 0 && (f.Limit <= 0 || n < f.Limit); i-- {
			if err := context.Cause(ctx); err != nil {
				yield(semel.AuditEntry{}, err)
				return
			}
			if f.Key != (semel.Key{}) && entries[i].Key != f.Key {
				continue
			}
			n++
			if !yield(entries[i], nil) {
				return
			}
		}
	}
}
