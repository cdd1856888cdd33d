package proof

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"
)

// Repeats watches a driver that sends a step again by itself when its connection
// broke. Of such a step one answer is heard, and what was sent before may have
// happened too, or may happen later: a Release whose first sending happened
// answers ErrLost when meanwhile somebody took the slot. So each sending besides
// the one that is answered is a lost step of its own. It is safe for concurrent
// use.
type Repeats struct {
	// Most is how often the driver repeats a step at most.
	Most int

	mu    sync.Mutex
	steps map[*sending]struct{} // that are under way
}

// sending is a step and how often it was sent.
type sending struct {
	mark  mark
	times int
}

// mark is what tells a step among the bytes that are sent: the token, or for a
// Resolve, whose token the store makes, the sixteen digits of the fence.
type mark [16]byte

func markOf(c Call) (m mark) {
	m = mark(c.Token)
	if c.Kind == Resolve {
		copy(m[:], strconv.FormatInt(c.Fence, 10))
	}
	return m
}

// watch begins a step. The returned func ends it, and tells how often it was, or
// may yet be, sent besides once. Two steps of one mark at a time count as each
// other's repetitions, which makes the check no stricter. nil sees nothing.
func (r *Repeats) watch(c Call) (again func(err error) int) {
	if r == nil || c.Kind == Look { // a Look has no effect
		return func(error) int { return 0 }
	}
	s := &sending{mark: markOf(c)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.steps == nil {
		r.steps = make(map[*sending]struct{})
	}
	r.steps[s] = struct{}{}
	return func(err error) int {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.steps, s)
		if errors.Is(err, errImpatient) { // the step goes on
			return r.Most
		}
		return max(0, s.times-1)
	}
}

// dial connects for the driver.
func (r *Repeats) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &watched{Conn: conn, by: r}, nil
}

// watched is a connection whose requests are looked at.
type watched struct {
	net.Conn
	by   *Repeats
	tail []byte // of what was sent, shorter than a mark
}

func (c *watched) Write(p []byte) (int, error) {
	seen := append(c.tail, p...)
	c.by.count(seen)
	c.tail = bytes.Clone(seen[max(0, len(seen)-len(mark{})+1):])
	return c.Conn.Write(p)
}

func (r *Repeats) count(seen []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.steps {
		s.times += bytes.Count(seen, s.mark[:])
	}
}
