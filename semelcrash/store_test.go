package semelcrash

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// bare is a store without any capability; the others add one each.
type (
	bare    struct{ semel.Store }
	renewer struct {
		bare
		semel.Renewer
	}
	beginner struct {
		bare
		semel.EffectBeginner
	}
)

// A watched store can what the store can, no more and no less, and no capability
// goes past the watch that has steps.
func TestStoreCan(t *testing.T) {
	full := memstore.New(memstore.Config{})
	for name, row := range map[string]struct {
		store                    semel.Store
		renews, begins, lists, i bool
	}{
		"full":     {full, true, true, true, true},
		"bare":     {bare{full}, false, false, false, false},
		"renewer":  {renewer{bare{full}, full}, true, false, false, false},
		"beginner": {beginner{bare{full}, full}, false, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, passed := watch()
			s := p.Store(row.store)
			r, renews := semel.As[semel.Renewer](s)
			b, begins := semel.As[semel.EffectBeginner](s)
			_, lists := semel.As[semel.Lister](s)
			_, immediate := semel.As[semel.Immediate](s)
			if renews != row.renews || begins != row.begins || lists != row.lists || immediate != row.i {
				t.Errorf("renews %v, begins %v, lists %v, immediate %v; want %+v", renews, begins, lists, immediate, row)
			}
			want := []string{"before Reserve 1", "after Reserve 1", "before Complete 1", "after Complete 1", "before Release 1", "after Release 1"}
			ctx, key := t.Context(), semel.Key{Scope: "s", ID: name}
			taken, err := s.Reserve(ctx, semel.Reservation{Key: key, Token: semel.NewToken(), Lease: time.Hour, Retention: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if s.Complete(ctx, semel.Completion{Key: key}) == nil || s.Release(ctx, key, semel.Token{}) == nil {
				t.Error("a wrong token is taken")
			}
			if renews {
				holders := []semel.Holder{{Key: key, Token: taken.Token}}
				for _, lease := range []time.Duration{time.Hour, 0} {
					if lost, err := r.Renew(ctx, lease, holders); err != nil || len(lost) != 0 {
						t.Error(lost, err)
					}
				}
				want = append(want, "before Renew 1", "after Renew 1", "before Abandon 1", "after Abandon 1")
			}
			if begins {
				if err := b.BeginEffects(ctx, key, taken.Token); err != nil {
					t.Error(err)
				}
				want = append(want, "before BeginEffects 1", "after BeginEffects 1")
			}
			same(t, passed(), want)
		})
	}
}

// watch returns a process that is never killed, and what it has passed.
func watch() (*Process, func() []string) {
	var told bytes.Buffer
	passed := func() (points []string) {
		for lines := json.NewDecoder(&told); ; {
			var e event
			if lines.Decode(&e) != nil {
				return points
			}
			points = append(points, e.Point.String())
		}
	}
	return &Process{armed: true, counts: make(map[string]int), events: json.NewEncoder(&told)}, passed
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// In production there is no process to watch for.
func TestNoProcess(t *testing.T) {
	var p *Process
	p.Point("nowhere")
	s := memstore.New(memstore.Config{})
	if p.Store(s) != semel.Store(s) || p.Transactions(nil) != nil || p.Tx(nil) != nil {
		t.Error("a nil Process changes what it gets")
	}
}
