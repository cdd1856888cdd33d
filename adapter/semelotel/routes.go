package semelotel

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// The names of what has no series of its own.
const (
	noRoute    = "none"
	otherRoute = "other"
)

// routes are those that have series of their own, as in semelprom: the first ones that come.
type routes struct {
	max    int
	adding sync.Mutex
	known  atomic.Pointer[map[string]struct{}]
}

// label returns the attribute of a route.
func (r *routes) label(name string) string {
	if name == "" {
		return noRoute
	}
	if r.knows(name) {
		return name
	}
	return r.add(strings.ToValidUTF8(name, "\uFFFD")) // exporters bear no other
}

func (r *routes) knows(name string) bool {
	known := r.known.Load()
	if known == nil {
		return false
	}
	_, ok := (*known)[name]
	return ok
}

// add copies the names, so that nobody waits who only reads them. One for which there is no
// room is not added, and the names do not grow with it.
func (r *routes) add(name string) string {
	if r.knows(name) || name == noRoute || name == otherRoute {
		return name
	}
	r.adding.Lock()
	defer r.adding.Unlock()
	next := map[string]struct{}{}
	if known := r.known.Load(); known != nil {
		if _, ok := (*known)[name]; ok {
			return name
		}
		if len(*known) >= r.max {
			return otherRoute
		}
		next = maps.Clone(*known)
	}
	next[name] = struct{}{}
	r.known.Store(&next)
	return name
}
