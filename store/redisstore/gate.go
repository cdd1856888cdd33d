package redisstore

import "sync"

// gate lets nobody pass before a check has succeeded once. Callers that come
// while it runs share its result.
type gate struct {
	mu      sync.Mutex
	open    bool
	running *attempt
}

type attempt struct {
	done chan struct{}
	err  error
}

// pass returns nil when the check has succeeded before, and otherwise what it
// returns now.
func (g *gate) pass(check func() error) error {
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return nil
	}
	a := g.running
	if a != nil {
		g.mu.Unlock()
		<-a.done
		return a.err
	}
	a = &attempt{done: make(chan struct{})}
	g.running = a
	g.mu.Unlock()

	a.err = check()
	g.mu.Lock()
	g.open, g.running = a.err == nil, nil
	g.mu.Unlock()
	close(a.done)
	return a.err
}
