package proxy

import (
	"context"

	"github.com/semel-go/semel"
)

// askers know whom a sweep asks about the attempts of each route.
type askers struct {
	routes map[string]*recovery // nil: nobody is asked
	others *recovery            // about routes that are no more; nil unless all are asked in one place
}

// add notes who is asked about a route.
func (a *askers) add(route string, r *recovery) {
	a.routes[route] = r
	if r == nil || a.others != nil && r.url != a.others.url {
		a.others = nil
	}
}

// of returns who is asked about an attempt, or nil. Nothing is guessed: a service that never
// heard of an operation would say that it has not happened.
func (a *askers) of(held semel.Record) *recovery {
	if r, ok := a.routes[held.Route]; ok {
		return r
	}
	return a.others
}

func (a *askers) any() bool {
	for _, r := range a.routes {
		if r != nil {
			return true
		}
	}
	return false
}

// sweeping asks about each lapsed attempt where its route says, as things are when it asks.
func (s *Server) sweeping() semel.Sweeping {
	return semel.Sweeping{
		Every: s.cfg.Sweep,
		Only:  func(held semel.Record) bool { return s.current().asks.of(held) != nil },
		Recover: func(ctx context.Context, held semel.Record) (semel.Recovery, error) {
			l := s.enter()
			defer s.leave(l)
			if r := l.asks.of(held); r != nil {
				return r.ask(ctx, held)
			}
			return semel.Recovery{}, nil // a reload came between
		},
	}
}
