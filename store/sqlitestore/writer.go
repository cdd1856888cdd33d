package sqlitestore

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
)

// Bounds of one transaction. More would make everybody wait longer for no gain.
const (
	maxBatchSteps = 256
	maxBatchBytes = 8 << 20
)

// writer owns the only connection that writes. One goroutine takes whatever is
// queued by the time the last transaction ended, runs it in one transaction,
// and answers everybody after its commit: group commit without a delay.
type writer struct {
	path  string
	log   *slog.Logger
	clock *clock

	mu     sync.Mutex
	queue  []*batch
	closed bool
	poison error

	checkpoints *checkpointer

	wake chan struct{} // one slot: something is queued, or closed is set
	done chan struct{} // closed when run has ended

	// Only the goroutine touches it.
	conn *writeConn // nil after a failure that left it in doubt
}

// batch is what one transaction will do. Its steps are appended under
// writer.mu until the writer takes it off the queue.
type batch struct {
	steps []*pending
	bytes int
	done  chan struct{} // closed when every step has its err
}

// pending is one step of one caller. run may be called again after a roll back.
type pending struct {
	run func(*tx) error
	err error
}

func startWriter(path string, clock *clock, log *slog.Logger) (*writer, error) {
	w := &writer{
		path: path, clock: clock, log: log,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	var err error
	if w.conn, err = openWriteConn(path); err != nil {
		return nil, err
	}
	if w.checkpoints, err = startCheckpointer(w); err != nil {
		return nil, errors.Join(err, w.conn.close())
	}
	go w.loop()
	return w, nil
}

// do runs one step in a transaction and returns after its commit. bytes is
// about how much it writes. When do returns an error the step did not happen,
// unless the commit itself failed: then nobody knows.
func (w *writer) do(bytes int, run func(*tx) error) error {
	p := pending{run: run}
	b, err := w.enqueue(bytes, &p)
	if err != nil {
		return err
	}
	<-b.done
	return explain(w.path, p.err)
}

func (w *writer) enqueue(bytes int, p *pending) (*batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return nil, ErrClosed
	case w.poison != nil:
		return nil, w.poison
	}
	var b *batch
	if n := len(w.queue); n > 0 {
		b = w.queue[n-1]
	}
	if b == nil || len(b.steps) >= maxBatchSteps || b.bytes+bytes > maxBatchBytes {
		b = &batch{done: make(chan struct{})}
		w.queue = append(w.queue, b)
		w.signal()
	}
	b.steps = append(b.steps, p)
	b.bytes += bytes
	return b, nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// stop lets the queued steps finish and waits for the goroutines. The writer's
// connection stays open.
func (w *writer) stop() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.done
	return w.checkpoints.close()
}

// close closes the connection after stop.
func (w *writer) close() error {
	if w.conn == nil {
		return nil
	}
	return w.conn.close()
}

func (w *writer) loop() {
	defer close(w.done)
	for n := 1; ; n++ {
		b := w.next()
		if b == nil {
			return
		}
		w.commit(b.steps)
		close(b.done)
		w.tidy(n)
		w.gather()
	}
}

// tidy keeps the log short. n counts the transactions.
func (w *writer) tidy(n int) {
	if w.conn == nil || w.poisonedBy() != nil {
		return
	}
	if n%nudgeEvery == 0 {
		w.checkpoints.written()
	}
	if !w.checkpoints.long.Load() {
		return
	}
	pages, copied, err := w.conn.finish.checkpoint()
	if err != nil {
		w.checkpointFailed(err)
	}
	if err == nil && copied == pages {
		w.checkpoints.long.Store(false)
	}
}

// nudgeEvery is after how many transactions the checkpointer has a look.
const nudgeEvery = 4

// gather lets the callers who were just answered queue their next steps, until
// they add no more: the next transaction is then half as large again. It yields
// and does not wait: with nobody ready to run it returns at once.
func (w *writer) gather() {
	for before := -1; ; {
		now := w.waiting()
		if now == before {
			return
		}
		before = now
		runtime.Gosched()
	}
}

// waiting is how many steps the next batch has so far.
func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return 0
	}
	return len(w.queue[0].steps)
}

// next returns the oldest batch, or nil when the writer is closed and idle.
func (w *writer) next() *batch {
	for {
		b, closed := w.pop()
		if b != nil || closed {
			return b
		}
		<-w.wake
	}
}

func (w *writer) pop() (b *batch, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 {
		b = w.queue[0]
		w.queue = w.queue[1:]
	}
	return b, w.closed
}

// commit runs steps in one transaction. A step that cannot be done is taken
// out, and the others run again without it, so that nobody suffers from
// another's mistake; an error of the whole transaction is everybody's.
func (w *writer) commit(steps []*pending) {
	for len(steps) > 0 {
		culprit, err := w.transact(steps)
		if err == nil {
			return
		}
		extent := damageOf(err)
		if extent == step && culprit >= 0 {
			steps[culprit].err = err
			steps = append(steps[:culprit:culprit], steps[culprit+1:]...)
			continue
		}
		if extent == file {
			err = w.poisoned(err)
		}
		for _, p := range steps {
			p.err = err
		}
		return
	}
}

// transact runs steps in one transaction. culprit is the step whose error ended
// it, or -1. After an error nothing of it has happened, except perhaps when
// culprit is -1.
func (w *writer) transact(steps []*pending) (culprit int, err error) {
	if err := w.poisonedBy(); err != nil {
		return -1, err
	}
	if w.conn == nil {
		if w.conn, err = openWriteConn(w.path); err != nil {
			w.conn = nil
			return -1, err
		}
	}
	tx, err := w.begin()
	if err != nil {
		w.rollback()
		return -1, err
	}
	for i, p := range steps {
		if err := p.run(tx); err != nil {
			w.rollback()
			return i, err
		}
	}
	if _, err := w.conn.commit.exec(); err != nil {
		w.rollback()
		return -1, err
	}
	return -1, nil
}

func (w *writer) begin() (*tx, error) {
	if _, err := w.conn.begin.exec(); err != nil {
		return nil, err
	}
	floor, found, err := w.conn.floor.integer()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("the fence floor is missing")
	}
	return &tx{writeConn: w.conn, now: w.clock.now(), floor: floor}, nil
}

// rollback leaves the connection outside a transaction. SQLite may have rolled
// back by itself, which makes ROLLBACK answer the generic error; after any
// other error the connection is not used again.
func (w *writer) rollback() {
	_, err := w.conn.rollback.exec()
	if err == nil || codeOf(err) == codeError {
		return
	}
	_ = w.conn.close() // it is given up because it failed
	w.conn = nil
}

// poisoned makes the store refuse every further write.
func (w *writer) poisoned(cause error) error {
	err := fmt.Errorf("%w: %s: %w", ErrPoisoned, w.path, cause)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.poison == nil {
		w.poison = err
		w.log.Error("the store refuses to write until it is opened again", "path", w.path, "err", cause)
	}
	return w.poison
}

// checkpointFailed judges an error of a checkpoint. What is not copied stays in
// the log, so only doubts about the disk count.
func (w *writer) checkpointFailed(err error) {
	if damageOf(err) == file {
		_ = w.poisoned(err) // the next step is told
	}
}

func (w *writer) poisonedBy() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.poison
}
