package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// writeConn is the writer's connection and its statements.
type writeConn struct {
	*conn
	begin, commit, rollback, finish *stmt
	floorRaise                      *stmt
	slots                           slotStatements
	isDone                          *stmt
	beginEffects, release, renew    *stmt
	resolveFree, resolveDone, isDue *stmt
	purgeSlot                       *stmt
	kept, reseal, audit             *stmt
}

func openWriteConn(d database) (*writeConn, error) {
	c, err := dial(d, readWrite, writerPragmas...)
	if err != nil {
		return nil, err
	}
	p := preparer{conn: c}
	w := &writeConn{
		conn:         c,
		begin:        p.text("begin", "BEGIN IMMEDIATE"),
		commit:       p.text("commit", "COMMIT"),
		rollback:     p.text("rollback", "ROLLBACK"),
		finish:       p.text("checkpoint", "PRAGMA wal_checkpoint(PASSIVE)"),
		floorRaise:   p.file("floor_raise"),
		slots:        slotStatementsOf(func(name string) statement { return p.file(name) }),
		isDone:       p.file("completed"),
		beginEffects: p.file("begin_effects"),
		release:      p.file("release"),
		renew:        p.file("renew"),
		resolveFree:  p.file("resolve_free"),
		resolveDone:  p.file("resolve_complete"),
		isDue:        p.file("resolvable"),
		purgeSlot:    p.file("purge_slot"),
		kept:         p.file("kept"),
		reseal:       p.file("reseal"),
		audit:        p.file("audit"),
	}
	err = p.err
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return w, nil
}

// check makes sure of what every promise rests on: the log, the sync at each
// commit, and the right to write. SQLite opens a file that it may only read
// without a word.
func (w *writeConn) check() error {
	mode, err := w.value("PRAGMA journal_mode")
	if err != nil {
		return err
	}
	full, err := w.integer("PRAGMA synchronous")
	if err != nil {
		return err
	}
	if mode != "wal" || full != 2 {
		return fmt.Errorf("the file system bears no write-ahead log with full sync (journal_mode %v, synchronous %d)", mode, full)
	}
	if _, err := w.begin.exec(); err != nil {
		return err
	}
	if _, err = w.rollback.exec(); err != nil {
		return err
	}
	return w.script("PRAGMA busy_timeout = 0") // the writer waits in its own way
}

// tx is one open write transaction. It sees one time and is alone with the
// file, also among processes: it began with BEGIN IMMEDIATE.
type tx struct {
	*writeConn
	slotTx
}

// Complete reports false when the token does not hold the slot, nor completed it.
func (t *tx) Complete(slot semel.Slot, c semel.Completion) (bool, error) {
	kept, err := t.settle(slot, c)
	if err != nil || kept {
		return kept, err
	}
	_, done, err := t.isDone.integer(slot[:], c.Token[:])
	return done, err
}

// BeginEffects reports false when the token does not hold the slot.
func (t *tx) BeginEffects(slot semel.Slot, token semel.Token) (bool, error) {
	n, err := t.beginEffects.exec(slot[:], token[:])
	return n == 1, err
}

// Release reports false when the token does not hold the slot.
func (t *tx) Release(slot semel.Slot, token semel.Token) (bool, error) {
	n, err := t.release.exec(slot[:], token[:])
	return n == 1, err
}

// Renew returns the tokens that do not hold their slot.
func (t *tx) Renew(until int64, holders []holder) (lost []semel.Token, err error) {
	for _, h := range holders {
		n, err := t.renew.exec(until, h.slot[:], h.token[:])
		if err != nil {
			return nil, err
		}
		if n == 0 {
			lost = append(lost, h.token)
		}
	}
	return lost, nil
}

// Resolve returns ErrInFlight, ErrLost, or an error of the file.
func (t *tx) Resolve(slot semel.Slot, r semel.Resolution) (refused, err error) {
	due, expires := t.now-max(0, micros(r.Margin)), t.now+micros(r.Retention)
	var n, body int64
	if r.Response == nil {
		n, err = t.resolveFree.exec(expires, r.Reason, slot[:], r.Fence, due)
	} else {
		if body, err = t.keep(slot, *r.Response); err != nil {
			return nil, err
		}
		token := semel.NewToken()
		n, err = t.resolveDone.exec(token[:], int64(r.Response.Status), body, expires, r.Reason, slot[:], r.Fence, due)
	}
	if err != nil || n == 1 {
		return nil, err
	}
	if err := t.drop(body); err != nil {
		return nil, err
	}
	_, reserved, err := t.isDue.integer(slot[:], r.Fence)
	if reserved {
		return semel.ErrInFlight, err
	}
	return semel.ErrLost, err
}
