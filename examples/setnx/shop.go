package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/redisstore"
)

// shop takes payments.
type shop struct {
	redis    *redis.Client
	engine   *semel.Engine
	old      homemade
	payments atomic.Int64
	pay      func() // what takes time; nil: nothing
}

func newShop(ctx context.Context, url string) (*shop, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	s := &shop{redis: redis.NewClient(opts)}
	s.old = homemade{redis: s.redis, lock: 30 * time.Second, keep: 24 * time.Hour}
	store, err := redisstore.New(s.redis, redisstore.Config{})
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err == nil {
		s.engine, err = semel.New(store, semel.Config{})
	}
	if err != nil {
		return nil, errors.Join(err, s.redis.Close())
	}
	return s, nil
}

func (s *shop) close(ctx context.Context) error {
	return errors.Join(s.engine.Close(context.WithoutCancel(ctx)), s.redis.Close())
}

func (s *shop) payment(w http.ResponseWriter, _ *http.Request) {
	if s.pay != nil {
		s.pay()
	}
	n := s.payments.Add(1)
	w.Header().Set("Location", fmt.Sprintf("/payments/%d", n))
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "payment %d\n", n)
}

// behind is the service behind a guard.
func (s *shop) behind(guard string) (http.Handler, error) {
	mw, err := semelhttp.New(s.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return nil, err
	}
	pay := http.Handler(http.HandlerFunc(s.payment))
	switch guard {
	case "setnx":
		pay = s.old.wrap(pay)
	case "both":
		pay = mw.Wrap(freeing(s.old.wrap(pay)))
	case "semel":
		pay = mw.Wrap(pay)
	default:
		return nil, fmt.Errorf("no guard is called %q: want setnx, both or semel", guard)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments", pay)
	return mux, nil
}

// freeing stands between Semel and the old guard while both are there. A process that has the
// old guard alone may be at work on the same key. The old guard's refusals say so: they are
// no outcome, and a later try must ask again.
func freeing(old http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		old.ServeHTTP(&refusals{w, r}, r)
	})
}

type refusals struct {
	http.ResponseWriter
	r *http.Request
}

func (w *refusals) WriteHeader(status int) {
	if status == http.StatusConflict || status == http.StatusServiceUnavailable {
		semel.FromContext(w.r.Context()).Settle(semel.Free)
	}
	w.ResponseWriter.WriteHeader(status)
}
