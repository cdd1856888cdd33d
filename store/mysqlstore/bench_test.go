package mysqlstore_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// The workload: a key as clients send them, a header blob of 200 bytes and a
// body of 1,024 random bytes.
var (
	benchScope  = "tenant-0123456789abcdef0123456789abcdef0123456789abcdef012345678"
	benchHeader = make([]byte, 200)
	benchBody   = random(1024)
	benchRun    = semel.NewToken().String()[:24]
	benchKeys   atomic.Int64
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func benchReservation() semel.Reservation {
	return semel.Reservation{
		Key:         semel.Key{Scope: benchScope, ID: fmt.Sprintf("%s%012d", benchRun, benchKeys.Add(1))},
		Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1", Route: "POST /payments/{id}",
	}
}

func storePair(tb testing.TB, s semel.Store) {
	r := benchReservation()
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

// rawPairs are the same two statements without a store: the driver's prepared
// statements, the same values, instants of this process's clock, one index.
type rawPairs struct{ insert, update, find *sql.Stmt }

func newRawPairs(b *testing.B, db *sql.DB) *rawPairs {
	b.Helper()
	run(b, db, `CREATE TABLE raw (slot BINARY(32) PRIMARY KEY, scope VARBINARY(255), id VARBINARY(255), state TINYINT,
		fingerprint BINARY(32), token BINARY(16), fence BIGINT, lease_until BIGINT, owner VARBINARY(255),
		created_at BIGINT, expires_at BIGINT, status INT, header LONGBLOB, body LONGBLOB, KEY (expires_at)) ENGINE = InnoDB`)
	prepare := func(text string) *sql.Stmt {
		st, err := db.Prepare(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = st.Close() })
		return st
	}
	return &rawPairs{
		insert: prepare(`INSERT INTO raw (slot, scope, id, state, fingerprint, token, fence, lease_until, owner, created_at, expires_at)
			VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)`),
		update: prepare(`UPDATE raw SET status = ?, header = ?, body = ?, state = 2 WHERE slot = ? AND token = ?`),
		find:   prepare(`SELECT status, header, body FROM raw WHERE slot = ?`),
	}
}

func (p *rawPairs) pair(b *testing.B) (slot semel.Slot) {
	r := benchReservation()
	slot = r.Key.Slot()
	us := time.Now().UnixMicro()
	if _, err := p.insert.Exec(slot[:], r.Key.Scope, r.Key.ID, r.Fingerprint[:], r.Token[:], us, us+30e6, r.Owner, us, us+86400e6); err != nil {
		b.Error(err)
	}
	if _, err := p.update.Exec(201, benchHeader, benchBody, slot[:], r.Token[:]); err != nil {
		b.Error(err)
	}
	return slot
}

// rate runs f from that many callers for a while and returns runs per second.
func rate(callers int, f func()) float64 {
	const slice = 300 * time.Millisecond
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < slice {
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

// compare reports ours beside raw, in alternating slices of one run, and the
// median of the ratios of neighbors.
func compare(b *testing.B, callers int, unit string, raw, ours func()) {
	rate(callers, raw)
	rate(callers, ours)
	var r, o, ratio []float64
	for b.Loop() {
		first, second := rate(callers, raw), rate(callers, ours)
		r, o, ratio = append(r, first), append(o, second), append(ratio, second/first)
	}
	b.ReportMetric(median(o), unit)
	b.ReportMetric(median(r), "raw-"+unit)
	b.ReportMetric(median(ratio), "of-raw")
	b.ReportMetric(0, "ns/op")
}

// The server of the benchmarks: as in production, and not the tests' small log.
func benchServer(b *testing.B) (dsn string) {
	b.Helper()
	return database(b, servertest.NewMariaDB(b, "innodb-log-file-size=256M", "innodb-flush-method=O_DIRECT"), "")
}

// BenchmarkPairs compares durable pairs with the raw two statements through the
// driver: go test -run - -bench Pairs -benchtime 20x.
func BenchmarkPairs(b *testing.B) {
	dsn := benchServer(b)
	s := open(b, dsn, mysqlstore.Config{})
	p := newRawPairs(b, pool(b, dsn))
	for _, callers := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			compare(b, callers, "pairs/s", func() { p.pair(b) }, func() { storePair(b, s) })
		})
	}
}

// BenchmarkReplay compares retries of completed keys with a raw SELECT.
func BenchmarkReplay(b *testing.B) {
	dsn := benchServer(b)
	s := open(b, dsn, mysqlstore.Config{})
	p := newRawPairs(b, pool(b, dsn))
	r := benchReservation()
	mustReserve(b, s, r)
	mustComplete(b, s, r, string(benchBody))
	slot := p.pair(b)
	for _, callers := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			compare(b, callers, "replays/s", func() {
				var status int
				var header, body []byte
				if err := p.find.QueryRow(slot[:]).Scan(&status, &header, &body); err != nil {
					b.Error(err)
				}
			}, func() { mustReplay(b, s, r, string(benchBody)) })
		})
	}
}

// BenchmarkRenew measures the renewal of ten thousand attempts in flight.
func BenchmarkRenew(b *testing.B) {
	s := open(b, benchServer(b), mysqlstore.Config{})
	holders := make([]semel.Holder, 10_000)
	var wg sync.WaitGroup
	for part := range slices.Chunk(holders, len(holders)/16) {
		wg.Go(func() {
			for i := range part {
				r := benchReservation()
				if _, err := s.Reserve(b.Context(), r); err != nil {
					b.Error(err)
				}
				part[i] = semel.Holder{Key: r.Key, Token: r.Token}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		if lost, err := s.Renew(b.Context(), time.Minute, holders); err != nil || len(lost) > 0 {
			b.Fatalf("%d lost, %v", len(lost), err)
		}
	}
}

// BenchmarkPurge measures what a paced purge of 200,000 records takes from 8
// callers: go test -run - -bench Purge -benchtime 10x.
func BenchmarkPurge(b *testing.B) {
	dsn := benchServer(b)
	s := open(b, dsn, mysqlstore.Config{})
	run(b, pool(b, dsn), `INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses, owner,
			created_at, expires_at, status, header, body)
		SELECT UNHEX(SHA2(seq, 256)), ?, SHA2(seq, 224), 2, UNHEX(SHA2(seq, 256)), UNHEX(MD5(seq)), seq, 0, 1, 0, 'bench/1', seq, seq, 201, ?, ?
		FROM seq_1_to_200000`, benchScope, benchHeader, benchBody)
	var alone, beside, left, purged []float64
	traffic := func() float64 { return rate(8, func() { storePair(b, s) }) }
	for b.Loop() {
		alone = append(alone, traffic())
		stop, count := make(chan struct{}), make(chan int)
		go func() {
			total := 0
			for {
				start := time.Now()
				n, err := s.Purge(b.Context(), 1000)
				if err != nil {
					b.Error(err)
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
		left = append(left, beside[len(beside)-1]/alone[len(alone)-1])
	}
	b.ReportMetric(median(alone), "pairs/s-alone")
	b.ReportMetric(median(beside), "pairs/s-beside")
	b.ReportMetric(median(left), "left")
	b.ReportMetric(median(purged), "purged/s")
	b.ReportMetric(0, "ns/op")
}
