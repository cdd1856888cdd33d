package semelsql

import (
	"cmp"
	"context"
	"database/sql"
	"sync"
)

// statement is the context of one statement: its caller's, and it ends with the transaction
// too. It has to last until the rows are closed, which package sql tells nobody; but it
// derives a context for as long as they are open. So statement hears of that
// ([context.AfterFunc] says how), and then holds nothing of its caller's context nor of the
// transaction. It does not end at that: rows that were closed would have failed.
type statement struct {
	context.Context                 //nolint:containedctx // it is one: the caller's, for values and deadline
	ends            context.Context //nolint:containedctx // with either
	tx              *Tx
	stops           [2]func() bool

	mu      sync.Mutex
	derived int  // contexts that are open
	reading bool // the last of them is that of the rows
}

// under is ctx for a statement. It is released when the statement is over.
func (t *Tx) under(ctx context.Context) *statement {
	ends, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &statement{Context: ctx, ends: ends, tx: t}
	s.stops = [2]func() bool{context.AfterFunc(ctx, end), context.AfterFunc(t.life, end)}
	return s
}

// Done implements [context.Context].
func (s *statement) Done() <-chan struct{} { return s.ends.Done() }

// Err implements [context.Context].
func (s *statement) Err() error {
	if s.ends.Err() == nil {
		return nil
	}
	return cmp.Or(s.Context.Err(), s.ends.Err())
}

// AfterFunc is what package context calls for a context that is derived.
func (s *statement) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	s.derived++
	s.mu.Unlock()
	forget := context.AfterFunc(s.ends, f)
	var once sync.Once
	return func() bool {
		stopped := forget()
		once.Do(func() {
			s.mu.Lock()
			s.derived--
			over := s.derived == 0 && s.reading
			s.mu.Unlock()
			if over {
				s.release()
			}
		})
		return stopped
	}
}

// reads lasts until the rows of the statement are closed, those of row if it is not nil. If
// nobody can tell when that is, it is the end of the transaction.
func (s *statement) reads(row *sql.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = s.derived > 0
	if s.reading && row != nil {
		s.tx.unread.Store(s, row)
	}
}

// closeRows closes the rows of QueryRow that nobody has scanned, as others that were left
// open: some drivers can send nothing before.
func (t *Tx) closeRows() {
	t.unread.Range(func(_, unread any) bool {
		if row, ok := unread.(*sql.Row); ok {
			t.ran(plain, row.Scan())
		}
		return true
	})
}

// release gives up what the statement holds.
func (s *statement) release() {
	s.stops[0]()
	s.stops[1]()
	s.tx.unread.Delete(s)
}
