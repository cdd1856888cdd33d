package sqlitestore_test

import (
	"crypto/rand"
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

var benchKeys atomic.Int64

func benchKey() semel.Key {
	return semel.Key{Scope: benchScope, ID: fmt.Sprintf("5b1f0c6e-0000-4000-8000-%012d", benchKeys.Add(1))}
}

func storePair(s semel.Store, tb testing.TB) {
	r := semel.Reservation{
		Key: benchKey(), Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1",
	}
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token {
		tb.Errorf("reserve: %v %v", held, err)
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
