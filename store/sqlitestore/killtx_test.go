package sqlitestore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// startBank starts a child on a bank.
func startBank(t *testing.T, name, path, kind string, mode semel.TxMode) *child {
	t.Helper()
	c := start(t, name, path)
	if _, err := fmt.Fprintln(c.stdin, kind, mode); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // says that it was killed
}

// I8: kill -9 between the business write and the commit leaves neither; the next
// attempt books once.
func TestKillBeforeCommit(t *testing.T) {
	for kind, cfg := range kinds {
		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			t.Run(kind+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				c := startBank(t, "stuck", path, kind, mode)
				if line, _ := c.line(); line != "written" {
					t.Fatalf("got %q from the child: %s", line, c.errs)
				}
				c.kill(t)
				b := openBank(t, path, cfg)
				b.wantBooked("a", 0)
				next := reservation("a")
				held, err := b.Look(t.Context(), next.Key)
				b.must(err)
				if mode == semel.SingleTx {
					if held.State != semel.StateFree {
						t.Errorf("got a %s slot, want none", held.State)
					}
				} else if !held.Blameless() {
					t.Errorf("got %+v, want a reservation under which nothing has happened", held)
				} else { // its lease ends
					_, err := b.Renew(t.Context(), 0, []semel.Holder{{Key: held.Key, Token: held.Token}})
					b.must(err)
				}
				next.TakeOverBlameless = true
				mustReserve(t, b, next)
				x, tx := b.begin(b.transactions(semel.ClaimTx))
				b.must(x.Lock(t.Context(), next.Key, next.Token))
				b.book(tx, "a")
				b.must(x.Complete(t.Context(), completion(next, "booked")))
				b.must(x.Commit(t.Context()))
				b.wantBooked("a", 1)
			})
		}
	}
}

// I1: what another process holds in its transaction is in flight here, at once, and is
// taken over by nobody while it is open.
func TestAnotherProcessHolds(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{Guest: true})
	c := startBank(t, "stuck", b.path, "guest", semel.ClaimTx)
	if line, _ := c.line(); line != "written" {
		t.Fatalf("got %q from the child: %s", line, c.errs)
	}
	r := reservation("a")
	for range 20 {
		held, err := b.Reserve(t.Context(), heir(r))
		if err != nil || held.State != semel.StateReserved || held.Owner != r.Owner || held.Attempts != 1 {
			t.Errorf("got %+v, error %v, want the attempt of the other process", held, err)
		}
	}
	waits := make(chan error)
	other := reservation("b")
	go func() {
		held, err := b.Reserve(uncancelled(), other)
		if err == nil && held.Token != other.Token {
			err = fmt.Errorf("got %+v, want a reservation", held)
		}
		waits <- err
	}()
	c.kill(t)
	b.must(<-waits)
	b.wantBooked("a", 0)
}

// I3, I8, I10: processes that are killed again and again, one after the other or two at
// a time, book each key once, and keep what they have answered.
func TestKillBooksOnce(t *testing.T) {
	for kind, cfg := range kinds {
		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			t.Run(kind+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				answered := make(map[string]bool)
				for round := range 4 {
					first := startBank(t, "calls", path, kind, mode)
					if kind == "guest" { // any process may use the file
						second := startBank(t, "calls", path, kind, mode)
						listen(t, second, 20+31*round, answered)
					}
					listen(t, first, 40+37*round, answered)
				}
				b := openBank(t, path, cfg)
				b.settle(t, mode, answered)
			})
		}
	}
}

// listen takes in so many answers of a child, kills it, and reads the rest.
func listen(t *testing.T, c *child, enough int, answered map[string]bool) {
	t.Helper()
	for n := 0; ; n++ {
		if n == enough {
			c.kill(t)
		}
		line, whole := c.line()
		if !whole {
			if n < enough {
				t.Fatalf("got %d lines: %s", n, c.errs)
			}
			return
		}
		answered[line] = true
	}
}

// settle checks the books after the last kill, calls every key again, and checks
// them once more.
func (b *bank) settle(t *testing.T, mode semel.TxMode, answered map[string]bool) {
	t.Helper()
	const unlike = ` (SELECT count(*) FROM ledger AS l WHERE l.entry = s.key) <> (s.state = 2)`
	if got := look(t, b.path, "SELECT count(*) FROM "+b.table("slots")+" AS s WHERE"+unlike); got != 0 {
		t.Errorf("got %d slots whose record is not what the ledger says", got)
	}
	if got := look(t, b.path, "SELECT count(*) FROM ledger WHERE entry NOT IN (SELECT key FROM "+b.table("slots")+" WHERE state = 2)"); got != 0 {
		t.Errorf("got %d entries without a record", got)
	}
	for id := range answered {
		if !strings.HasPrefix(id, "key-") {
			t.Fatalf("got a line %q", id)
		}
		b.wantBooked(id, 1)
	}
	e, err := hastyEngine(b.Store)
	b.must(err)
	defer func() { _ = e.Close(uncancelled()) }()
	for n := range callKeys {
		id := fmt.Sprint("key-", n)
		got, err := callTx(e, b.transactions(mode), id)
		for err != nil && passes(err) { // as a killed process is, until its lease is over
			time.Sleep(20 * time.Millisecond)
			got, err = callTx(e, b.transactions(mode), id)
		}
		if err != nil || got.Value != "booked "+id || answered[id] && !got.Replayed {
			t.Fatalf("%s: got %+v, error %v, want it booked", id, got, err)
		}
	}
	if got := b.total(); got != callKeys {
		t.Errorf("got %d entries, want %d", got, callKeys)
	}
	for n := range callKeys {
		b.wantBooked(fmt.Sprint("key-", n), 1)
	}
}
