//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
)

// L3: sidecars with wait_hints wake each other's waits; each waiter gets the answer of the first.
func TestSidecarsHint(t *testing.T) {
	t.Parallel()
	for kind, url := range map[string]func() string{
		"postgres": func() string { return servertest.Postgres(t).DSN() },
		"redis":    func() string { return "redis://" + servertest.NewRedis(t).Addr() + "/0" },
		"nats":     func() string { return machines["nats"](t).url },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			runs := make(chan struct{}, 99)
			shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs <- struct{}{}
				time.Sleep(300 * time.Millisecond) // polls have become rare
				_, _ = io.WriteString(w, "paid")
			}))
			t.Cleanup(shop.Close)
			admin := freePort(t)
			args := []string{"--store", url(), "--wait", "9s", "--wait-hints", "--log-format", "text"}
			here := startSidecar(t, shop.URL, args...)
			there := startSidecar(t, shop.URL, append(args, "--admin", admin)...)
			there.orderUntil(t, "first", http.StatusOK)
			var orders atomic.Int64
			for woken := false; !woken; { // a poll may be faster, but not each time
				n := orders.Add(1)
				if n == 30 {
					t.Fatalf("of %d waits none was ended by a hint:\n%s", n, metricsOf(t, admin))
				}
				key := kind + strconv.FormatInt(n, 10)
				drain(runs)
				done := make(chan answered, 1)
				go func() { done <- here.order(t, key) }()
				<-runs
				if a := there.order(t, key); a.status != http.StatusOK || !a.replayed {
					t.Fatalf("got %+v, want a replay", a)
				}
				if a := <-done; a.replayed {
					t.Fatalf("got %+v, want the first answer", a)
				}
				if len(runs) > 0 {
					t.Fatal("it ran twice")
				}
				woken = !strings.Contains(metricsOf(t, admin), `semel_waits_total{woken_by="hint"} 0`)
			}
			if !strings.Contains(metricsOf(t, admin), "semel_hints_heard 1") {
				t.Error("the metrics do not say that hints are heard")
			}
		})
	}
}

func drain(c <-chan struct{}) {
	for len(c) > 0 {
		<-c
	}
}

// A store that carries no hints is told at the start.
func TestHintsThatCannotBe(t *testing.T) {
	t.Parallel()
	out := runSemel(t, 2, "proxy", "--upstream", "http://127.0.0.1:1", "--store", "sqlite:"+t.TempDir()+"/semel.db", "--wait-hints")
	if !strings.Contains(out, `--wait-hints: a store of kind "sqlite" carries no hints`) {
		t.Errorf("got %s", out)
	}
}
