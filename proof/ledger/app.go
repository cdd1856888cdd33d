//go:build unix

package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

var silent = slog.New(slog.DiscardHandler)

// The routes. The last word of a key's first part names its route.
const (
	routeClaim  = "claim"
	routeSingle = "single"
	routeOwned  = "owned" // the handler's transaction, in which it completes
	routeLate   = "late"  // the same, but its first try does not lock the slot
	routePlain  = "plain" // the handler commits by itself
)

var routes = []string{routeClaim, routeSingle, routeOwned, routeOwned, routeLate, routeLate, routePlain, routePlain}

// crashHeader asks the app to kill itself at about the commit, and idleHeader to do
// nothing for longer than a lease before it writes.
const (
	crashHeader = "Ledger-Crash"
	idleHeader  = "Ledger-Idle"
)

// appConfig is what an app process is told.
type appConfig struct {
	Kind, DSN, Addr string
	Level           sql.IsolationLevel
}

// tries is how often a handler begins a transaction of its own.
const tries = 5

// dawdle is the work of a handler between two writes.
func dawdle() {
	if rand.IntN(4) == 0 {
		time.Sleep(rand.N(25 * time.Millisecond))
	}
}

// runApp serves until it is killed.
func runApp(ctx context.Context, text string) error {
	var cfg appConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	b, err := openBank(ctx, cfg.Kind, cfg.DSN, cfg.Level)
	if err != nil {
		return err
	}
	handler, err := newApp(b)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { // the supervisor's end of the pipe closes when it dies
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	return server.Serve(listener)
}

type app struct{ bank bank }

func newApp(b bank) (http.Handler, error) {
	engine, err := semel.New(b.store(), semel.Config{
		Lease: time.Second, Margin: 200 * time.Millisecond, MaxRun: 20 * time.Second,
		ReserveTimeout: 3 * time.Second, CompleteTimeout: 5 * time.Second, Logger: silent,
	})
	if err != nil {
		return nil, err
	}
	plain, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Logger: silent})
	if err != nil {
		return nil, err
	}
	deferring, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Logger: silent, DeferEffects: true})
	if err != nil {
		return nil, err
	}
	a := &app{b}
	mux := http.NewServeMux()
	mux.Handle("POST /"+routePlain, plain.Wrap(http.HandlerFunc(a.alone)))
	mux.Handle("POST /"+routeOwned, tellAttempt(deferring.Wrap(http.HandlerFunc(a.owned))))
	late, err := a.late(deferring)
	if err != nil {
		return nil, err
	}
	mux.Handle("POST /"+routeLate, tellAttempt(late))
	for route, mode := range map[string]semel.TxMode{routeClaim: semel.ClaimTx, routeSingle: semel.SingleTx} {
		txs, err := b.transactions(mode)
		if err != nil {
			return nil, err
		}
		mw, err := plain.InTx(txs)
		if err != nil {
			return nil, err
		}
		mux.Handle("POST /"+route, tellAttempt(mw.Wrap(http.HandlerFunc(a.inTx))))
	}
	return mux, nil
}

func read(r *http.Request) (key string, o order, err error) {
	return r.Header.Get("Idempotency-Key"), o, json.NewDecoder(r.Body).Decode(&o)
}

// inTx writes in the transaction of its request.
func (a *app) inTx(w http.ResponseWriter, r *http.Request) {
	noteAttempt(r)
	key, o, err := read(r)
	if err == nil {
		err = a.bank.move(r.Context(), key, o)
	}
	if crashes(r) {
		crashSoon()
	}
	answer(w, r, err)
}

func crashes(r *http.Request) bool { return r.Header.Get(crashHeader) != "" }

// crash is kill -9, by the process itself.
func crash() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }

// crashSoon crashes while the commit is likely to be under way.
func crashSoon() { time.AfterFunc(rand.N(6*time.Millisecond), crash) }

// alone writes in a transaction that Semel does not know. A commit whose end it
// does not know is told to Semel as such.
func (a *app) alone(w http.ResponseWriter, r *http.Request) {
	claim := semel.FromContext(r.Context())
	key, o, err := read(r)
	for range tries {
		if err != nil && !a.bank.again(err) {
			break
		}
		var unknown bool
		unknown, err = a.bank.own(r.Context(), key, o, func(_ semel.Tx, move func() error) error { return move() })
		if err == nil && crashes(r) {
			crash()
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		if unknown {
			claim.Settle(semel.Unknown)
			break
		}
		if err == nil {
			break
		}
	}
	if err != nil && !errors.Is(err, errNoMoney) {
		if _, told := claim.Settlement(); !told {
			claim.Settle(semel.Free) // rolled back
		}
	}
	answer(w, r, err)
}

// answer says how it went. No two attempts make the same answer.
func answer(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusCreated)
	case errors.Is(err, errNoMoney):
		w.WriteHeader(http.StatusPaymentRequired)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, semel.FromContext(r.Context()).Token())
}
