package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// pingTimeout is how long /readyz waits for the store. The driver's own call is
// never cancelled.
const pingTimeout = 2 * time.Second

// admin serves operators.
type admin struct {
	metrics  *Metrics
	version  string
	draining func() bool
	store    *prober
	console  http.Handler // nil for none
}

// handler answers GET and HEAD only, but for the console: nothing else changes anything.
func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.metrics.handler(func(ctx context.Context) bool { return a.trouble(ctx) == nil && !a.draining() }))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"version": a.version, "go": runtime.Version()}) // likewise
	})
	if a.console != nil {
		mux.Handle("/console/", a.console)
		mux.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
	}
	return mux
}

// trouble is why the store is not trusted to answer and write, or nil.
func (a *admin) trouble(ctx context.Context) error {
	return cmp.Or(a.store.ping(ctx), a.metrics.trouble.now())
}

// readyz says 200 while the store answers, its last write worked and no drain
// has begun. With ?verbose it says what was asked.
func (a *admin) readyz(w http.ResponseWriter, r *http.Request) {
	draining := a.draining()
	err := a.trouble(r.Context())
	status := http.StatusOK
	if draining || err != nil {
		status = http.StatusServiceUnavailable
	}
	if !r.URL.Query().Has("verbose") {
		say(w, status, map[bool]string{true: "ok\n", false: "not ready\n"}[status == http.StatusOK])
		return
	}
	store, traffic := "ok", "ok"
	if err != nil {
		store = err.Error()
	}
	if draining {
		traffic = "draining"
	}
	say(w, status, fmt.Sprintf("store: %s\ntraffic: %s\n", store, traffic))
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a caller that is gone cannot be told
}

var errPingTimeout = errors.New("the store did not answer in time")

// prober pings a store, one ping at a time, however many ask.
type prober struct {
	store semel.Pinger // nil when it cannot be asked

	mu  sync.Mutex
	now *probe // the ping under way
}

type probe struct {
	done chan struct{}
	err  error // set before done is closed
}

func newProber(store semel.Store) *prober {
	p := &prober{}
	p.store, _ = semel.As[semel.Pinger](store)
	return p
}

// ping waits for the ping under way, or for one it starts.
func (p *prober) ping(ctx context.Context) error {
	if p.store == nil {
		return nil
	}
	one := p.join(context.WithoutCancel(ctx))
	timer := time.NewTimer(pingTimeout)
	defer timer.Stop()
	select {
	case <-one.done:
		return one.err
	case <-timer.C:
		return errPingTimeout
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *prober) join(ctx context.Context) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		return p.now
	}
	one := &probe{done: make(chan struct{})}
	p.now = one
	go func() { // wait waits for it
		one.err = p.store.Ping(ctx)
		p.mu.Lock()
		p.now = nil
		p.mu.Unlock()
		close(one.done)
	}()
	return one
}

// wait returns when no ping is under way, or when ctx ends.
func (p *prober) wait(ctx context.Context) {
	p.mu.Lock()
	one := p.now
	p.mu.Unlock()
	if one == nil {
		return
	}
	select {
	case <-one.done:
	case <-ctx.Done():
	}
}
