package memstore

import (
	"hash/maphash"
	"sync"

	"github.com/semel-go/semel"
)

// shardCount spreads the load: two callers meet in one shard once in 256 times.
const shardCount = 256

// shard holds the records whose key's hash ends in its number.
type shard struct {
	mu      sync.Mutex
	records map[uint64]*record // by hash; records of equal hash are chained
	over    queue              // the free and completed records, soonest over first
	fence   int64              // the largest fence of a record that was purged
	_       [16]byte           // fills the cache line, so that shards do not share one
}

// sum hashes a key under a seed that nobody outside can know.
func (s *Store) sum(key *semel.Key) uint64 { return maphash.Comparable(s.seed, *key) }

func (s *Store) shard(sum uint64) *shard { return &s.shards[sum%shardCount] }

// find returns the record of key, compared in full, or nil. The caller holds mu.
func (sh *shard) find(sum uint64, key *semel.Key) *record {
	rec := sh.records[sum]
	for rec != nil && rec.key != *key {
		rec = rec.next
	}
	return rec
}

// insert adds a record for a key that has none. Its fence begins where the
// purged ones ended (I6). The caller holds mu.
func (sh *shard) insert(sum uint64, key semel.Key) *record {
	rec := &record{key: key, fence: sh.fence, next: sh.records[sum]}
	sh.records[sum] = rec
	return rec
}

// remove deletes a record. The caller holds mu.
func (sh *shard) remove(sum uint64, rec *record) {
	sh.fence = max(sh.fence, rec.fence)
	first := sh.records[sum]
	if first != rec {
		for first.next != rec {
			first = first.next
		}
		first.next = rec.next
		return
	}
	if rec.next == nil {
		delete(sh.records, sum)
		return
	}
	sh.records[sum] = rec.next
}

// admit makes room for one more record, or reports false when there is none.
func (s *Store) admit() bool {
	if s.max == 0 {
		return true
	}
	for {
		n := s.count.Load()
		if n >= s.max {
			return false
		}
		if s.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *Store) full() bool { return s.count.Load() >= s.max }
