package semelotel

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"

	"github.com/semel-go/semel"
)

// outcome is what the span of a request says of its reserve.
type outcome struct {
	route  string
	kind   semel.Kind
	lapsed bool
}

func (o outcome) attributes() []attribute.KeyValue {
	about := []attribute.KeyValue{
		keyOutcome.String(outcomeOf(semel.Event{Kind: o.kind, Lapsed: o.lapsed})),
		keyReplayed.Bool(o.kind == semel.Replay),
	}
	if o.route != "" {
		about = append(about, keyRoute.String(o.route))
	}
	return slices.Clip(about)
}

// abouts are attributes that were made once. To find them costs no allocation and no lock.
type abouts struct {
	made atomic.Pointer[map[outcome][]attribute.KeyValue]
	mu   sync.Mutex // of who makes some
}

// of returns a full slice that nobody may write to.
func (a *abouts) of(o outcome) []attribute.KeyValue {
	if made := a.made.Load(); made != nil {
		if known, ok := (*made)[o]; ok {
			return known
		}
	}
	return a.make(o)
}

// make keeps what it makes while there is room: a route should be a pattern and may not be.
func (a *abouts) make(o outcome) []attribute.KeyValue {
	about := o.attributes()
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[outcome][]attribute.KeyValue{}
	if made := a.made.Load(); made != nil {
		if len(*made) >= most {
			return about
		}
		all = maps.Clone(*made)
	}
	all[o] = about
	a.made.Store(&all)
	return about
}
