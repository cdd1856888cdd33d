package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
)

// Pages of 4 KiB in the log. Above the first number the checkpointer copies
// them into the database, beside the writer. Under load it never catches up
// entirely, and only a log that is copied as a whole is written from its start
// again; so above the second number the writer copies the small rest itself,
// after it has answered its callers.
//
// Measured with 64 callers on two cores, that gives a sixth more pairs than a
// writer that copies alone every 1,000 pages. A longer log gives some more, and
// longer waits when it is synced.
const (
	copyAbove   = 1000
	finishAbove = 2000
)

// checkpointer copies pages from the log to the database while the writer goes on.
//
// SQLite would do it by itself, but would keep quiet about a failed sync: the
// next checkpoint may then succeed without writing the pages again, and the log
// that has them be overwritten.
type checkpointer struct {
	conn    *conn
	state   *stmt
	move    *stmt
	writer  *writer
	long    atomic.Bool // the log is long and almost copied: finish it
	nudge   chan struct{}
	stop    sync.Once
	stopped chan struct{}
	done    chan struct{}
}

func startCheckpointer(w *writer) (*checkpointer, error) {
	conn, err := dial(w.database, readWrite, checkpointerPragmas...)
	if err != nil {
		return nil, err
	}
	p := preparer{conn: conn}
	c := &checkpointer{
		conn:    conn,
		state:   p.text("state of the log", "PRAGMA wal_checkpoint(NOOP)"),
		move:    p.text("checkpoint", "PRAGMA wal_checkpoint(PASSIVE)"),
		writer:  w,
		nudge:   make(chan struct{}, 1),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if p.err != nil {
		return nil, errors.Join(p.err, conn.close())
	}
	go c.loop()
	return c, nil
}

// written tells that the log has grown. It never waits.
func (c *checkpointer) written() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// close waits for a checkpoint under way.
func (c *checkpointer) close() error {
	c.stop.Do(func() { close(c.stopped) })
	<-c.done
	return c.conn.close()
}

func (c *checkpointer) loop() {
	defer close(c.done)
	for {
		select {
		case <-c.stopped:
			return
		case <-c.nudge:
		}
		if c.writer.queue.poisonedBy() != nil {
			continue
		}
		if err := c.work(); err != nil {
			c.writer.checkpointFailed(err)
		}
	}
}

// work copies what can be copied when it is enough. What cannot, because of a
// reader or another checkpoint, waits for the next time.
func (c *checkpointer) work() error {
	pages, copied, err := c.state.checkpoint()
	if err != nil || pages-copied < copyAbove {
		return err
	}
	pages, _, err = c.move.checkpoint()
	c.long.Store(err == nil && pages >= finishAbove)
	return err
}

// checkpoint runs a checkpoint pragma. It returns how many pages the log has,
// and how many of them are copied.
func (s *stmt) checkpoint() (pages, copied int64, err error) {
	var v [3]driver.Value // the first says whether somebody was in the way
	if _, err := s.first(v[:]); err != nil {
		return 0, 0, err
	}
	cols := columns{values: v[1:]}
	return cols.integer(), cols.integer(), cols.err
}
