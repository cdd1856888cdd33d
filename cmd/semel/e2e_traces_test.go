package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A collector that takes connections and never answers slows no request, and does not keep the
// sidecar from ending.
func TestCollectorThatHangs(t *testing.T) {
	t.Parallel()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	connected := make(chan net.Conn, 100)
	go func() { // ends with the listener
		for {
			conn, err := hanging.Accept()
			if err != nil {
				return
			}
			connected <- conn
		}
	}()
	upstream, runs := shop(t)
	s := startSidecar(t, upstream, "--store", "memory", "--otlp-endpoint", "http://"+hanging.Addr().String())
	const requests = 3000 // more spans than the queue takes
	for i := range requests {
		if a := s.order(t, fmt.Sprint("order-", i)); a.status != 201 {
			t.Fatalf("got %d, want 201", a.status)
		}
	}
	if runs.Load() != requests {
		t.Errorf("got %d runs, want %d", runs.Load(), requests)
	}
	select {
	case conn := <-connected:
		defer conn.Close()
	case <-time.After(20 * time.Second):
		t.Error("nothing was ever exported")
	}
	began := time.Now()
	s.end(t, syscall.SIGTERM)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v to end", took)
	}
}

// What the sidecar has traced reaches the collector at the latest when it ends.
func TestCollectorGetsTraces(t *testing.T) {
	t.Parallel()
	posts := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	upstream, _ := shop(t)
	s := startSidecar(t, upstream, "--store", "memory", "--otlp-endpoint", collector.URL, "--otlp-steps")
	s.order(t, "order-secret")
	s.order(t, "order-secret")
	s.end(t, syscall.SIGTERM)
	select {
	case got := <-posts:
		for _, part := range []string{
			"/v1/traces {", `"name":"semel.reserve"`, `"name":"semel.complete"`, `"name":"upstream"`, `"name":"POST"`,
			`{"key":"semel.outcome","value":{"stringValue":"executed"}}`, `{"key":"semel.replayed","value":{"boolValue":true}}`,
			`{"key":"service.name","value":{"stringValue":"semel"}}`,
		} {
			if !strings.Contains(got, part) {
				t.Errorf("%s is missing in %s", part, got)
			}
		}
		if strings.Contains(got, "secret") {
			t.Errorf("the key is in %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was exported")
	}
}
