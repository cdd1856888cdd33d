package memstore_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// payload is what a small JSON answer weighs.
var payload = semel.Response{Status: 201, Header: make([]byte, 200), Body: make([]byte, 1024)}

func reservation(key semel.Key) semel.Reservation {
	return semel.Reservation{
		Key: key, Fingerprint: semel.Fingerprint{1}, Token: semel.NewToken(),
		Lease: 30 * time.Second, Margin: 2 * time.Second, Retention: 24 * time.Hour, Owner: "host/1",
	}
}

// keys makes n keys as a server sees them: one scope text for all, 36 bytes of id.
func keys(from, n int) []semel.Key {
	made := make([]semel.Key, n)
	for i := range made {
		made[i] = semel.Key{Scope: "tenant-0001", ID: fmt.Sprintf("0b6c6b3e-6d2f-4c47-8f5e-%012d", from+i)}
	}
	return made
}

func pair(tb testing.TB, s *memstore.Store, r semel.Reservation) {
	if _, err := s.Reserve(tb.Context(), r); err != nil {
		tb.Fatal(err)
	}
	if err := s.Complete(tb.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: payload}); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPair is a reservation and its completion, each under a new key.
func BenchmarkPair(b *testing.B) {
	s, all, r := memstore.New(memstore.Config{}), keys(0, b.N), reservation(semel.Key{})
	b.ReportAllocs()
	b.ResetTimer()
	for _, r.Key = range all {
		pair(b, s, r)
	}
}

func BenchmarkPairParallel(b *testing.B) {
	s, all := memstore.New(memstore.Config{}), keys(0, b.N)
	var next atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		r := reservation(semel.Key{})
		for pb.Next() {
			r.Key = all[next.Add(1)-1]
			pair(b, s, r)
		}
	})
}

// BenchmarkReplay reserves completed slots: 10,000 of them, one after the other.
func BenchmarkReplay(b *testing.B) {
	s, all := full(b, 10_000)
	ask := reservation(semel.Key{})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ask.Key = all[i%len(all)]
		replay(b, s, ask)
	}
}

func BenchmarkReplayParallel(b *testing.B) {
	s, all := full(b, 10_000)
	var start atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ask := reservation(semel.Key{})
		for i := int(start.Add(137)); pb.Next(); i++ {
			ask.Key = all[i%len(all)]
			replay(b, s, ask)
		}
	})
}

func full(tb testing.TB, n int) (*memstore.Store, []semel.Key) {
	s, all := memstore.New(memstore.Config{}), keys(0, n)
	for _, key := range all {
		pair(tb, s, reservation(key))
	}
	return s, all
}

func replay(tb testing.TB, s *memstore.Store, ask semel.Reservation) {
	held, err := s.Reserve(tb.Context(), ask)
	if err != nil || held.State != semel.StateCompleted {
		tb.Fatalf("got %v, %v, want a completed record", held.State, err)
	}
}

// BenchmarkPurge deletes records that are over, 50 a call, out of 100,000.
func BenchmarkPurge(b *testing.B) {
	s, all, r := memstore.New(memstore.Config{}), keys(0, 100_000), reservation(semel.Key{})
	r.Retention = time.Nanosecond
	fill := func() {
		for _, r.Key = range all {
			pair(b, s, r)
		}
	}
	b.ResetTimer()
	for done := 0; done < b.N; {
		n, _ := s.Purge(b.Context(), min(50, b.N-done))
		if done += n; n == 0 {
			b.StopTimer()
			fill()
			b.StartTimer()
		}
	}
}

// BenchmarkMemory reports the heap bytes a completed record takes besides the
// text of its key and its payload, at several sizes because maps grow in steps.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{20_000, 100_000, 250_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				all, r := keys(0, n), reservation(semel.Key{})
				before := heap()
				s := memstore.New(memstore.Config{})
				for _, r.Key = range all {
					pair(b, s, r)
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "overhead-B/record")
				runtime.KeepAlive(all)
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
