package semelsql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// watched is dialect with sessions that tell more.
type watched struct {
	dialect
	gone *error // what Gone says
	done *int   // how often Done was called
}

func (w watched) Begin(ctx context.Context, c *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	s, err := w.dialect.Begin(ctx, c, isolation)
	s.Gone = func() error { return *w.gone }
	s.Done = func() { *w.done++ }
	return s, err
}

func watch() watched { return watched{gone: new(error), done: new(int)} }

// I8: a transaction that the database has rolled back without the handle's
// knowledge takes no more statements, and commits nothing.
func TestGone(t *testing.T) {
	s, w := newServer(), watch()
	b := begin(t, s, w)
	if err := b.Err(); err != nil {
		t.Errorf("got %v, want none", err)
	}
	*w.gone = errDeadlock
	wantError(t, b.exec("write"), errDeadlock)
	wantError(t, b.Err(), errDeadlock)
	wantError(t, b.commit(), errDeadlock)
	b.wantAsked(s, "connect; begin; lock")
	b.Rollback(b.ctx)
	b.wantAsked(s, "connect; begin; lock; rollback")
}

// I8: it may be gone between the last statement and the commit.
func TestGoneBeforeCommit(t *testing.T) {
	s, w := newServer(), watch()
	b := begin(t, s, w)
	if err := b.Complete(b.ctx, semel.Completion{}); err != nil {
		t.Fatal(err)
	}
	*w.gone = errMinor // whatever the error, it is gone
	wantError(t, b.Commit(b.ctx), errMinor)
	b.wantAsked(s, "connect; begin; lock; complete; rollback")
}

// What a transaction holds outside of its connection is given back once, however
// it ends; and its own end is no news.
func TestDone(t *testing.T) {
	for name, end := range map[string]func(*server, *begun) error{
		"commit":   func(_ *server, b *begun) error { return b.commit() },
		"rollback": func(_ *server, b *begun) error { b.Rollback(b.ctx); return nil },
		"commit fails": func(s *server, b *begun) error {
			s.fail["commit"] = errBroken
			return b.commit()
		},
		"rollback fails": func(s *server, b *begun) error {
			s.fail["rollback"] = errBroken
			b.Rollback(b.ctx)
			return errBroken
		},
		"spoilt": func(_ *server, b *begun) error {
			_ = b.tx.Commit()
			return b.Commit(b.ctx)
		},
		"severed": func(s *server, b *begun) error {
			s.restart()
			return b.Commit(b.ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newServer(), watch()
			b := begin(t, s, w)
			if *w.done != 0 {
				t.Errorf("open: got Done called %d times, want none", *w.done)
			}
			failed := end(s, b) != nil
			*w.gone = errDeadlock // as a rollback hook would tell
			for range 2 {
				b.Rollback(b.ctx)
				if err := b.Commit(b.ctx); !errors.Is(err, semel.ErrTxOver) {
					t.Errorf("commit again: got %v, want ErrTxOver", err)
				}
			}
			if got := b.Err(); !failed && got != nil {
				t.Errorf("got %v, want none after a clean end", got)
			}
			if *w.done != 1 {
				t.Errorf("got Done called %d times, want once", *w.done)
			}
		})
	}
}
