package sqlitestore

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// writer owns the only connection that writes. One goroutine takes whatever is
// queued by the time the last transaction ended, runs it in one transaction,
// and answers everybody after its commit: group commit without a delay.
type writer struct {
	database
	log         *slog.Logger
	clock       *clock
	traffic     *traffic
	queue       *queue
	checkpoints *checkpointer
	done        chan struct{} // closed when loop has ended

	// Only the goroutine touches it.
	conn *writeConn // nil after a failure that left it in doubt
}

func startWriter(d database, clock *clock, t *traffic, log *slog.Logger) (*writer, error) {
	w := &writer{database: d, clock: clock, traffic: t, log: log, queue: newQueue(), done: make(chan struct{})}
	var err error
	if w.conn, err = openWriteConn(d); err != nil {
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
	b, err := w.queue.add(bytes, &p)
	if err != nil {
		return err
	}
	<-b.done
	return explain(w.path, p.err)
}

// stop lets the queued steps finish and waits for the goroutines. The writer's
// connection stays open.
func (w *writer) stop() error {
	w.queue.close()
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
		b := w.queue.take()
		if b == nil {
			return
		}
		w.commit(b.steps)
		close(b.done)
		w.tidy(n)
		w.gather()
	}
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
			err = w.poison(err)
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
	if err := w.queue.poisonedBy(); err != nil {
		return -1, err
	}
	if w.conn == nil {
		if w.conn, err = openWriteConn(w.database); err != nil {
			w.conn = nil
			return -1, err
		}
	}
	if err := w.open(); err != nil {
		w.rollback()
		return -1, err
	}
	defer w.traffic.endTurn()
	tx, err := w.begin()
	if err != nil {
		w.rollback()
		return -1, err
	}
	for i, p := range steps {
		if !p.take() {
			continue
		}
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

// open opens a write transaction, in turn. It tells the queue when it has to
// wait, up to busyWait.
func (w *writer) open() error {
	if w.traffic.tryTurn() {
		if err := w.openInTurn(); !isBusy(err) {
			return err
		}
	}
	w.queue.waits()
	defer w.queue.goes()
	late := time.NewTimer(w.traffic.wait)
	defer late.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, maxPause) {
		if err := w.traffic.awaitTurn(late.C); err != nil {
			return err
		}
		err := w.openInTurn()
		if !isBusy(err) {
			return err
		}
		select { // a writer that has no turn: another process, or the application
		case <-time.After(pause):
		case <-late.C:
			return err
		}
	}
}

// maxPause bounds how long the writer sleeps before it asks again for a lock that
// nobody passes on.
const maxPause = 10 * time.Millisecond

// openInTurn is one try. It keeps the turn only if it succeeds: nobody waits for
// it who has what SQLite waits for.
func (w *writer) openInTurn() error {
	_, err := w.conn.begin.exec()
	if err != nil {
		w.traffic.endTurn()
	}
	return err
}

// begin reads what every step of the open transaction needs.
func (w *writer) begin() (*tx, error) {
	floor, found, err := w.conn.slots.floor.integer()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errNoFloor
	}
	return &tx{w.conn, slotTx{&w.conn.slots, w.clock.now(), floor}}, nil
}

var errNoFloor = errors.New("sqlitestore: the fence floor is missing")

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

// poison makes the store refuse every further write, and returns with what.
func (w *writer) poison(cause error) error {
	refusal, first := w.queue.poisonWith(fmt.Errorf("%w: %s: %w", ErrPoisoned, w.path, cause))
	if first {
		w.log.Error("the store refuses to write until it is opened again", "path", w.path, "err", cause)
	}
	return refusal
}

// nudgeEvery is after how many transactions the checkpointer has a look.
const nudgeEvery = 4

// tidy keeps the log short. n counts the transactions.
func (w *writer) tidy(n int) {
	if w.conn == nil || w.queue.poisonedBy() != nil {
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

// checkpointFailed judges an error of a checkpoint. What is not copied stays in
// the log, so only doubts about the disk count.
func (w *writer) checkpointFailed(err error) {
	if damageOf(err) == file {
		_ = w.poison(err) // the next step is told
	}
}

// gather lets the callers who were just answered queue their next steps, until
// they add no more: the next transaction is then half as large again. It yields
// and does not wait: with nobody ready to run it returns at once.
func (w *writer) gather() {
	for before := -1; ; {
		now := w.queue.waiting()
		if now == before {
			return
		}
		before = now
		runtime.Gosched()
	}
}
