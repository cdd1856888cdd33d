package sqlitestore

import (
	"errors"
	"sync"
)

// readers is how many steps may read at once. More than the cores gain nothing.
const readers = 4

// readConn is a connection that never writes, and its statements.
type readConn struct {
	*conn
	alive                      *stmt
	find                       *stmt
	list, listSlot, listWindow *stmt
	listOpen, listOpenWindow   *stmt
	purgeFind                  *stmt
	trail, trailSlot           *stmt
}

func openReadConn(d database) (*readConn, error) {
	c, err := dial(d, readOnly, readerPragmas...)
	if err != nil {
		return nil, err
	}
	p := preparer{conn: c}
	r := &readConn{
		conn:           c,
		alive:          p.text("alive", "PRAGMA user_version"),
		find:           p.file("find"),
		list:           p.file("list"),
		listSlot:       p.file("list_slot"),
		listWindow:     p.file("list_window"),
		listOpen:       p.file("list_open"),
		listOpenWindow: p.file("list_open_window"),
		purgeFind:      p.file("purge_find"),
		trail:          p.file("trail"),
		trailSlot:      p.file("trail_slot"),
	}
	if p.err != nil {
		return nil, errors.Join(p.err, c.close())
	}
	return r, nil
}

// pool lends connections for reading. Nobody may keep one while somebody else
// decides how long: an open read holds back the checkpoints.
type pool struct {
	database
	free    chan *readConn // nil: not open, now or any more
	closing sync.Once
	closed  chan struct{}
}

func openPool(d database) (*pool, error) {
	p := &pool{database: d, free: make(chan *readConn, readers), closed: make(chan struct{})}
	first, err := openReadConn(d)
	if err != nil {
		return nil, err
	}
	p.free <- first
	for range readers - 1 {
		p.free <- nil // opened when needed
	}
	return p, nil
}

// with calls f with a connection. One that failed is opened anew next time.
func (p *pool) with(f func(*readConn) error) error {
	select {
	case <-p.closed:
		return ErrClosed
	default:
	}
	var c *readConn
	select {
	case c = <-p.free:
	case <-p.closed:
		return ErrClosed
	}
	defer func() { p.free <- c }()
	if c == nil {
		var err error
		if c, err = openReadConn(p.database); err != nil {
			c = nil
			return err
		}
	}
	err := f(c)
	if codeOf(err) != 0 {
		_ = c.close() // it is given up because it failed
		c = nil
	}
	return err
}

// close waits until every connection is back.
func (p *pool) close() (err error) {
	p.closing.Do(func() {
		close(p.closed)
		for range readers {
			if c := <-p.free; c != nil {
				err = errors.Join(err, c.close())
			}
		}
	})
	return err
}
