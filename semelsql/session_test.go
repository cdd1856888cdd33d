package semelsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
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

// marked is dialect with sessions that watch statements which begin with "call".
type marked struct{ dialect }

func (m marked) Begin(ctx context.Context, c *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	s, err := m.dialect.Begin(ctx, c, isolation)
	s.Watch = func(first, query string) semelsql.Mark {
		if first != "CALL" || !strings.HasPrefix(query, "call") {
			return nil
		}
		return func(ctx context.Context) (func(context.Context) error, error) {
			_, err := s.Tx.ExecContext(ctx, "mark")
			return func(ctx context.Context) error {
				if ctx.Done() != nil {
					return errors.New("a look got a context that can end")
				}
				if _, err := s.Tx.ExecContext(ctx, "look"); err != nil {
					return fmt.Errorf("%w: %w", semel.ErrTxEnded, err)
				}
				return nil
			}, err
		}
	}
	return s, err
}

// I8: a statement that may end the transaction unseen is watched, whichever way it is
// sent, and one that did is found out before anything else is sent.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(b *begun) error{
		"exec": func(b *begun) error { return b.exec("call") },
		"exec that fails": func(b *begun) error {
			if err := b.exec("call badly"); !errors.Is(err, errMinor) {
				return fmt.Errorf("got %w", err)
			}
			return nil
		},
		"query row": func(b *begun) error { return query(b, "call") },
		"query": func(b *begun) error {
			rows, err := b.tx.QueryContext(b.ctx, "call")
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return errors.Join(rows.Err(), rows.Close()) //nolint:sqlclosecheck // as handlers do
		},
	} {
		for i := range 4 {
			ends, asks := i%2 == 1, i > 1
			s := newServer()
			s.fail["call badly"] = errMinor
			if ends {
				s.fail["look"] = errMinor
			}
			b := begin(t, s, marked{})
			if err := send(b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if asks {
				if err := b.Err(); errors.Is(err, semel.ErrTxEnded) != ends {
					t.Errorf("%s, ends it %v: got %v", name, ends, err)
				}
			}
			if err := b.exec("write"); errors.Is(err, semel.ErrTxEnded) != ends {
				t.Errorf("%s, ends it %v: got %v", name, ends, err)
			}
			if err := b.commit(); errors.Is(err, semel.ErrTxEnded) != ends {
				t.Errorf("%s, ends it %v: got %v", name, ends, err)
			}
			b.Rollback(b.ctx)
			asked := "connect; begin; lock; mark; " + map[string]string{"exec that fails": "call badly"}[name]
			if name != "exec that fails" {
				asked += "call"
			}
			asked += "; look; "
			if ends {
				asked += "rollback"
			} else {
				asked += "write; complete; commit"
			}
			b.wantAsked(s, asked)
		}
	}
}

// What is left to find out is found out by the completion, and not in a transaction
// that is gone.
func TestWatchLate(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.fail["look"] = errMinor
	b := begin(t, s, marked{})
	rows, err := b.tx.QueryContext(b.ctx, "call") //nolint:rowserrcheck,sqlclosecheck // forgotten
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	if err := b.Err(); err != nil { // its rows are being read
		t.Error(err)
	}
	wantError(t, b.Complete(b.ctx, semel.Completion{}), semel.ErrTxEnded)
	b.wantAsked(s, "connect; begin; lock; mark; call; look")

	s = newServer()
	s.fail["call"], s.fail["look"] = errDeadlock, errMinor
	b = begin(t, s, marked{})
	wantError(t, b.exec("call"), errDeadlock)
	wantError(t, b.commit(), errDeadlock)
	b.wantAsked(s, "connect; begin; lock; mark; call")

	s = newServer()
	s.fail["mark"] = errDeadlock
	b = begin(t, s, marked{})
	wantError(t, b.exec("call"), errDeadlock)
	wantError(t, b.Err(), errDeadlock)
	b.wantAsked(s, "connect; begin; lock; mark")
}

// What has to be watched while it runs is not prepared; nothing is spoilt by asking.
func TestWatchPrepared(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, marked{})
	if _, err := b.tx.PrepareContext(b.ctx, "call"); err == nil { //nolint:sqlclosecheck // there is none
		t.Error("got a statement that nobody watches")
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	b.wantAsked(s, "connect; begin; lock; complete; commit")
}

// fated is dialect with sessions that know whether they were ended, and say so once asked.
type fated struct {
	dialect
	asked *[]bool // whether it was over
}

func (f fated) Begin(ctx context.Context, c *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	s, err := f.dialect.Begin(ctx, c, isolation)
	s.Fate = func(over bool) error {
		*f.asked = append(*f.asked, over)
		return semel.ErrTxEnded
	}
	return s, err
}

// I7: what has become of a transaction is asked when it is over without a commit, whatever
// else had spoilt it, and while a step of it hangs; never as long as it may be committed.
func TestFate(t *testing.T) {
	s, asked := newServer(), new([]bool)
	s.fail["bad"] = errDeadlock
	b := begin(t, s, fated{asked: asked})
	if err := b.Err(); err != nil || len(*asked) != 0 {
		t.Errorf("got %v, asked %v, want nothing asked for", err, *asked)
	}
	wantError(t, b.exec("bad"), errDeadlock)
	wantError(t, b.Err(), errDeadlock)
	b.Rollback(b.ctx)
	wantError(t, b.Err(), semel.ErrTxEnded)

	s.block["complete"] = make(chan struct{})
	b = begin(t, s, fated{asked: asked})
	completed := make(chan error)
	go func() { completed <- b.Complete(b.ctx, semel.Completion{}) }()
	<-s.began
	wantError(t, b.Err(), semel.ErrTxEnded)
	close(s.block["complete"])
	if err := <-completed; err != nil {
		t.Error(err)
	}
	if err := b.Err(); err != nil {
		t.Error(err)
	}
	if got := *asked; len(got) != 2 || !got[0] || got[1] {
		t.Errorf("got asked for %v, want once when it was over and once before", got)
	}
}

// unseen is dialect with sessions that hear of statements whose text nobody sees.
type unseen struct {
	dialect
	told *int
}

func (u unseen) Begin(ctx context.Context, c *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	s, err := u.dialect.Begin(ctx, c, isolation)
	s.Unseen = func() { *u.told++ }
	return s, err
}

// I7: a session hears of each statement of the pool, which may end its transaction, and of no
// other.
func TestUnseen(t *testing.T) {
	t.Parallel()
	s, told := newServer(), new(int)
	db := pool(t, s)
	pooled, err := db.PrepareContext(t.Context(), "pooled")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pooled.Close() }()
	x, err := semelsql.New(db, nil, unseen{told: told}, semel.ClaimTx, sql.LevelDefault).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Rollback(t.Context())
	tx := semelsql.TxFrom(x.Attach(t.Context()))
	if _, err := tx.Prepare("own"); err != nil { //nolint:sqlclosecheck // the handle does
		t.Fatal(err)
	}
	if *told != 0 {
		t.Errorf("told %d times of what it sees", *told)
	}
	_ = tx.StmtContext(t.Context(), pooled)
	if *told != 1 {
		t.Errorf("told %d times, want once", *told)
	}
}
