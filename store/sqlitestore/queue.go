package sqlitestore

import (
	"sync"
	"sync/atomic"
)

// Bounds of one transaction. More would make everybody wait longer for no gain.
const (
	maxBatchSteps = 256
	maxBatchBytes = 8 << 20
)

// queue holds the steps that wait for the writer, in the batches that it will
// run. It is safe for concurrent use; one goroutine takes.
type queue struct {
	mu      sync.Mutex
	batches []*batch
	closed  bool
	poison  error // why no step is taken in; nil while they are

	wake chan struct{} // one slot: there is a batch, or closed is set

	stall   chan struct{} // closed while the writer waits for somebody else
	stalled bool
}

// batch is what one transaction will do. Steps join it until it is taken.
type batch struct {
	steps []*pending
	bytes int
	done  chan struct{} // closed when every step has its err
}

// pending is one step of one caller. run may be called again after a roll back.
type pending struct {
	run   func(*tx) error
	err   error
	stall <-chan struct{} // closed when the writer waits, or waited, for somebody else
	fate  atomic.Int32
}

// The fates of a pending step. Only one of the two comes true.
const (
	taken     = iota + 1 // the writer runs it
	withdrawn            // the caller wants it no more
)

// take is for the writer: false when the step was withdrawn.
func (p *pending) take() bool { return p.fate.CompareAndSwap(0, taken) || p.fate.Load() == taken }

// withdraw is for the caller. When it reports true the step will never happen.
func (p *pending) withdraw() bool { return p.fate.CompareAndSwap(0, withdrawn) }

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), stall: make(chan struct{})}
}

// add puts p into the youngest batch that has room for so many bytes more.
func (q *queue) add(bytes int, p *pending) (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, ErrClosed
	case q.poison != nil:
		return nil, q.poison
	}
	var b *batch
	if n := len(q.batches); n > 0 {
		b = q.batches[n-1]
	}
	if b == nil || len(b.steps) >= maxBatchSteps || b.bytes+bytes > maxBatchBytes {
		b = &batch{done: make(chan struct{})}
		q.batches = append(q.batches, b)
		q.signal()
	}
	p.stall = q.stall
	b.steps = append(b.steps, p)
	b.bytes += bytes
	return b, nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for a batch and returns the oldest, or nil when the queue is
// closed and empty.
func (q *queue) take() *batch {
	for {
		b, closed := q.pop()
		if b != nil || closed {
			return b
		}
		<-q.wake
	}
}

func (q *queue) pop() (b *batch, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) > 0 {
		b = q.batches[0]
		q.batches = q.batches[1:]
	}
	return b, q.closed
}

// waiting is how many steps the next batch has so far.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		return 0
	}
	return len(q.batches[0].steps)
}

// waits tells everybody in the queue that the writer waits for somebody else, and
// those who come, until goes.
func (q *queue) waits() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stalled {
		q.stalled = true
		close(q.stall)
	}
}

// goes tells that the writer goes on.
func (q *queue) goes() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stalled {
		q.stalled = false
		q.stall = make(chan struct{})
	}
}

// refusal returns why no step is taken in, or nil.
func (q *queue) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	return q.poison
}

// close refuses further steps. Those in the queue will still be taken.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// poisonWith refuses further steps with err, or with what an earlier call said.
// It returns that error, and whether this call was the first.
func (q *queue) poisonWith(err error) (refusal error, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first = q.poison == nil; first {
		q.poison = err
	}
	return q.poison, first
}

func (q *queue) poisonedBy() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.poison
}
