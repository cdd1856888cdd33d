package main

import (
	"io"
	"net/http"
	"sync"
)

// postOffice stands for a mail provider that knows idempotency keys, as most do.
type postOffice struct {
	print func(format string, args ...any)

	mu    sync.Mutex
	known map[string]bool
}

func (p *postOffice) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, "half a mail", http.StatusBadRequest)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	p.mu.Lock()
	again := p.known[key]
	if p.known == nil {
		p.known = make(map[string]bool)
	}
	p.known[key] = true
	p.mu.Unlock()
	if !again {
		p.print("mail to %s: %s", r.URL.Query().Get("to"), text)
	}
	w.WriteHeader(http.StatusAccepted)
}
