package natsstore_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
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
	benchKeys atomic.Int64
)

func benchReservation() semel.Reservation {
	return semel.Reservation{
		Key:         semel.Key{Scope: benchScope, ID: fmt.Sprintf("0b6c6b3e-6d2f-4c47-8f5e-%012d", benchKeys.Add(1))},
		Fingerprint: semel.FingerprintOf(benchBody[:32]), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "bench/1", Route: "POST /payments/{id}",
	}
}

func storePair(tb testing.TB, s *natsstore.Store) {
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

// rawPair is what a client without a store would send: two messages of the same
// sizes, subjects and headers.
func rawPair(tb testing.TB, js jetstream.JetStream, subject string) {
	r := benchReservation()
	slot := r.Key.Slot()
	msg := &nats.Msg{Subject: subject + "." + slot.String(), Data: make([]byte, 208), Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"0"}}}
	ack, err := js.PublishMsg(tb.Context(), msg)
	if err != nil {
		tb.Error(err)
		return
	}
	msg = &nats.Msg{Subject: msg.Subject, Data: make([]byte, 0, 1436), Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(ack.Sequence, 10)}, jetstream.MsgTTLHeader: {"86460"},
	}}
	msg.Data = append(append(msg.Data, benchBody...), make([]byte, 412)...)
	if _, err := js.PublishMsg(tb.Context(), msg); err != nil {
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

// BenchmarkPairs compares reservations and their completions with the two raw
// publishes, in alternating slices of one run: go test -bench Pairs -benchtime 10x.
func BenchmarkPairs(b *testing.B) {
	for _, always := range []bool{false, true} {
		server := natstest.Start(b, natstest.Options{SyncAlways: always})
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("always=%v/callers=%d", always, callers), func(b *testing.B) {
				s := open(b, server.URL(), natsstore.Config{})
				raw := open(b, server.URL(), natsstore.Config{Stream: "RAW"})
				js, err := jetstream.New(raw.Conn())
				if err != nil {
					b.Fatal(err)
				}
				rate(callers, slice, func() { storePair(b, s) }) // warm up
				var ours, ceiling []float64
				for b.Loop() {
					ceiling = append(ceiling, rate(callers, slice, func() { rawPair(b, js, "RAW") }))
					ours = append(ours, rate(callers, slice, func() { storePair(b, s) }))
				}
				b.ReportMetric(median(ours), "pairs/s")
				b.ReportMetric(median(ceiling), "raw-pairs/s")
				b.ReportMetric(median(ours)/median(ceiling), "of-raw")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkReplay measures retries of completed keys, in replays per second.
func BenchmarkReplay(b *testing.B) {
	server := natstest.Start(b, natstest.Options{})
	for _, callers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			s := open(b, server.URL(), natsstore.Config{})
			r := benchReservation()
			if _, err := s.Reserve(b.Context(), r); err != nil {
				b.Fatal(err)
			}
			c := semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 201, Header: benchHeader, Body: benchBody}}
			if err := s.Complete(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			var rates []float64
			for b.Loop() {
				rates = append(rates, rate(callers, slice, func() {
					ask := r
					ask.Token = semel.NewToken()
					if held, err := s.Reserve(b.Context(), ask); err != nil || held.State != semel.StateCompleted {
						b.Errorf("got a %v slot (%v), want the kept response", held.State, err)
					}
				}))
			}
			b.ReportMetric(median(rates), "replays/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRenew measures a tick of 10,000 attempts in flight.
func BenchmarkRenew(b *testing.B) {
	server := natstest.Start(b, natstest.Options{})
	s := open(b, server.URL(), natsstore.Config{})
	holders := make([]semel.Holder, 10_000)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(holders)); i = next.Add(1) - 1 {
				r := benchReservation()
				if _, err := s.Reserve(b.Context(), r); err != nil {
					b.Error(err)
				}
				holders[i] = semel.Holder{Key: r.Key, Token: r.Token}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		if lost, err := s.Renew(b.Context(), 30*time.Second, holders); err != nil || len(lost) > 0 {
			b.Fatalf("%d lost, error %v", len(lost), err)
		}
	}
}
