package semel_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// stubborn is a store that cannot renew the lease of one token: its record is
// locked by somebody else.
type stubborn struct {
	*memstore.Store
	locked semel.Token
}

func (s *stubborn) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var free []semel.Holder
	for _, h := range holders {
		if h.Token != s.locked {
			free = append(free, h)
		}
	}
	lost, err := s.Store.Renew(ctx, lease, free)
	if err == nil && len(free) < len(holders) {
		err = &semel.UnrenewedError{Tokens: []semel.Token{s.locked}, Err: errors.New("the record is locked")}
	}
	return lost, err
}

// I1: an attempt whose lease cannot be renewed stops before it ends; the others
// of its batch go on.
func TestOneOfManyIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stubborn{Store: memstore.New(memstore.Config{})}
		var log bytes.Buffer
		e := newEngine(t, store, semel.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var claims []*semel.Claim
		var contexts []context.Context
		for _, id := range []string{"a", "b", "c"} {
			c := reserve(t, e, call(id, "x"))
			claims, contexts = append(claims, c), append(contexts, c.Attach(t.Context()))
		}
		store.locked = claims[1].Token()
		gone := reserve(t, e, call("gone", "x")) // and one is lost
		lost := gone.Attach(t.Context())
		if err := store.Release(t.Context(), gone.Key(), gone.Token()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * semel.DefaultLease)
		for i, ctx := range contexts {
			var want error
			if i == 1 {
				want = semel.ErrLost
			}
			if got := context.Cause(ctx); !errors.Is(got, want) {
				t.Errorf("attempt %d: got cause %v, want %v", i, got, want)
			}
		}
		if got := context.Cause(lost); !errors.Is(got, semel.ErrLost) {
			t.Errorf("the lost attempt: got cause %v, want ErrLost", got)
		}
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "leases are not renewed\" attempts=1 ") || !strings.Contains(text, "is locked") {
			t.Errorf("got this log, want one attempt and the reason:\n%s", text)
		}
		for _, i := range []int{0, 2} {
			complete(t, claims[i], answer("paid"))
		}
	})
}
