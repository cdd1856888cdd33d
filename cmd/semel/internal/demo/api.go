package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// crashHeader makes the API go down right after it has moved the money.
const crashHeader = "Demo-Crash"

// ledger is the business data: who has how much, and every payment made.
type ledger struct {
	mu       sync.Mutex
	balances map[string]int64 // cents
	payments []payment
}

type payment struct {
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"` // cents
}

func newLedger() *ledger {
	return &ledger{balances: map[string]int64{"alice": 10_000, "bob": 0}}
}

// pay moves money. It moves it every time it is asked: the ledger knows nothing
// of idempotency keys.
func (l *ledger) pay(p payment) (payment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.Amount <= 0:
		return payment{}, errors.New("the amount must be more than 0 cents")
	case l.balances[p.From] < p.Amount:
		return payment{}, fmt.Errorf("%s has only %s", p.From, money(l.balances[p.From]))
	}
	p.ID = fmt.Sprintf("pay_%d", len(l.payments)+1)
	l.balances[p.From] -= p.Amount
	l.balances[p.To] += p.Amount
	l.payments = append(l.payments, p)
	return p, nil
}

// state is the ledger at one moment.
type state struct {
	Balances map[string]int64 `json:"balances"`
	Payments []payment        `json:"payments"`
}

func (l *ledger) state() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return state{Balances: maps.Clone(l.balances), Payments: append([]payment{}, l.payments...)}
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// api is the payments service that the sidecar protects. It is an ordinary
// HTTP server that can crash and come back on the same address.
type api struct {
	ledger *ledger
	slow   time.Duration // how long a payment takes
	addr   string

	mu     sync.Mutex
	server *http.Server
	wg     sync.WaitGroup // of the running servers
	closed bool
}

func startAPI(ctx context.Context, l *ledger, slow time.Duration) (*api, error) {
	a := &api{ledger: l, slow: slow, addr: "127.0.0.1:0"}
	return a, a.start(ctx)
}

func (a *api) start(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", a.addr)
	if err != nil {
		return fmt.Errorf("the payments API: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.Join(errors.New("the payments API is closed"), listener.Close())
	}
	a.addr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments", a.pay)
	mux.HandleFunc("GET /ledger", a.show)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	a.server = server
	a.wg.Go(func() { _ = server.Serve(listener) }) // ErrServerClosed, sooner or later
	return nil
}

// restart is what a supervisor does after a crash.
func (a *api) restart(ctx context.Context) error {
	a.stop()
	return a.start(ctx)
}

// stop cuts every connection at once, as a killed process does.
func (a *api) stop() {
	a.mu.Lock()
	server := a.server
	a.mu.Unlock()
	_ = server.Close() // the listener and the connections are gone either way
}

// wait returns when no server runs: after a crash, or after close.
func (a *api) wait() { a.wg.Wait() }

func (a *api) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop()
	a.wg.Wait()
}

func (a *api) pay(w http.ResponseWriter, r *http.Request) {
	var p payment
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": "the body is not a payment: " + err.Error()})
		return
	}
	time.Sleep(a.slow)
	done, err := a.ledger.pay(p)
	if err != nil {
		reply(w, http.StatusPaymentRequired, map[string]string{"error": err.Error()})
		return
	}
	if r.Header.Get(crashHeader) != "" { // the money has moved; nobody will hear of it
		a.stop()
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Location", "/payments/"+done.ID)
	reply(w, http.StatusCreated, done)
}

func (a *api) show(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, a.ledger.state()) }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone cannot be told
}
