package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
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
	benchRun  = semel.NewToken().String()[:24] // a server may outlive a run
	benchKeys atomic.Int64
)

func benchAsk() semel.Reservation {
	return semel.Reservation{
		Key:         semel.Key{Scope: benchScope, ID: fmt.Sprintf("%s%012d", benchRun, benchKeys.Add(1))},
		Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1", Route: "POST /payments/{id}",
	}
}

func benchPair(s semel.Store, tb testing.TB) semel.Reservation {
	r := benchAsk()
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token {
		tb.Errorf("got a %v slot (%v), want a reservation", held.State, err)
		return r
	}
	err = s.Complete(tb.Context(), semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: benchHeader, Body: benchBody},
	})
	if err != nil {
		tb.Error(err)
	}
	return r
}

// rate runs f from that many callers for a while and returns calls per second.
func rate(callers int, d time.Duration, f func()) float64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < d {
				f()
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

// raw is redis-benchmark with the same two scripts: one connection a caller,
// no pipeline.
type raw struct {
	addr              string
	reserve, complete string // the names for EVALSHA
}

const rawKeys = 2000 // how many records the completions go round

func newRaw(b *testing.B, addr string) *raw {
	b.Helper()
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		b.Skip("redis-benchmark is not installed: make servers")
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }()
	// A completion that can be measured again and again: it completes what is
	// completed, and replaces the response.
	again := strings.Replace(completeScript.source, "elseif state == COMPLETED then\n  touch(ARGV[5])\n  return 1\n", "", 1)
	again = strings.Replace(again, "string.sub(held, 50) ..", fmt.Sprintf("string.sub(held, 50, %d) ..", atNames+len(rawName())-60), 1)
	r := &raw{addr: addr}
	for _, script := range []struct {
		name   *string
		source string
	}{{&r.reserve, reserveScript.source}, {&r.complete, again}} {
		var err error
		if *script.name, err = client.ScriptLoad(b.Context(), script.source).Result(); err != nil {
			b.Fatal(err)
		}
	}
	r.run(b, 16, 10*rawKeys, rawKeys, r.reserve, rawName(), "3600000000", "86400000000", "0", "0", "0")
	return r
}

// rawName stands for what a reservation brings: as long, but printable.
func rawName() string {
	return strings.Repeat("f", 32) + strings.Repeat("t", 16) + strings.Repeat("l", 12) + benchScope + strings.Repeat("i", 36) + "bench/1"
}

// run returns the requests per second of one script.
func (r *raw) run(b *testing.B, callers, requests, keys int, sha string, args ...string) float64 {
	b.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	args = append([]string{
		"-h", host, "-p", port, "-c", strconv.Itoa(callers), "-n", strconv.Itoa(requests), "-r", strconv.Itoa(keys), "--csv",
		"EVALSHA", sha, "1", "raw:{__rand_int__" + strings.Repeat("0", 52) + "}",
	}, args...)
	out, err := exec.CommandContext(context.WithoutCancel(b.Context()), "redis-benchmark", args...).Output()
	if err != nil {
		b.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(lines) < 2 {
		b.Fatalf("redis-benchmark: %v, %s", err, out)
	}
	rps, err := strconv.ParseFloat(lines[len(lines)-1][1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rps
}

// pairs is the rate of one reservation and one completion after the other.
func (r *raw) pairs(b *testing.B, callers, requests int) float64 {
	b.Helper()
	reserve := r.run(b, callers, requests, 1_000_000_000, r.reserve, rawName(), "30000000", "86400000000", "0", "0", "0")
	complete := r.run(b, callers, requests, rawKeys, r.complete, strings.Repeat("t", 16), "201", "86400000000",
		strings.Repeat("x", atPayload+1224), "0")
	return 1 / (1/reserve + 1/complete)
}

// BenchmarkPairs compares the store's pairs with those of redis-benchmark, in
// alternating slices of one run: go test -bench Pairs -benchtime 5x.
func BenchmarkPairs(b *testing.B) {
	for _, kind := range []struct {
		name     string
		settings []string
	}{{"none", nil}, {"always", []string{"appendonly=yes", "appendfsync=always"}}} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprint(kind.name, "/", callers), func(b *testing.B) {
				server := servertest.NewRedis(b, kind.settings...)
				s, err := Open(b.Context(), server.DSN(), Config{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				r := newRaw(b, server.Addr())
				requests := int(2 * rate(callers, slice, func() { benchPair(s, b) }) * slice.Seconds()) // and warm up
				var ours, ceiling []float64
				for b.Loop() {
					ceiling = append(ceiling, r.pairs(b, callers, requests))
					ours = append(ours, rate(callers, slice, func() { benchPair(s, b) }))
				}
				b.ReportMetric(median(ours), "pairs/s")
				b.ReportMetric(median(ceiling), "raw-pairs/s")
				b.ReportMetric(median(ours)/median(ceiling), "of-raw")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// plainPair is a pair without the lanes: each step a command of its own.
func plainPair(s *Store, tb testing.TB) {
	r := benchAsk()
	slot, name := r.Key.Slot(), nameOf(r)
	plain := func(p *step) {
		p.key = s.keyOf(slot)
		if err := s.client.Process(tb.Context(), p.command(tb.Context(), false)); err != nil {
			tb.Error(err)
		}
	}
	plain(&step{script: reserveScript, args: []any{name, micros(r.Lease), micros(r.Retention), 0, "0", "0"}})
	plain(&step{script: completeScript, args: []any{
		r.Token[:], 201, micros(r.Retention), responseOf(slot, semel.Response{Status: 201, Header: benchHeader, Body: benchBody}), "0",
	}})
}

// BenchmarkPlain compares pairs that share pipelines with pairs that do not:
// go test -bench Plain -benchtime 5x.
func BenchmarkPlain(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			server := servertest.NewRedis(b)
			s, err := Open(b.Context(), server.DSN(), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			rate(callers, slice, func() { benchPair(s, b) }) // warm up
			var ours, plain []float64
			for b.Loop() {
				plain = append(plain, rate(callers, slice, func() { plainPair(s, b) }))
				ours = append(ours, rate(callers, slice, func() { benchPair(s, b) }))
			}
			b.ReportMetric(median(ours), "pairs/s")
			b.ReportMetric(median(plain), "plain-pairs/s")
			b.ReportMetric(median(ours)/median(plain), "of-plain")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemory measures what a completed record takes beyond its key and its
// response: go test -bench Memory -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	server := servertest.NewRedis(b)
	s, err := Open(b.Context(), server.DSN(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	used := func() int64 {
		text, err := s.client.Info(b.Context(), "memory").Result()
		if err != nil {
			b.Fatal(err)
		}
		n, _ := strconv.ParseInt(parseInfo(text)["used_memory_dataset"], 10, 64)
		m, _ := strconv.ParseInt(parseInfo(text)["used_memory_overhead"], 10, 64)
		return n + m
	}
	benchPair(s, b)
	before := used()
	const n = 1 << 14 // a full hash table
	for b.Loop() {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range n / 16 {
					benchPair(s, b)
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(used()-before)/float64(n)/float64(b.N), "B/record")
	b.ReportMetric(0, "ns/op")
}
