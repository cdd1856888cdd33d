package main

import (
	"bytes"
	"maps"
	"net/http"
	"sync"
)

// naive is what many services have: "set if not exists" on the key, and the
// answer beside it. It has no scope, fingerprint, lease, retention or limit of
// size, keeps nothing over a restart, and replays a panic as an empty 500. It is
// here as the price of the least that one can do.
type naive struct {
	mu   sync.Mutex
	keys map[string]*naiveEntry
}

// naiveEntry is locked while its first request runs.
type naiveEntry struct {
	mu     sync.Mutex
	status int
	header http.Header
	body   []byte
}

func newNaive() *naive { return &naive{keys: make(map[string]*naiveEntry)} }

func (n *naive) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" {
			next.ServeHTTP(w, r)
			return
		}
		e, first := n.setIfAbsent(key)
		if !first {
			e.mu.Lock() // waits for the first request
			defer e.mu.Unlock()
			w.Header().Set("Idempotent-Replayed", "true")
			e.send(w)
			return
		}
		defer e.mu.Unlock()
		b := naiveWriter{header: make(http.Header), status: http.StatusOK}
		next.ServeHTTP(&b, r)
		e.status, e.header, e.body = b.status, b.header, b.body.Bytes()
		e.send(w)
	})
}

// setIfAbsent returns the entry of key, locked if it is new.
func (n *naive) setIfAbsent(key string) (e *naiveEntry, first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.keys[key]
	if !ok {
		e = &naiveEntry{status: http.StatusInternalServerError}
		e.mu.Lock()
		n.keys[key] = e
	}
	return e, !ok
}

func (e *naiveEntry) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), e.header)
	w.WriteHeader(e.status)
	_, _ = w.Write(e.body) // a client that is gone cannot be told
}

// naiveWriter holds the answer back until it is stored.
type naiveWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *naiveWriter) Header() http.Header         { return b.header }
func (b *naiveWriter) WriteHeader(status int)      { b.status = status }
func (b *naiveWriter) Write(p []byte) (int, error) { return b.body.Write(p) }
