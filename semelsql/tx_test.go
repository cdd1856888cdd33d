package semelsql_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// What libraries ask of a transaction: sqlc and GORM the first, ent the second,
// GORM's nested transactions and goqu the third, squirrel and sqlboiler the last.
var (
	_ interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	} = (*semelsql.Tx)(nil)
	_ interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	} = (*semelsql.Tx)(nil)
	_ interface {
		Commit() error
		Rollback() error
	} = (*semelsql.Tx)(nil)
	_ interface {
		Exec(query string, args ...any) (sql.Result, error)
		Query(query string, args ...any) (*sql.Rows, error)
		QueryRow(query string, args ...any) *sql.Row
		Prepare(query string) (*sql.Stmt, error)
	} = (*semelsql.Tx)(nil)
)

func query(b *begun, text string) error {
	var n int
	return b.tx.QueryRowContext(b.ctx, text).Scan(&n)
}

// I8: the first error by which the transaction went is what it ends with, whatever
// the handler makes of it and whichever way it came; no statement is sent after it.
func TestSpoilt(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(b *begun) error{
		"exec":      func(b *begun) error { return b.exec("bad") },
		"query row": func(b *begun) error { return query(b, "bad") },
		"query": func(b *begun) error {
			_, err := b.tx.QueryContext(b.ctx, "bad") //nolint:rowserrcheck,sqlclosecheck // there are no rows
			return err
		},
		"without a context": func(b *begun) error {
			_, err := b.tx.Exec("bad")
			return err
		},
	} {
		for _, cause := range []error{errDeadlock, errBroken} {
			s := newServer()
			s.fail["bad"] = cause
			b := begin(t, s, dialect{})
			wantError(t, meet(b), cause)
			wantError(t, b.exec("write"), cause)
			wantError(t, b.Err(), cause)
			wantError(t, b.Complete(b.ctx, semel.Completion{}), cause)
			err := b.Commit(b.ctx)
			if wantError(t, err, cause); !b.txs.Again(err) || errors.Is(err, semel.ErrCommitUnknown) {
				t.Errorf("%s: got %v, again %v, want it repeated", name, err, b.txs.Again(err))
			}
			b.wantAsked(s, "connect; begin; lock; bad; rollback")
		}
	}
}

// An error that the database lets pass is the handler's.
func TestMinorError(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.fail["bad"] = errMinor
	b := begin(t, s, dialect{})
	wantError(t, b.exec("bad"), errMinor)
	wantError(t, query(b, "bad"), errMinor)
	if err := b.exec("write"); err != nil || b.Err() != nil {
		t.Errorf("got %v, %v, want a transaction that goes on", err, b.Err())
	}
	if err := b.commit(); err != nil {
		t.Error(err)
	}
}

// An aborted transaction is healed by a rollback to a savepoint, as GORM's nested
// transactions do it; one that is gone is not.
func TestSavepoint(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.fail["bad"], s.fail["deadlock"] = errAborted, errDeadlock
	b := begin(t, s, dialect{})
	wantError(t, b.exec("bad"), errAborted)
	wantError(t, b.Err(), errAborted)
	if err := b.exec("write"); err != nil { // the server would refuse it
		t.Fatal(err)
	}
	wantError(t, b.Err(), errAborted)
	if err := b.exec("ROLLBACK TO SAVEPOINT sp1"); err != nil || b.Err() != nil {
		t.Errorf("got %v, %v, want the transaction healed", err, b.Err())
	}
	s.fail["rollback to sp1"] = errMinor
	wantError(t, b.exec("bad"), errAborted)
	wantError(t, b.exec("rollback to sp1"), errMinor)
	wantError(t, b.Err(), errAborted)
	wantError(t, b.exec("deadlock"), errDeadlock)
	wantError(t, b.exec("ROLLBACK TO SAVEPOINT sp1"), errAborted)
	wantError(t, b.commit(), errAborted)
}

// I8: an error that only the rows tell, which nobody passed on, spoils the
// transaction too, before the next statement is sent.
func TestRowsFail(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.rows["read"] = errDeadlock
	b := begin(t, s, dialect{})
	rows, err := b.tx.QueryContext(b.ctx, "read")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() { // and no look at rows.Err
	}
	_ = rows.Close() //nolint:sqlclosecheck // as handlers do
	wantError(t, b.exec("write"), errDeadlock)
	wantError(t, b.Err(), errDeadlock)
	_ = rows.Err()
	b.Rollback(b.ctx)
	b.wantAsked(s, "connect; begin; lock; read; rollback")
}

// Rows and statements that a handler forgot to close hold nothing up.
func TestForgotten(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, dialect{})
	st, err := b.tx.PrepareContext(b.ctx, "prepared") //nolint:sqlclosecheck // forgotten
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.ExecContext(b.ctx); err != nil {
		t.Fatal(err)
	}
	open, err := b.tx.QueryContext(b.ctx, "read") //nolint:rowserrcheck,sqlclosecheck // forgotten
	if err != nil || !open.Next() {
		t.Fatal(err)
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	if open.Next() {
		t.Error("got a row after the commit")
	}
	b.wantPooled(s, true)
}

// A context that a handler ends right after its rows were closed spoils nothing,
// although database/sql may then say that the rows failed.
func TestRowsContextEnds(t *testing.T) {
	t.Parallel()
	b := begin(t, newServer(), dialect{})
	failed := false
	for range 5000 {
		ctx, cancel := context.WithCancel(b.ctx)
		rows, err := b.tx.QueryContext(ctx, "read")
		if err != nil {
			t.Fatal(err)
		}
		_ = rows.Close() //nolint:sqlclosecheck // before the context ends
		cancel()
		for range 10 {
			runtime.Gosched()
			failed = failed || rows.Err() != nil
		}
		if err := b.Err(); err != nil {
			t.Fatalf("got %v", err)
		}
		if failed {
			break
		}
	}
	if !failed {
		t.Log("database/sql did not say so: the test shows nothing")
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
}

// The handler cannot end what is not its own, whichever way it tries; then nothing
// is committed.
func TestOwned(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]func(b *begun) error{
		"commit":       func(b *begun) error { return b.tx.Commit() },
		"rollback":     func(b *begun) error { return b.tx.Rollback() },
		"as text":      func(b *begun) error { return b.exec("COMMIT") },
		"as a query":   func(b *begun) error { return query(b, "rollback") },
		"as statement": func(b *begun) error { _, err := b.tx.PrepareContext(b.ctx, "begin"); return err }, //nolint:sqlclosecheck // there is none
	} {
		s := newServer()
		b := begin(t, s, dialect{})
		if err := b.exec("write"); err != nil {
			t.Fatal(err)
		}
		if err := try(b); !errors.Is(err, semel.ErrTxOwned) {
			t.Errorf("%s: got %v", name, err)
		}
		wantError(t, b.Err(), semel.ErrTxOwned)
		wantError(t, b.exec("write"), semel.ErrTxOwned)
		wantError(t, b.commit(), semel.ErrTxOwned)
		b.Rollback(b.ctx)
		b.wantAsked(s, "connect; begin; lock; write; rollback")
	}
}

// A handle is dead once the attempt has ended, and from the completion on.
func TestOver(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *begun){
		"completed":   func(b *begun) { _ = b.Complete(b.ctx, semel.Completion{}) },
		"committed":   func(b *begun) { _ = b.Commit(b.ctx) },
		"rolled back": func(b *begun) { b.Rollback(b.ctx) },
	} {
		s := newServer()
		b := begin(t, s, dialect{})
		st, err := b.tx.Prepare("prepared") //nolint:sqlclosecheck // what is tested
		if err != nil {
			t.Fatal(err)
		}
		end(b)
		asked := s.asked()
		_, err1 := b.tx.ExecContext(b.ctx, "late")
		_, err2 := b.tx.QueryContext(b.ctx, "late")   //nolint:rowserrcheck,sqlclosecheck // there are no rows
		_, err3 := b.tx.PrepareContext(b.ctx, "late") //nolint:sqlclosecheck // there is none
		_, err4 := b.tx.Exec("late")
		_, err5 := b.tx.Query("late")   //nolint:rowserrcheck,sqlclosecheck // what is tested
		_, err6 := b.tx.Prepare("late") //nolint:sqlclosecheck // what is tested
		var n int
		for i, err := range []error{
			err1, err2, err3, err4, err5, err6,
			b.tx.QueryRowContext(b.ctx, "late").Scan(&n), b.tx.QueryRow("late").Scan(&n),
			b.tx.Commit(), b.tx.Rollback(), b.exec("COMMIT"),
		} {
			if !errors.Is(err, semel.ErrTxOver) {
				t.Errorf("%s: method %d: got %v", name, i, err)
			}
		}
		if _, err := st.ExecContext(b.ctx); err == nil {
			t.Errorf("%s: a statement that was prepared before still runs", name)
		}
		if got := s.asked(); got != asked {
			t.Errorf("%s: got %q, want nothing after %q", name, got, asked)
		}
	}
}

// I8: a statement that a handler left behind in a goroutine comes before the record
// or not at all.
func TestStray(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.block["stray"] = make(chan struct{})
	b := begin(t, s, dialect{})
	strayed := make(chan error)
	go func() { strayed <- b.exec("stray") }()
	<-s.began
	s.fail["stray"] = errDeadlock
	completed := make(chan error)
	go func() { completed <- b.commit() }()
	close(s.block["stray"])
	if err := <-strayed; err != nil {
		t.Fatal(err) // it had been asked before it was to fail
	}
	if err := <-completed; err != nil {
		t.Fatal(err)
	}
	b.wantAsked(s, "connect; begin; lock; stray; complete; commit")
}

// L1, I8: a statement that a handler left behind in a goroutine and that never ends holds
// neither a rollback up nor a completion, and nothing is committed with it.
func TestStrayNeverEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *begun) error{
		"rollback": func(b *begun) error { b.Rollback(b.ctx); return context.Canceled },
		"complete": func(b *begun) error { return b.Complete(b.ctx, semel.Completion{}) },
		"commit":   func(b *begun) error { return b.Commit(b.ctx) },
	} {
		for what, stray := range map[string]func(b *begun) error{
			"stray": func(b *begun) error { return b.exec("stray") },
			"prepare stray": func(b *begun) error {
				_, err := b.tx.PrepareContext(b.ctx, "stray") //nolint:sqlclosecheck // there is none
				return err
			},
		} {
			t.Run(name+" beside "+what, func(t *testing.T) {
				t.Parallel()
				s := newServer()
				block := make(chan struct{})
				s.block[what] = block
				defer time.AfterFunc(20*time.Second, func() { close(block) }).Stop()
				b := begin(t, s, dialect{})
				strayed := make(chan error, 1)
				go func() { strayed <- stray(b) }()
				<-s.began
				err := end(b)
				if wantError(t, err, context.Canceled); errors.Is(err, semel.ErrCommitUnknown) {
					t.Errorf("got %v, want it known", err)
				}
				wantError(t, <-strayed, context.Canceled)
				b.Rollback(b.ctx)
				if got := s.asked(); strings.Contains(got, "complete") || strings.Contains(got, "commit") {
					t.Errorf("got %q, want nothing committed", got)
				}
			})
		}
	}
}

// L2: a transaction of many statements holds nothing of those that are over, nor does the
// context in which they ran.
func TestStatementsAreReleased(t *testing.T) {
	t.Parallel()
	b := begin(t, newServer(), dialect{})
	ends, cancel := context.WithCancel(t.Context())
	defer cancel()
	var held atomic.Int64 // what is still to be told of the end of the attempt's context
	for name, statement := range map[string]func(ctx context.Context) error{
		"exec": func(ctx context.Context) error { _, err := b.tx.ExecContext(ctx, "write"); return err },
		"a row": func(ctx context.Context) error {
			var n int
			return b.tx.QueryRowContext(ctx, "read").Scan(&n)
		},
		"rows to the end": func(ctx context.Context) error {
			rows, err := b.tx.QueryContext(ctx, "read")
			if err != nil {
				return err
			}
			for rows.Next() { //nolint:revive // to the end
			}
			return errors.Join(rows.Err(), rows.Close()) //nolint:sqlclosecheck // as they are read to the end
		},
		"rows that are closed early": func(ctx context.Context) error {
			rows, err := b.tx.QueryContext(ctx, "read")
			if err != nil {
				return err
			}
			return errors.Join(rows.Close(), rows.Err()) //nolint:sqlclosecheck // that is the case
		},
		"prepare": func(ctx context.Context) error {
			stmt, err := b.tx.PrepareContext(ctx, "prepared")
			if err != nil {
				return err
			}
			return stmt.Close() //nolint:sqlclosecheck // that is the case
		},
	} {
		gone := make(chan struct{})
		func() {
			value := new([64]byte)
			runtime.AddCleanup(value, func(gone chan struct{}) { close(gone) }, gone)
			ctx := listening{context.WithValue(b.ctx, valueKey{}, value), ends, &held}
			for range 10 {
				if err := statement(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}()
		if n := held.Load(); n != 0 {
			t.Errorf("%s: got %d statements held by the context of the attempt", name, n)
		}
		if err := b.Err(); err != nil { // looks at rows that were open, and forgets them
			t.Fatal(err)
		}
		released := false
		for deadline := time.Now().Add(20 * time.Second); !released && time.Now().Before(deadline); {
			runtime.GC()
			select {
			case <-gone:
				released = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		if !released {
			t.Fatalf("%s: got its context held by the transaction", name)
		}
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
}

type valueKey struct{}

// listening is a context that counts who waits for its end.
type listening struct {
	context.Context                 //nolint:containedctx // it is one
	ends            context.Context //nolint:containedctx // it is one
	held            *atomic.Int64
}

func (c listening) Done() <-chan struct{} { return c.ends.Done() }
func (c listening) Err() error            { return c.ends.Err() }

// AfterFunc is what package context calls for those.
func (c listening) AfterFunc(f func()) func() bool {
	c.held.Add(1)
	stop := context.AfterFunc(c.ends, f)
	return func() bool {
		stopped := stop()
		if stopped {
			c.held.Add(-1)
		}
		return stopped
	}
}

// A row that nobody has scanned holds the completion up no more than rows do, and its
// error is not missed.
func TestUnscanned(t *testing.T) {
	t.Parallel()
	s := newServer()
	b := begin(t, s, dialect{})
	for range 3 {
		_ = b.tx.QueryRowContext(b.ctx, "read")
	}
	if err := b.commit(); err != nil {
		t.Fatal(err)
	}
	b.wantAsked(s, "connect; begin; lock; read; read; read; complete; commit")
	b.wantPooled(s, true)
}

// I8: a context of the handler that ends breaks its statement and with it the
// transaction, and nothing is run beside the handler (golang/go#34775). One that had
// ended before breaks nothing.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.block["slow"] = make(chan struct{})
	db := pool(t, s)
	txs := semelsql.New(db, nil, dialect{}, semel.ClaimTx, sql.LevelDefault)
	ctx, cancel := context.WithCancel(t.Context())
	x, err := txs.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := &begun{x, t, db, txs, x.Attach(ctx), semelsql.TxFrom(x.Attach(ctx))}
	go func() {
		<-s.began
		cancel()
	}()
	wantError(t, b.exec("slow"), context.Canceled)
	b.ctx = t.Context()
	wantError(t, b.exec("write"), context.Canceled)
	b.wantAsked(s, "connect; begin; slow") // no rollback of database/sql's own
	err = b.commit()
	if wantError(t, err, context.Canceled); txs.Again(err) {
		t.Error("got it repeated, want the handler's own decision respected")
	}

	s = newServer()
	b = begin(t, s, dialect{})
	_, err = b.tx.ExecContext(canceled(), "write")
	wantError(t, err, context.Canceled)
	if err := b.commit(); err != nil {
		t.Errorf("got %v, want a transaction that goes on: nothing was sent", err)
	}
}

// A statement of the pool runs in the transaction, until the completion.
func TestStmtContext(t *testing.T) {
	t.Parallel()
	s := newServer()
	db := pool(t, s)
	pooled, err := db.PrepareContext(t.Context(), "pooled")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pooled.Close() }()
	x, err := semelsql.New(db, nil, dialect{}, semel.ClaimTx, sql.LevelDefault).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx := semelsql.TxFrom(x.Attach(t.Context()))
	own := tx.StmtContext(t.Context(), pooled) //nolint:sqlclosecheck // the handle does
	if _, err := own.ExecContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := s.asked() + "; complete"
	for _, end := range []func(){
		func() { _ = x.Complete(t.Context(), semel.Completion{}) },
		func() { x.Rollback(t.Context()); asked += "; rollback" },
	} {
		end()
		for _, st := range []*sql.Stmt{own, tx.StmtContext(t.Context(), pooled)} {
			if _, err := st.ExecContext(t.Context()); err == nil {
				t.Error("a statement still runs in a transaction that is over")
			}
		}
	}
	if got := s.asked(); got != asked {
		t.Errorf("got %q, want %q", got, asked)
	}
	if _, err := pooled.ExecContext(t.Context()); err != nil {
		t.Errorf("got %v, want the pool's own statement unharmed", err)
	}
}

func TestTxFrom(t *testing.T) {
	t.Parallel()
	if semelsql.TxFrom(t.Context()) != nil {
		t.Error("got a handle where there is no transaction")
	}
}

func TestDamageString(t *testing.T) {
	t.Parallel()
	for d, want := range map[semelsql.Damage]string{semelsql.None: "none", semelsql.Aborted: "aborted", semelsql.Gone: "gone", 9: "invalid"} {
		if got := d.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
