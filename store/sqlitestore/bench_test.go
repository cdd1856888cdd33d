package sqlitestore_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// The workload: a key as clients send them, a header blob of 200 bytes and a
// body of 1,024 random bytes.
var (
	benchScope  = "tenant-0123456789abcdef0123456789abcdef0123456789abcdef012345678"
	benchHeader = make([]byte, 200)
	benchBody   = func() []byte {
		b := make([]byte, 1024)
		_, _ = rand.Read(b)
		return b
	}()
)

var (
	benchRun  = semel.NewToken().String()[:24] // files may outlive a run
	benchKeys atomic.Int64
)

func benchKey() semel.Key {
	return semel.Key{Scope: benchScope, ID: fmt.Sprintf("%s%012d", benchRun, benchKeys.Add(1))}
}

func storePair(s semel.Store, tb testing.TB) {
	r := semel.Reservation{
		Key: benchKey(), Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1",
	}
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token {
		tb.Errorf("got a %v slot (%v), want a reservation", held.State, err)
		return
	}
	err = s.Complete(tb.Context(), semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: benchHeader, Body: benchBody},
	})
	if err != nil {
		tb.Error(err)
	}
}

func logPair(l *rawLog, tb testing.TB) {
	key, token := benchKey(), semel.NewToken()
	slot := key.Slot()
	if err := l.append(slot, token, make([]byte, 190)); err != nil {
		tb.Error(err)
	}
	if err := l.append(slot, token, append(benchHeader[:200:200], benchBody...)); err != nil {
		tb.Error(err)
	}
}

// rate runs pair from that many callers for a while and returns pairs per second.
func rate(callers int, d time.Duration, pair func()) float64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < d {
				pair()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

const slice = 500 * time.Millisecond

// BenchmarkPairs compares durable pairs of the store with those of the raw log,
// in alternating slices of one run: go test -bench Pairs -benchtime 10x.
func BenchmarkPairs(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "pairs.db"), sqlitestore.Config{})
			l := newRawLog(b, filepath.Join(b.TempDir(), "raw.log"))
			rate(callers, slice, func() { storePair(s, b) }) // warm up
			var ours, ceiling []float64
			for b.Loop() {
				ceiling = append(ceiling, rate(callers, slice, func() { logPair(l, b) }))
				ours = append(ours, rate(callers, slice, func() { storePair(s, b) }))
			}
			b.ReportMetric(median(ours), "pairs/s")
			b.ReportMetric(median(ceiling), "log-pairs/s")
			b.ReportMetric(median(ours)/median(ceiling), "of-log")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill makes a store with that many completed records, the first half of them
// expired, and closes it. It writes past the store: a million pairs would take
// a minute.
func fill(b *testing.B, records int) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), fmt.Sprint(records, ".db"))
	if err := sqlitestore.Migrate(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range []string{
		`
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO slots (slot, scope, key, state, fingerprint, token, fence, lease_until,
		                   attempts, lapses, owner, created_at, expires_at, status, body_id)
		SELECT randomblob(32), '` + benchScope + `', hex(randomblob(18)), 2, randomblob(32), randomblob(16), i, 0,
		       1, 0, 'bench/1', i, CASE WHEN i <= ?1 / 2 THEN i ELSE 4000000000000000 + i END, 201, i
		  FROM n`, `
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO bodies (id, header, body, sum) SELECT i, zeroblob(200), randomblob(1024), 0 FROM n`,
	} {
		if _, err := db.ExecContext(b.Context(), statement, records); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// BenchmarkMillion compares a store of a million records with one of ten
// thousand, in alternating slices: go test -bench Million -benchtime 10x.
func BenchmarkMillion(b *testing.B) {
	small := open(b, fill(b, 10_000), sqlitestore.Config{})
	large := open(b, fill(b, 1_000_000), sqlitestore.Config{})
	for _, callers := range []int{8, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			var few, many []float64
			for b.Loop() {
				few = append(few, rate(callers, slice, func() { storePair(small, b) }))
				many = append(many, rate(callers, slice, func() { storePair(large, b) }))
			}
			b.ReportMetric(median(few), "pairs/s-10k")
			b.ReportMetric(median(many), "pairs/s-1M")
			b.ReportMetric(median(many)/median(few), "flatness")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMillionPurge measures what the paced purge of half a million of a
// million records takes from 8 callers: go test -bench MillionPurge -benchtime 10x.
func BenchmarkMillionPurge(b *testing.B) {
	s := open(b, fill(b, 1_000_000), sqlitestore.Config{})
	var alone, beside, purged []float64
	traffic := func() float64 { return rate(8, 2*slice, func() { storePair(s, b) }) }
	for b.Loop() {
		alone = append(alone, traffic())
		stop := make(chan struct{})
		count := make(chan int)
		go func() {
			total := 0
			for {
				start := time.Now()
				n, err := s.Purge(b.Context(), 50)
				if err != nil || n == 0 {
					b.Errorf("purge: %d, %v", n, err)
				}
				total += n
				select {
				case <-stop:
					count <- total
					return
				case <-time.After(4 * time.Since(start)): // as semel.Engine.RunPurge does by default
				}
			}
		}()
		start := time.Now()
		beside = append(beside, traffic())
		close(stop)
		purged = append(purged, float64(<-count)/time.Since(start).Seconds())
	}
	b.ReportMetric(median(alone), "pairs/s-alone")
	b.ReportMetric(median(beside), "pairs/s-beside")
	b.ReportMetric(median(beside)/median(alone), "left")
	b.ReportMetric(median(purged), "purged/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOpen measures how long a service waits for its store.
func BenchmarkOpen(b *testing.B) {
	for _, records := range []int{100, 9_000} {
		b.Run(strconv.Itoa(records), func(b *testing.B) {
			path := fill(b, records)
			for b.Loop() {
				s, err := sqlitestore.Open(path, sqlitestore.Config{})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReplay measures what a retry of a completed key costs.
func BenchmarkReplay(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "replay.db"), sqlitestore.Config{})
	r := reservation("k")
	if _, err := s.Reserve(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	if err := s.Complete(b.Context(), completion(r, string(benchBody))); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if held, err := s.Reserve(b.Context(), again(r)); err != nil || held.State != semel.StateCompleted {
				b.Errorf("got a %v slot (%v), want the kept response", held.State, err)
				return
			}
		}
	})
}
