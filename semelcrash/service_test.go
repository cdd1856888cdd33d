package semelcrash_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelcrash"
	"github.com/semel-go/semel/semelhttp"
)

func TestMain(m *testing.M) {
	semelcrash.Main(serve)
	os.Exit(m.Run())
}

// service is what the handlers below have.
type service struct {
	db       *remote
	store    semel.Store // db, or something of it
	p        *semelcrash.Process
	receipts *sync.Map // by order
}

// serve builds the variant that the test has named.
func serve(_ context.Context, p *semelcrash.Process) (http.Handler, error) {
	if p.Args[0] == "alone" {
		return http.NotFoundHandler(), nil
	}
	db, err := connect(p.Args[0])
	if err != nil {
		return nil, err
	}
	s := service{db, db, p, new(sync.Map)}
	guarded := func(policy semel.Policy, h http.HandlerFunc) (http.Handler, error) {
		return s.wrap(semel.Config{Lapsed: policy}, semelhttp.Config{}, h)
	}
	switch variant := p.Args[1]; variant {
	case "claim":
		return s.inTx(transactions{s.db, semel.ClaimTx})
	case "single":
		return s.inTx(transactions{s.db, semel.SingleTx})
	case "one trip":
		return s.inTx(oneTrips{transactions{s.db, semel.ClaimTx}})
	case "recover":
		return s.wrap(semel.Config{Lapsed: semel.Recover, Recover: s.ask}, semelhttp.Config{}, s.pay)
	case "recover, once":
		return s.wrap(semel.Config{Lapsed: semel.Recover, Recover: s.askOnce}, semelhttp.Config{}, s.pay)
	case "forgets":
		return guarded(semel.Rerun, s.payAndForget)
	case "own transaction":
		return s.wrap(semel.Config{}, semelhttp.Config{DeferEffects: true}, s.payInOwn)
	case "deferred":
		return s.wrap(semel.Config{}, semelhttp.Config{DeferEffects: true}, s.payDeferred)
	case "unlisted":
		s.store = unlisted{db, db}
		return guarded(semel.Hold, s.pay)
	case "hold":
		// A step of its own, before any request, is no step of the request.
		boot := semel.Reservation{
			Key: semel.Key{Scope: "boot", ID: rand.Text()}, Token: semel.NewToken(),
			Lease: time.Second, Retention: time.Minute,
		}
		if _, err := p.Store(db).Reserve(context.Background(), boot); err != nil {
			return nil, err
		}
		return guarded(semel.Hold, s.pay)
	case "rerun":
		return guarded(semel.Rerun, s.pay)
	case "rerun, once":
		return guarded(semel.Rerun, s.payOnce)
	case "later":
		return guarded(semel.Rerun, s.payLater)
	case "released":
		return guarded(semel.Rerun, s.payReleased)
	case "unguarded":
		return http.HandlerFunc(s.pay), nil
	case "forgetful":
		return http.HandlerFunc(s.payForgetful), nil
	case "busy":
		return http.HandlerFunc(busy), nil
	case "exits":
		return guarded(semel.Rerun, func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	case "falls":
		return guarded(semel.Rerun, s.payAndFall)
	case "not built":
		return nil, errors.New("no ink")
	case "silent":
		select {}
	default:
		return nil, fmt.Errorf("there is no variant %q", variant)
	}
}

func (s service) wrap(cfg semel.Config, httpCfg semelhttp.Config, h http.HandlerFunc) (http.Handler, error) {
	mw, err := s.guard(cfg, httpCfg)
	if err != nil {
		return nil, err
	}
	return mw.Wrap(h), nil
}

func (s service) guard(cfg semel.Config, httpCfg semelhttp.Config) (*semelhttp.Middleware, error) {
	cfg.Lease, cfg.Margin = time.Second, -1
	engine, err := semel.New(s.p.Store(s.store), cfg)
	if err != nil {
		return nil, err
	}
	return semelhttp.New(engine, semelhttp.Global(), httpCfg)
}

func (s service) inTx(txs semel.Transactions) (http.Handler, error) {
	mw, err := s.guard(semel.Config{}, semelhttp.Config{})
	if err == nil {
		mw, err = mw.InTx(s.p.Transactions(txs))
	}
	if err != nil {
		return nil, err
	}
	return mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tx, ok := r.Context().Value(txKey{}).(*transaction)
		if !ok {
			http.Error(w, "no transaction", http.StatusInternalServerError)
			return
		}
		s.answer(w, tx.effect(order(r)))
	})), nil
}

// order is the business name of what is paid.
func order(r *http.Request) string { return r.Header.Get("Idempotency-Key") }

func (s service) answer(w http.ResponseWriter, err error) {
	s.p.Point("paid")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "receipt "+rand.Text())
}

// pay has its effect outside of a transaction.
func (s service) pay(w http.ResponseWriter, r *http.Request) { s.answer(w, s.db.effect(order(r))) }

// payDeferred says when it begins.
func (s service) payDeferred(w http.ResponseWriter, r *http.Request) {
	if err := semel.FromContext(r.Context()).BeginEffects(r.Context()); err != nil {
		s.answer(w, err)
		return
	}
	s.pay(w, r)
}

// payInOwn completes in a transaction that it has begun itself.
func (s service) payInOwn(w http.ResponseWriter, r *http.Request) {
	begun, err := transactions{remote: s.db}.Begin(r.Context())
	if err != nil {
		s.answer(w, err)
		return
	}
	defer begun.Rollback(r.Context())
	own := ownTx{begun.(*transaction)}
	tx := s.p.Tx(own)
	if err := semelhttp.LockIn(r.Context(), tx); err != nil {
		return // whoever has taken it over answers
	}
	s.answer(w, own.effect(order(r)))
	if err := semelhttp.CompleteIn(r.Context(), w, tx); err != nil {
		return
	}
	s.p.Point("commit")
	_ = own.Commit(r.Context()) // the middleware confirms it
	s.p.Point("committed")
}

// payAndFall falls once it has paid, but not without a kill to come.
func (s service) payAndFall(w http.ResponseWriter, r *http.Request) {
	n, err := s.db.effects(order(r))
	if err == nil && n == 0 {
		err = s.db.effect(order(r))
		if !strings.HasSuffix(order(r), "-0") {
			os.Exit(3)
		}
	}
	s.answer(w, err)
}

// payOnce has a database that takes no second payment, and tells that as a failure.
func (s service) payOnce(w http.ResponseWriter, r *http.Request) {
	if n, err := s.db.effects(order(r)); err != nil || n > 0 {
		s.answer(w, errors.Join(errors.New("paid already"), err))
		return
	}
	s.pay(w, r)
}

// payLater answers before it pays.
func (s service) payLater(w http.ResponseWriter, r *http.Request) {
	id := order(r)
	go func() {
		s.p.Point("answered")
		time.Sleep(50 * time.Millisecond)
		_ = s.db.effect(id)
	}()
	s.answer(w, nil)
}

// payReleased says that nothing has happened, and then it does.
func (s service) payReleased(w http.ResponseWriter, r *http.Request) {
	_ = semel.FromContext(r.Context()).Release(r.Context())
	s.pay(w, r)
}

// payForgetful pays once, but remembers the receipt only in memory.
func (s service) payForgetful(w http.ResponseWriter, r *http.Request) {
	n, err := s.db.effects(order(r))
	if err == nil && n == 0 {
		s.receipts.Store(order(r), rand.Text())
		err = s.db.effect(order(r))
		s.p.Point("paid")
	}
	receipt, ok := s.receipts.Load(order(r))
	if !ok {
		receipt = rand.Text()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprint(w, "receipt ", receipt)
}

func busy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "later", http.StatusServiceUnavailable)
}

// ask finds in the ledger what a lapsed attempt did.
// payAndForget pays, and marks that it has. A retry that finds the mark does not pay, but
// takes the mark away before its answer is kept.
func (s service) payAndForget(w http.ResponseWriter, r *http.Request) {
	mark := order(r) + "/mark"
	n, err := s.db.effects(mark)
	if err == nil && n%2 == 0 {
		err = s.db.effect(order(r))
	}
	if err == nil {
		err = s.db.effect(mark) // an odd number of them is a mark
	}
	s.answer(w, err)
}

// askOnce takes a second crash for one in which nothing can have happened.
func (s service) askOnce(ctx context.Context, held semel.Record) (semel.Recovery, error) {
	if held.Attempts > 2 {
		return semel.Recovery{Verdict: semel.NotExecuted}, nil
	}
	return s.ask(ctx, held)
}

func (s service) ask(_ context.Context, held semel.Record) (semel.Recovery, error) {
	n, err := s.db.effects(held.Key.ID)
	switch {
	case err != nil:
		return semel.Recovery{}, err
	case n == 0:
		return semel.Recovery{Verdict: semel.NotExecuted}, nil
	}
	found, err := semelhttp.Kept{Status: http.StatusCreated, Body: []byte("receipt")}.Encode()
	return semel.Recovery{Verdict: semel.Executed, Response: found}, err
}
