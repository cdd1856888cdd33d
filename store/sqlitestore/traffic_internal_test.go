package sqlitestore

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// outsider opens a connection that knows nothing of turns, and begins to write.
func outsider(t *testing.T, s *Store) *conn {
	t.Helper()
	c, err := dial(s.database, readWrite, "busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	execute(t, c, "BEGIN IMMEDIATE")
	return c
}

func execute(t *testing.T, c *conn, text string) {
	t.Helper()
	if err := c.script(text); err != nil {
		t.Fatal(err)
	}
}

func reserve(t *testing.T, s *Store, r semel.Reservation) semel.Record {
	t.Helper()
	held, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func (q *queue) isStalled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stalled
}

// another is the same request in another attempt, which takes over what it may.
func another(r semel.Reservation) semel.Reservation {
	r.Token, r.TakeOver = semel.NewToken(), true
	return r
}

// A reservation of a slot that is held or completed does not wait for whoever
// writes. What it was answered is all that happens: although it was in the writer's
// queue, it does not take the slot over later, when it might (I12).
func TestAnsweredWithoutTheWriter(t *testing.T) {
	s := openInternal(t)
	running, done := attempt("running"), attempt("done")
	held := reserve(t, s, running)
	reserve(t, s, done)
	if err := s.Complete(t.Context(), semel.Completion{Key: done.Key, Token: done.Token}); err != nil {
		t.Fatal(err)
	}
	other := outsider(t, s)
	for range 20 {
		got := reserve(t, s, another(done))
		if got.State != semel.StateCompleted || got.Token != done.Token {
			t.Errorf("completed: got %+v, want the response", got)
		}
		if !s.writer.queue.isStalled() {
			t.Fatal("got the answer when the writer had given up, want it before")
		}
		if got = reserve(t, s, running); got.Token != running.Token {
			t.Errorf("repeated: got %+v, want the reservation", got)
		}
		if got = reserve(t, s, another(running)); got.Token != running.Token || got.Lapsed {
			t.Fatalf("running: got %+v, want it as it was", got)
		}
	}
	s.clock.mu.Lock()
	s.clock.last += micros(2 * running.Lease) // now they might take it over
	s.clock.mu.Unlock()
	fresh := make(chan semel.Record)
	go func() {
		got, _ := s.Reserve(t.Context(), attempt("fresh"))
		fresh <- got
	}()
	execute(t, other, "COMMIT")
	if got := <-fresh; got.State != semel.StateReserved {
		t.Errorf("fresh: got %+v, want a reservation", got)
	}
	late := another(running)
	late.TakeOver = false
	if got := reserve(t, s, late); got.Token != running.Token || got.Attempts != 1 || got.Fence != held.Fence {
		t.Errorf("got %+v, want the first attempt still", got)
	}
}

// When somebody writes for too long, steps fail, and go on afterwards. Reservations
// are answered all the while, if they need not write.
func TestWriterGivesUp(t *testing.T) {
	for name, hold := range map[string]func(*testing.T, *Store) func(){
		"an outsider": func(t *testing.T, s *Store) func() {
			t.Helper()
			c := outsider(t, s)
			return func() { execute(t, c, "ROLLBACK") }
		},
		"a transaction in turn": func(t *testing.T, s *Store) func() {
			t.Helper()
			if !s.traffic.tryTurn() {
				t.Fatal("somebody has the turn")
			}
			return s.traffic.endTurn
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openInternal(t)
			s.traffic.wait = 30 * time.Millisecond
			r := attempt("a")
			reserve(t, s, r)
			release := hold(t, s)
			for range 2 {
				if err := s.Release(t.Context(), r.Key, r.Token); !isBusy(err) {
					t.Errorf("release: got error %v, want one that the file is busy", err)
				}
				if _, err := s.Reserve(t.Context(), attempt("b")); !isBusy(err) {
					t.Errorf("reserve: got error %v, want one that the file is busy", err)
				}
				if _, err := s.Look(t.Context(), r.Key); !isBusy(err) {
					t.Errorf("look: got error %v, want one that the file is busy", err)
				}
			}
			if got := reserve(t, s, another(r)); got.Token != r.Token {
				t.Errorf("got %+v, want the reservation", got)
			}
			release()
			if err := s.Release(t.Context(), r.Key, r.Token); err != nil {
				t.Error(err)
			}
		})
	}
}

// A transaction whose turn does not come may be tried again, and leaves no trace in
// the traffic.
func TestTransactionGivesUp(t *testing.T) {
	s := openInternal(t)
	s.traffic.wait = 10 * time.Millisecond
	db, err := sql.Open("sqlite", "file:"+s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	txs, err := s.Transactions(db, TxConfig{Mode: semel.SingleTx})
	if err != nil {
		t.Fatal(err)
	}
	if !s.traffic.tryTurn() {
		t.Fatal("somebody has the turn")
	}
	r := attempt("a")
	for range 2 {
		x, err := txs.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Reserve(t.Context(), r); err == nil || !txs.Again(err) {
			t.Errorf("got error %v, want one after which to try again", err)
		}
		if !s.traffic.works(r.Key.Slot()) {
			t.Error("got no transaction at work, want one")
		}
		x.Rollback(t.Context())
	}
	s.traffic.endTurn()
	if got := len(s.traffic.atWork); got != 0 {
		t.Errorf("got %d slots at work, want none", got)
	}
	x, err := txs.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Rollback(t.Context())
	if held, err := x.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Errorf("got %+v, error %v, want the reservation", held, err)
	}
}

// Stores on one file share their traffic, under whatever name, and the last one
// takes it away.
func TestTrafficIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	first, err := Open(path, Config{Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(path))
	second, err := Open("app.db", Config{Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	if first.traffic != second.traffic {
		t.Error("got two traffics on one file, want one")
	}
	for _, s := range []*Store{first, second} {
		files.mu.Lock()
		got := files.each[first.file]
		files.mu.Unlock()
		if got != first.traffic {
			t.Error("got no traffic, want one as long as a store is open")
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	files.mu.Lock()
	defer files.mu.Unlock()
	if files.each[first.file] != nil {
		t.Error("got a traffic, want none without a store")
	}
}
