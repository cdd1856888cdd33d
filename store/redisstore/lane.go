package redisstore

import (
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of one pipeline. More would make everybody wait longer for no gain.
const (
	maxBatchSteps = 256
	maxBatchBytes = 1 << 20
	// maxSenders is how many pipelines of one lane are under way at a time: while
	// the server runs the scripts of one, the next is written.
	maxSenders = 2
	// maxQueued is how long a batch waits for its turn before it is refused, so
	// that a server that comes back finds no hour-old steps before its door.
	maxQueued = 3 * time.Second
)

// lane leads to one server, or to one master of a cluster: a master that does
// not answer holds up its own lane alone. Steps that wait at the same time share
// a pipeline, and nobody waits for company.
//
// It has no goroutine of its own. Who begins a batch also sends it, when it is
// its turn, for those who joined it meanwhile. So a caller who is alone pays
// nothing for the others: a goroutine in between halved his throughput.
type lane struct {
	send func([]*step) // sends steps and sets what became of them

	mu      sync.Mutex
	queue   []*batch // those that wait for their turn
	senders int      // how many are being sent
}

// batch is what one pipeline will carry. Steps join it until its turn comes.
type batch struct {
	steps []*step
	bytes int
	begun time.Time
	turn  chan struct{} // closed when it may be sent
	done  chan struct{} // closed when every step has its result
}

func newBatch() *batch {
	return &batch{begun: time.Now(), turn: make(chan struct{}), done: make(chan struct{})}
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

// errNotSent is the result of a step that waited too long for its turn, or whose
// sender panicked before the answer.
var errNotSent = errors.New("the step was not sent: the server is too far behind")

// do runs a step and returns when it is done.
func (l *lane) do(s *step) {
	s.err = errNotSent
	l.mu.Lock()
	if n := len(l.queue); n > 0 && l.queue[n-1].join(s) {
		b := l.queue[n-1]
		l.mu.Unlock()
		<-b.done
		return
	}
	b := newBatch()
	b.join(s)
	l.admit(b)
	l.mu.Unlock()
	l.lead(b)
}

// doAll runs the steps of one caller. They wait for their turn as a batch does.
func (l *lane) doAll(steps []*step) {
	for len(steps) > 0 {
		b := newBatch()
		for len(steps) > 0 && b.join(steps[0]) {
			steps[0].err = errNotSent
			steps = steps[1:]
		}
		l.mu.Lock()
		l.admit(b)
		l.mu.Unlock()
		l.lead(b)
	}
}

// join adds a step while there is room. An empty batch has room for any.
func (b *batch) join(s *step) bool {
	if len(b.steps) >= maxBatchSteps || len(b.steps) > 0 && b.bytes+s.bytes > maxBatchBytes {
		return false
	}
	b.steps = append(b.steps, s)
	b.bytes += s.bytes
	return true
}

// admit gives b its turn, or a place in the queue. l.mu is held.
func (l *lane) admit(b *batch) {
	if l.senders < maxSenders {
		l.senders++
		close(b.turn)
		return
	}
	l.queue = append(l.queue, b)
}

// lead sends b when it is its turn.
func (l *lane) lead(b *batch) {
	<-b.turn
	defer l.end(b)
	if time.Since(b.begun) < maxQueued {
		l.send(b.steps)
	}
}

// end passes the turn on.
func (l *lane) end(b *batch) {
	l.mu.Lock()
	if len(l.queue) == 0 {
		l.senders--
	} else {
		close(l.queue[0].turn)
		l.queue = l.queue[1:]
	}
	l.mu.Unlock()
	close(b.done)
}
