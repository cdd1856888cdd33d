package semelsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// I8: business writes and the record are in one transaction, on one connection,
// which goes back to its pool after what it holds beside it was given back.
func TestCommit(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, dialect{end: true})
	if err := b.exec("write"); err != nil {
		t.Fatal(err)
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	b.Rollback(b.ctx) // does nothing after a commit
	b.wantAsked(s, "connect; begin; lock; write; complete; commit; unlock")
	b.wantPooled(s, true)
	wantError(t, b.Commit(b.ctx), semel.ErrTxOver)
}

// I8: a rollback leaves nothing, however often it is called.
func TestRollback(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, dialect{end: true})
	if err := b.exec("write"); err != nil {
		t.Fatal(err)
	}
	b.Rollback(b.ctx)
	b.Rollback(b.ctx)
	wantError(t, b.Commit(b.ctx), semel.ErrTxOver)
	b.wantAsked(s, "connect; begin; lock; write; rollback; unlock")
	b.wantPooled(s, true)
}

// A connection that cannot give back its lock, or whose rollback failed, is
// closed: the server frees what it held.
func TestUnclean(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"unlock", "rollback"} {
		s := newServer()
		s.fail[statement] = errMinor
		b := begin(t, s, dialect{end: true})
		b.Rollback(b.ctx)
		b.wantPooled(s, false)
	}
	s := newServer()
	s.fail["unlock"] = errMinor
	b := begin(t, s, dialect{end: true})
	if err := b.commit(); err != nil {
		t.Errorf("got %v, want the commit, which has happened", err)
	}
	b.wantPooled(s, false)
}

// I8: after an error of a step there is no commit, even for a caller who wants it:
// business writes without their record would run again.
func TestStepFails(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"lock", "complete", "reserve"} {
		s := newServer()
		s.fail[step] = errMinor
		db := pool(t, s)
		x, err := semelsql.New(db, nil, dialect{}, semel.SingleTx, sql.LevelDefault).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch step {
		case "lock":
			err = x.Lock(t.Context(), semel.Key{}, semel.Token{})
		case "complete":
			err = x.Complete(t.Context(), semel.Completion{})
		case "reserve":
			_, err = x.Reserve(t.Context(), semel.Reservation{})
		}
		wantError(t, err, errMinor)
		wantError(t, x.Err(), errMinor)
		wantError(t, x.Commit(t.Context()), errMinor)
		if got, want := s.asked(), "connect; begin; "+step+"; rollback"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// I8: what a commit's error means. Only what the database refused for certain is
// no unknown commit, and such a connection is never used again.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err            error
		unknown, again bool
	}{
		{errDeadlock, false, true},
		{errBroken, true, false},
		{errMinor, true, false},
	} {
		s := newServer()
		s.fail["commit"] = c.err
		b := begin(t, s, dialect{end: true})
		err := b.commit()
		wantError(t, err, c.err)
		if errors.Is(err, semel.ErrCommitUnknown) != c.unknown || b.txs.Again(err) != c.again {
			t.Errorf("%v: got %v, again %v, want unknown %v, again %v", c.err, err, b.txs.Again(err), c.unknown, c.again)
		}
		b.Rollback(b.ctx)
		b.wantAsked(s, "connect; begin; lock; complete; commit")
		b.wantPooled(s, false)
	}
}

// I8: a connection that was broken before the commit was sent has committed
// nothing, and that is certain.
func TestBrokenBeforeCommit(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, dialect{})
	if err := b.Complete(b.ctx, semel.Completion{}); err != nil {
		t.Fatal(err)
	}
	s.fail["commit"] = errors.New("the commit was sent")
	s.restart()
	err := b.Commit(b.ctx)
	if err == nil || errors.Is(err, semel.ErrCommitUnknown) || !b.txs.Again(err) {
		t.Errorf("got %v, again %v, want an error that says that nothing happened", err, b.txs.Again(err))
	}
	b.wantPooled(s, false)
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A begin that meets connections that broke while they were idle takes another one;
// other errors are the caller's, and no connection is left behind.
func TestBeginAgain(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.fail["begin"] = driver.ErrBadConn
	db := pool(t, s)
	txs := semelsql.New(db, nil, dialect{}, semel.SingleTx, sql.LevelSerializable)
	_, err := txs.Begin(t.Context())
	wantError(t, err, driver.ErrBadConn)
	if got, want := s.asked(), strings.TrimSuffix(strings.Repeat("connect; begin; ", 3), "; "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.fail["begin"] = errMinor
	if _, err = txs.Begin(t.Context()); !errors.Is(err, errMinor) {
		t.Errorf("got %v, want it once", err)
	}
	delete(s.fail, "begin")
	x, err := txs.Begin(canceled())
	if err != nil {
		t.Fatalf("got %v, want a context that carries values only", err)
	}
	x.Rollback(t.Context())
	if txs.Mode() != semel.SingleTx || txs.Store() != nil {
		t.Errorf("got %v and %v, want what New was told", txs.Mode(), txs.Store())
	}
}

// What is no reason to run again: contexts that business code ended, and refusals.
func TestAgain(t *testing.T) {
	t.Parallel()
	txs := semelsql.New(nil, nil, dialect{}, semel.ClaimTx, sql.LevelDefault)
	for _, err := range []error{
		nil, semel.ErrLost, semel.ErrTxOwned, semel.ErrTxOver, errMinor,
		errors.Join(errDeadlock, semel.ErrCommitUnknown), errors.Join(errDeadlock, context.Canceled),
		errors.Join(errDeadlock, context.DeadlineExceeded),
	} {
		if txs.Again(err) {
			t.Errorf("got %v repeated", err)
		}
	}
	if !txs.Again(errDeadlock) {
		t.Error("got a deadlock for good, want it repeated")
	}
}
