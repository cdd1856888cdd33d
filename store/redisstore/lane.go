package redisstore

import (
	"sync"

	"github.com/redis/go-redis/v9"
)

// Bounds of one pipeline. More would make everybody wait longer for no gain.
const (
	maxBatchSteps = 256
	maxBatchBytes = 1 << 20
	// maxSenders is how many pipelines of one lane are under way at a time: while
	// the server runs the scripts of one, the next is written.
	maxSenders = 2
)

// lane leads to one server, or to one master of a cluster: a master that does
// not answer holds up its own lane alone. Steps that wait at the same time
// share a pipeline; nobody waits for company.
type lane struct {
	send func([]*step) // sends steps and sets what became of them

	mu      sync.Mutex
	batches []*batch
	senders int
}

// batch is what one pipeline will carry. Steps join it until it is taken.
type batch struct {
	steps []*step
	bytes int
	done  chan struct{} // closed when every step has its result
}

// step is one script for one slot.
type step struct {
	script  *script
	key     string
	args    []any
	bytes   int  // about how much it writes
	durable bool // it counts only when the replicas have it
	cmd     *redis.Cmd
	err     error
}

// add queues a step. While fewer than maxSenders goroutines send, the step gets
// one at once. It ends when it finds the queue empty; the callers, who wait for
// their batches, are its owners.
func (l *lane) add(s *step) *batch {
	b, alone := l.join(s)
	if alone {
		go l.work()
	}
	return b
}

// join puts s into the youngest batch that has room. It reports whether the
// caller must start a sender.
func (l *lane) join(s *step) (b *batch, sender bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.batches); n > 0 {
		b = l.batches[n-1]
	}
	if b == nil || len(b.steps) >= maxBatchSteps || b.bytes+s.bytes > maxBatchBytes {
		b = &batch{done: make(chan struct{})}
		l.batches = append(l.batches, b)
		if sender = l.senders < maxSenders; sender {
			l.senders++
		}
	}
	b.steps = append(b.steps, s)
	b.bytes += s.bytes
	return b, sender
}

// work sends what is queued until nothing is.
func (l *lane) work() {
	for b := l.take(); b != nil; b = l.take() {
		l.send(b.steps)
		close(b.done)
	}
}

// take returns the oldest batch, or nil, and then the sender is gone.
func (l *lane) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.batches) == 0 {
		l.senders--
		return nil
	}
	b := l.batches[0]
	l.batches[0] = nil
	l.batches = l.batches[1:]
	return b
}
