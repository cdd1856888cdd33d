package redisstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// open opens a store that shares nothing with any other. It is closed when the
// test ends.
func open(tb testing.TB, url string, cfg redisstore.Config) *redisstore.Store {
	tb.Helper()
	if cfg.Prefix == "" {
		cfg.Prefix = servertest.Name(tb) + ":"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := redisstore.Open(tb.Context(), patient(url), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// patient gives a URL that sets no time-outs long ones: on a busy machine a server
// may be slow by more than the default ones, which is not what a test is about.
func patient(url string) string {
	if strings.Contains(url, "_timeout=") {
		return url
	}
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return url + separator + "dial_timeout=30s&read_timeout=30s&write_timeout=30s"
}

// admin is a client beside the store.
func admin(tb testing.TB, addr string) *redis.Client {
	tb.Helper()
	const patience = 30 * time.Second
	c := redis.NewClient(&redis.Options{Addr: addr, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// ask is a reservation of id by a new attempt.
func ask(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: time.Hour, Retention: 24 * time.Hour, Owner: "host/1",
	}
}

// another is the same request in another attempt.
func another(r semel.Reservation) semel.Reservation {
	r.Token = semel.NewToken()
	return r
}

func completion(r semel.Reservation) semel.Completion {
	return semel.Completion{Key: r.Key, Token: r.Token, Response: answer(r), Retention: r.Retention}
}

// answer is a response that only this attempt gives.
func answer(r semel.Reservation) semel.Response {
	return semel.Response{Status: 201, Header: []byte("header"), Body: []byte("body of " + r.Token.String())}
}

// grant reserves a slot that r must get.
func grant(tb testing.TB, s semel.Store, r semel.Reservation) semel.Record {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token || held.State != semel.StateReserved {
		tb.Fatalf("reserve: got a %v slot, error %v, want a reservation", held.State, err)
	}
	return held
}

// replay reserves a slot that r completed.
func replay(tb testing.TB, s semel.Store, r semel.Reservation) {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), another(r))
	if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != string(answer(r).Body) {
		tb.Errorf("reserve: got a %v slot, error %v, want the kept response (I2, I3)", held.State, err)
	}
}

func must(tb testing.TB, what string, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%s: got error %v, want none", what, err)
	}
}

// until polls a condition.
func until(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	for !cond() {
		select {
		case <-ctx.Done():
			tb.Fatalf("%s: it did not happen", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// serves waits until a new slot can be had (L4).
func serves(tb testing.TB, s semel.Store) {
	tb.Helper()
	n := 0
	until(tb, "the store serves", func() bool {
		n++
		r := ask(fmt.Sprint("serves ", n, " ", semel.NewToken()))
		held, err := s.Reserve(tb.Context(), r)
		return err == nil && held.Token == r.Token
	})
}
