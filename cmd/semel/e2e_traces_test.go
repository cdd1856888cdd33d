package main

import (
	"fmt"
	"net"
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
