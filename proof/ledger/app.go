package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

var silent = slog.New(slog.DiscardHandler)

// The routes. The last word of a key's first part names its route.
const (
	routeClaim  = "claim"
	routeSingle = "single"
	routePlain  = "plain" // the handler commits by itself
)

var routes = []string{routeClaim, routeSingle, routePlain}

// appConfig is what an app process is told.
type appConfig struct {
	Kind, DSN, Addr string
}

// dawdle is the work of a handler between two writes.
func dawdle() {
	if rand.IntN(4) == 0 { //nolint:gosec // not a secret
		time.Sleep(rand.N(25 * time.Millisecond)) //nolint:gosec // not a secret
	}
}

// runApp serves until it is killed.
func runApp(ctx context.Context, text string) error {
	var cfg appConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	b, err := openBank(ctx, cfg.Kind, cfg.DSN)
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
	a := &app{b}
	mux := http.NewServeMux()
	mux.Handle("POST /"+routePlain, plain.Wrap(http.HandlerFunc(a.alone)))
	for route, mode := range map[string]semel.TxMode{routeClaim: semel.ClaimTx, routeSingle: semel.SingleTx} {
		txs, err := b.transactions(mode)
		if err != nil {
			return nil, err
		}
		mw, err := plain.InTx(txs)
		if err != nil {
			return nil, err
		}
		mux.Handle("POST /"+route, mw.Wrap(http.HandlerFunc(a.inTx)))
	}
	return mux, nil
}

func read(r *http.Request) (key string, o order, err error) {
	return r.Header.Get("Idempotency-Key"), o, json.NewDecoder(r.Body).Decode(&o)
}

// inTx writes in the transaction of its request.
func (a *app) inTx(w http.ResponseWriter, r *http.Request) {
	key, o, err := read(r)
	if err == nil {
		err = a.bank.move(r.Context(), key, o)
	}
	answer(w, r, err)
}

// alone writes in a transaction that Semel does not know. A commit whose end it
// does not know is told to Semel as such.
func (a *app) alone(w http.ResponseWriter, r *http.Request) {
	claim := semel.FromContext(r.Context())
	key, o, err := read(r)
	for try := 0; err == nil && try < 5; try++ {
		var unknown bool
		unknown, err = a.bank.moveAlone(r.Context(), key, o)
		time.Sleep(rand.N(60 * time.Millisecond)) //nolint:gosec // done, and not recorded yet: the gap that transactions close
		if unknown {
			claim.Settle(semel.Unknown)
			break
		}
		if err == nil || !a.bank.again(err) {
			break
		}
		err = nil
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
