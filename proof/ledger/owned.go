//go:build unix

package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// owned writes, and completes, in a transaction that it begins itself. It tries again
// until it is told that an earlier try, or another attempt, has committed. Mostly it gives
// up when it does not know how a commit has ended: the middleware finds out.
func (a *app) owned(w http.ResponseWriter, r *http.Request) {
	noteAttempt(r)
	ctx := context.WithoutCancel(r.Context())
	key, o, err := read(r)
	unknown := false // whether an earlier try has committed
	for n := range tries {
		if err != nil && !unknown && !a.bank.again(err) || n > 0 && semelhttp.Reset(w) != nil {
			break
		}
		locks := n > 0 || !strings.HasSuffix(r.URL.Path, routeLate)
		var cut bool
		cut, err = a.bank.own(ctx, key, o, func(tx semel.Tx, move func() error) error {
			if err := begin(ctx, tx, r, locks); err != nil {
				return err
			}
			unknown = false // it has not, or there would be no lock
			moved := move()
			if moved != nil && !errors.Is(moved, errNoMoney) {
				return moved
			}
			if answer(w, r, moved); crashes(r) {
				crashSoon()
			}
			return semelhttp.CompleteIn(ctx, w, tx)
		})
		if unknown = unknown || cut; err == nil || errors.Is(err, semel.ErrLost) {
			return // the middleware sends what is kept
		}
		if unknown && rand.IntN(8) > 0 {
			break
		}
	}
	if unknown {
		return // the middleware asks the store
	}
	if semelhttp.Reset(w) == nil { // rolled back
		semel.FromContext(ctx).Settle(semel.Free)
		answer(w, r, err)
	}
}

// idle is longer than a lease and its margin, by the time that another attempt needs.
const idle = 1600 * time.Millisecond

func idles(r *http.Request) bool { return r.Header.Get(idleHeader) != "" }

// late is owned, but an attempt that idles is not renewed, so that others overtake it.
func (a *app) late(deferring *semelhttp.Middleware) (http.Handler, error) {
	brief, err := deferring.With(func(c *semelhttp.Config) { c.MaxRun = 200 * time.Millisecond })
	if err != nil {
		return nil, err
	}
	often, once := deferring.Wrap(http.HandlerFunc(a.owned)), brief.Wrap(http.HandlerFunc(a.owned))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if idles(r) {
			once.ServeHTTP(w, r)
			return
		}
		often.ServeHTTP(w, r)
	}), nil
}

// begin locks the slot, or lingers where one that does not is overtaken.
func begin(ctx context.Context, tx semel.Tx, r *http.Request, locks bool) error {
	if locks {
		return semelhttp.LockIn(ctx, tx)
	}
	if idles(r) {
		time.Sleep(idle)
	}
	dawdle()
	return nil
}

// attemptHeader tells the client which attempt has run for it, also when its answer is
// not that of the handler.
const attemptHeader = "Ledger-Attempt"

type tellerKey struct{}

// teller writes attemptHeader into an answer.
type teller struct {
	http.ResponseWriter
	attempt string
}

func (t *teller) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *teller) WriteHeader(status int) {
	if t.attempt != "" {
		t.Header().Set(attemptHeader, t.attempt)
	}
	t.ResponseWriter.WriteHeader(status)
}

// tellAttempt lets the handlers of next note which attempt they are.
func tellAttempt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &teller{ResponseWriter: w}
		next.ServeHTTP(t, r.WithContext(context.WithValue(r.Context(), tellerKey{}, t)))
	})
}

func noteAttempt(r *http.Request) {
	if t, ok := r.Context().Value(tellerKey{}).(*teller); ok {
		t.attempt = attempt(r.Context())
	}
}
