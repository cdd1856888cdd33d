package pgstore_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
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
	benchRun  = semel.NewToken().String()[:24]
	benchKeys atomic.Int64
)

func benchReservation() semel.Reservation {
	return semel.Reservation{
		Key:         semel.Key{Scope: benchScope, ID: fmt.Sprintf("%s%012d", benchRun, benchKeys.Add(1))},
		Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1",
	}
}

func benchCompletion(r semel.Reservation) semel.Completion {
	return semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: benchHeader, Body: benchBody},
	}
}

func storePair(s semel.Store, tb testing.TB) {
	r := benchReservation()
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token {
		tb.Errorf("got a %v slot (%v), want a reservation", held.State, err)
		return
	}
	if err := s.Complete(tb.Context(), benchCompletion(r)); err != nil {
		tb.Error(err)
	}
}

// plainPair is the least that any store must do: insert a row and update it.
func plainPair(pool *pgxpool.Pool, table string, tb testing.TB) {
	r := benchReservation()
	slot := r.Key.Slot()
	_, err := pool.Exec(tb.Context(), "INSERT INTO "+table+` (slot, scope, key, state, token, fingerprint, owner,
		fence, lease_until, created_at, expires_at, attempts, lapses)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $7, $7, $7, 1, 0) ON CONFLICT DO NOTHING`,
		slot[:], []byte(r.Key.Scope), []byte(r.Key.ID), r.Token[:], r.Fingerprint[:], []byte(r.Owner), time.Now().UnixMicro())
	if err != nil {
		tb.Error(err)
	}
	_, err = pool.Exec(tb.Context(), "UPDATE "+table+" SET state = 2, status = 201, header = $2, body = $3 WHERE slot = $1 AND token = $4",
		slot[:], benchHeader, benchBody, r.Token[:])
	if err != nil {
		tb.Error(err)
	}
}

// rate runs f from that many callers for a while and returns how often per second.
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

// benchStore is a store of its own server, and the table beside it.
func benchStore(b *testing.B) (*pgstore.Store, *pgxpool.Pool, string) {
	b.Helper()
	server := servertest.NewPostgres(b)
	s := opened(b, server.DSN()+"&pool_max_conns=32", pgstore.Config{})
	migrate(b, s)
	other := opened(b, server.DSN(), pgstore.Config{Table: "plain"})
	migrate(b, other)
	return s, poolOf(b, server.DSN()+"&pool_max_conns=32"), "plain"
}

// BenchmarkPairs compares pairs of the store with two plain statements on the
// same table, in alternating slices of one run: go test -bench Pairs -benchtime 10x.
func BenchmarkPairs(b *testing.B) {
	s, pool, table := benchStore(b)
	for _, callers := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			rate(callers, slice, func() { storePair(s, b) }) // warm up
			var ours, plain []float64
			for b.Loop() {
				plain = append(plain, rate(callers, slice, func() { plainPair(pool, table, b) }))
				ours = append(ours, rate(callers, slice, func() { storePair(s, b) }))
			}
			b.ReportMetric(median(ours), "pairs/s")
			b.ReportMetric(median(plain), "plain-pairs/s")
			b.ReportMetric(median(ours)/median(plain), "of-plain")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkWAL measures the bytes of log per pair and per replay.
func BenchmarkWAL(b *testing.B) {
	s, pool, _ := benchStore(b)
	position := func() int64 {
		return look[int64](b, pool, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
	}
	storePair(s, b)
	for b.Loop() {
		const n = 2000
		before := position()
		for range n {
			storePair(s, b)
		}
		b.ReportMetric(float64(position()-before)/n, "B/pair")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReplay compares what a retry of a completed key costs with a search by
// the same key, in alternating slices.
func BenchmarkReplay(b *testing.B) {
	s, pool, _ := benchStore(b)
	r := benchReservation()
	mustReserve(b, s, r)
	if err := s.Complete(b.Context(), benchCompletion(r)); err != nil {
		b.Fatal(err)
	}
	slot := r.Key.Slot()
	for _, callers := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			var ours, plain []float64
			for b.Loop() {
				plain = append(plain, rate(callers, slice, func() {
					var token, body []byte
					err := pool.QueryRow(b.Context(), "SELECT token, body FROM semel_slots WHERE slot = $1", slot[:]).Scan(&token, &body)
					if err != nil {
						b.Error(err)
					}
				}))
				ours = append(ours, rate(callers, slice, func() {
					if held, err := s.Reserve(b.Context(), again(r)); err != nil || held.State != semel.StateCompleted {
						b.Errorf("got a %v slot (%v), want the kept response", held.State, err)
					}
				}))
			}
			b.ReportMetric(median(ours), "replays/s")
			b.ReportMetric(median(plain), "selects/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPooled measures pairs through pgbouncer, where each statement is
// parsed and planned, and with the prepared statements of a straight connection.
func BenchmarkPooled(b *testing.B) {
	server := servertest.NewPostgres(b)
	bouncer := servertest.NewPgBouncer(b, server)
	straight := opened(b, server.DSN(), pgstore.Config{})
	migrate(b, straight)
	whole := opened(b, server.DSN(), pgstore.Config{ExecMode: pgx.QueryExecModeCacheDescribe})
	through := opened(b, bouncer.DSN(), pgstore.Config{})
	for name, s := range map[string]*pgstore.Store{"straight": straight, "whole": whole, "through": through} {
		b.Run(name, func(b *testing.B) {
			var rates []float64
			for b.Loop() {
				rates = append(rates, rate(8, slice, func() { storePair(s, b) }))
			}
			b.ReportMetric(median(rates), "pairs/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRenew measures the renewal of 10,000 attempts.
func BenchmarkRenew(b *testing.B) {
	s, _, _ := benchStore(b)
	holders := make([]semel.Holder, 10_000)
	var wg sync.WaitGroup
	for part := range slices.Chunk(holders, 1000) {
		wg.Go(func() {
			for i := range part {
				r := benchReservation()
				mustReserve(b, s, r)
				part[i] = semel.Holder{Key: r.Key, Token: r.Token}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		if lost, err := s.Renew(b.Context(), 30*time.Second, holders); err != nil || len(lost) > 0 {
			b.Fatalf("got %d lost (%v)", len(lost), err)
		}
	}
}
