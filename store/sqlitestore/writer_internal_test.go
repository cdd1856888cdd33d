package sqlitestore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

func openInternal(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "semel.db"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func attempt(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "s", ID: id}, Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour,
	}
}

// A step that cannot be done, by its own mistake or by SQLite's verdict on its
// statement, takes nothing from those that share its transaction.
func TestBatchOutlivesABadStep(t *testing.T) {
	s := openInternal(t)
	var results []error
	var steps []*pending
	runs := 0
	add := func(run func(*tx) error) { steps = append(steps, &pending{run: run}) }
	for i := range 3 {
		add(func(x *tx) error {
			r := attempt(fmt.Sprint("good ", i))
			_, err := x.Reserve(r.Key.Slot(), r)
			return err
		})
		add(func(x *tx) error { // violates CHECK (length(slot) = 32)
			runs++
			_, err := x.reserve.exec([]byte("short"), "s", "k", make([]byte, 32), make([]byte, 16), int64(1), int64(1), "", int64(1), int64(1), false)
			return err
		})
		add(func(x *tx) error { // a step of two statements that fails after the first
			if _, err := x.keep(semel.Slot{}, semel.Response{Body: []byte("stray")}); err != nil {
				return err
			}
			return errors.New("a mistake of ours")
		})
	}
	commitDirectly(t, s, steps)
	for _, p := range steps {
		results = append(results, p.err)
	}
	for i, err := range results {
		if good := i%3 == 0; good != (err == nil) {
			t.Errorf("step %d: got %v", i, err)
		}
	}
	if runs != 3 {
		t.Errorf("got %d runs of the bad steps, want one each", runs)
	}
	conn := s.writer.conn
	if n, err := conn.integer("SELECT count(*) FROM slots"); err != nil || n != 3 {
		t.Errorf("got %d slots (%v), want the 3 good ones", n, err)
	}
	if n, err := conn.integer("SELECT count(*) FROM bodies"); err != nil || n != 0 {
		t.Errorf("got %d bodies (%v), want none", n, err)
	}
}

// commitDirectly runs one batch from the test, which is safe while nobody else
// has queued anything: the writer's goroutine waits.
func commitDirectly(t *testing.T, s *Store, steps []*pending) {
	t.Helper()
	b := &batch{steps: steps, done: make(chan struct{})}
	q := s.writer.queue
	q.mu.Lock()
	q.batches = append(q.batches, b)
	q.mu.Unlock()
	q.signal()
	<-b.done
}

// A transaction that is left open, or a connection that is gone, is mended
// before the next batch.
func TestWriterMendsItsConnection(t *testing.T) {
	s := openInternal(t)
	for name, harm := range map[string]func(*tx) error{
		"commits in the middle":    func(x *tx) error { _, err := x.commit.exec(); return err },
		"rolls back in the middle": func(x *tx) error { _, err := x.rollback.exec(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.writer.do(0, harm); err == nil {
				t.Error("got nil from a transaction that was taken away, want an error")
			}
			r := attempt(name)
			held, err := s.Reserve(t.Context(), r)
			if err != nil || held.Token != r.Token {
				t.Errorf("got %v (%v), want the next step to succeed", held, err)
			}
		})
	}
}

// A batch has bounds in steps and in bytes.
func TestBatchIsBounded(t *testing.T) {
	q := newQueue()
	for range 2*maxBatchSteps + 1 {
		if _, err := q.add(10, &pending{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(q.batches); got != 3 {
		t.Errorf("got %d batches of small steps, want 3", got)
	}
	q = newQueue()
	for range 4 {
		if _, err := q.add(maxBatchBytes/2+1, &pending{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(q.batches); got != 4 {
		t.Errorf("got %d batches of large steps, want 4", got)
	}
}

// What an error says about the steps beside it, by the codes of
// https://www.sqlite.org/rescode.html.
func TestDamageOf(t *testing.T) {
	if got := damageOf(errors.New("ours")); got != step {
		t.Errorf("got %d for an error that is not SQLite's, want only the step", got)
	}
	s := openInternal(t)
	_, err := s.writer.conn.integer("SELECT * FROM nowhere")
	if got := damageOf(err); got != transaction {
		t.Errorf("got %d for %v, want the transaction", got, err)
	}
}

// I2, I9: what is reserved or kept by the time of the deletion stays, whatever
// the search found.
func TestPurgeLooksAgain(t *testing.T) {
	s := openInternal(t)
	over, reserved, kept := attempt("over"), attempt("reserved"), attempt("kept")
	over.Retention, reserved.Retention = -time.Hour, -time.Hour
	var deleted int
	err := s.writer.do(0, func(x *tx) error {
		for _, r := range []semel.Reservation{over, reserved, kept} { // ids 1, 2, 3
			if _, err := x.Reserve(r.Key.Slot(), r); err != nil {
				return err
			}
		}
		if _, err := x.Release(over.Key.Slot(), over.Token); err != nil {
			return err
		}
		done := semel.Completion{Key: kept.Key, Token: kept.Token}
		if _, err := x.Complete(kept.Key.Slot(), done); err != nil {
			return err
		}
		var err error
		deleted, err = x.Purge([]int64{1, 2, 3})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if deleted != 1 {
		t.Errorf("got %d purged, want only the one that is over", deleted)
	}
}

// After a failed sync the log must outlive the store, for the next Open to copy
// all of it: pages that the disk refused once look clean to the next sync.
func TestPoisonedStoreKeepsItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "semel.db")
	r := attempt("k")
	for _, poisoned := range []bool{true, false} {
		s, err := Open(path, Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		held, err := s.Reserve(t.Context(), r)
		if err != nil || held.Token != r.Token {
			t.Fatalf("got %v (%v), want the reservation", held.Token, err)
		}
		if poisoned {
			_ = s.writer.poison(errors.New("the disk refuses to sync"))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		log, err := os.Stat(path + "-wal")
		if kept := err == nil && log.Size() > 0; kept != poisoned {
			t.Errorf("poisoned %v: got log %v (%v)", poisoned, log, err)
		}
	}
}
