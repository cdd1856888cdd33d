package memstore

import (
	"context"
	"sync"
)

// listenerRoom is how many texts wait for one who listens; further ones he does not hear.
const listenerRoom = 256

// listeners hear what is sent.
type listeners struct {
	mu  sync.Mutex
	all map[chan string]struct{}
}

// Send implements [semel.Messenger]: it reaches the engines of this process that share the
// store. It never fails.
func (s *Store) Send(_ context.Context, text string) error {
	s.listeners.mu.Lock()
	defer s.listeners.mu.Unlock()
	for c := range s.listeners.all {
		select {
		case c <- text:
		default: // he is slow: nobody waits for that
		}
	}
	return nil
}

// Listen implements [semel.Messenger].
func (s *Store) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	c := make(chan string, listenerRoom)
	s.listeners.add(c)
	defer s.listeners.remove(c)
	ready()
	for {
		select {
		case text := <-c:
			heard(text)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *listeners) add(c chan string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[chan string]struct{})
	}
	l.all[c] = struct{}{}
}

func (l *listeners) remove(c chan string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}
