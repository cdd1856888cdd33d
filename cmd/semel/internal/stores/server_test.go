package stores

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// weather is a store whose server is down, unfit, or well. The stores' own
// tests have real servers; here only the gate before them is tested.
type weather struct {
	*memstore.Store

	mu         sync.Mutex
	down       error // of every step
	unfit      error // of Validate
	rigid      error // of Migrate
	migrations int
	closed     bool
}

func (w *weather) set(down, unfit error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.unfit = down, unfit
}

func (w *weather) Migrate(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.migrations++
	return errors.Join(w.down, w.rigid)
}

func (w *weather) Validate(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.down, w.unfit)
}

func (w *weather) Ping(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

func (w *weather) Inspect(context.Context) (semel.Inspection, error) {
	return semel.Inspection{}, w.down
}

func (w *weather) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

// lockedLog is a log that several goroutines write to.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func probe(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "s", ID: id}, Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour,
	}
}

var (
	errDown  = errors.New("no route to the server")
	errUnfit = semel.Unfit([]semel.Finding{{Name: "policy", Value: "lru", Level: semel.Broken, Advice: "It evicts records."}})
)

// A service starts while its server is down, refuses, and serves when the server
// is there, without a restart (L4).
func TestGateOpensWhenTheServerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{Store: memstore.New(memstore.Config{}), down: errDown}
		log := new(lockedLog)
		opened, err := openServer(t.Context(), w, Options{Use: Serve, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		pinger, _ := semel.As[semel.Pinger](opened.Store)
		purger, _ := semel.As[semel.Purger](opened.Store)
		for range 3 {
			if _, err := opened.Store.Reserve(t.Context(), probe("a")); !errors.Is(err, errDown) {
				t.Errorf("got %v, want why the store cannot be used", err)
			}
			if n, err := purger.Purge(t.Context(), 10); n != 0 || err != nil {
				t.Errorf("purge: got %d and %v, want nothing done", n, err)
			}
			if err := pinger.Ping(t.Context()); !errors.Is(err, errDown) {
				t.Errorf("ping: got %v, want why the store cannot be used", err)
			}
			time.Sleep(time.Minute)
		}
		if n := log.count("cannot be used yet"); n != 1 {
			t.Errorf("the same trouble is logged %d times, want once", n)
		}
		w.set(nil, errUnfit)
		time.Sleep(time.Minute)
		if _, err := opened.Store.Reserve(t.Context(), probe("a")); !errors.Is(err, errUnfit) || log.count("evicts") != 1 {
			t.Errorf("got %v and %d lines, want the new trouble, once", err, log.count("evicts"))
		}
		w.set(nil, nil)
		time.Sleep(time.Minute)
		if _, err := opened.Store.Reserve(t.Context(), probe("a")); err != nil {
			t.Errorf("got %v, want an open gate", err)
		}
		if err := pinger.Ping(t.Context()); err != nil || log.count("can be used now") != 1 {
			t.Errorf("got %v and %d lines that say so", err, log.count("can be used now"))
		}
		w.set(errDown, nil)
		time.Sleep(time.Minute)
		if _, err := opened.Store.Reserve(t.Context(), probe("b")); err != nil {
			t.Errorf("got %v: an open gate is not closed again, the store's own steps fail", err)
		}
		if _, ok := semel.As[semel.Renewer](opened.Store); !ok {
			t.Error("the gate hides what the store can do")
		}
		if err := opened.Close(); err != nil || !w.closed {
			t.Errorf("got %v, closed %v", err, w.closed)
		}
	})
}

// A closed gate that never opened leaves nothing behind.
func TestGateClosesWhileItTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{Store: memstore.New(memstore.Config{}), down: errDown}
		opened, err := openServer(t.Context(), w, Options{Use: Serve, NoMigrate: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil || !w.closed || w.migrations != 0 {
			t.Errorf("got %v, closed %v, %d migrations", err, w.closed, w.migrations)
		}
	})
}

// A server that cannot be migrated because of what it is, a replica for example,
// ends the start and says both.
func TestServerThatCannotBeMigrated(t *testing.T) {
	rigid := errors.New("read-only")
	w := &weather{Store: memstore.New(memstore.Config{}), rigid: rigid, unfit: errUnfit}
	_, err := openServer(t.Context(), w, Options{Use: Serve, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, rigid) || !errors.Is(err, errUnfit) {
		t.Errorf("got %v, want why it cannot be migrated and what it is", err)
	}
}

// A server that answers and is not fit ends the start; so does any trouble for
// an operator's command, but not for an examination.
func TestUnfitServer(t *testing.T) {
	for _, row := range []struct {
		use         Use
		down, unfit error
		want        error
	}{
		{Serve, nil, errUnfit, errUnfit},
		{Look, nil, errUnfit, errUnfit},
		{Change, errDown, nil, errDown},
		{Look, errDown, nil, errDown},
		{Examine, errDown, errUnfit, nil},
		{Serve, nil, nil, nil},
	} {
		w := &weather{Store: memstore.New(memstore.Config{}), down: row.down, unfit: row.unfit}
		opened, err := openServer(t.Context(), w, Options{Use: row.use, Logger: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("use %d: got %v, want %v", row.use, err, row.want)
		}
		if err == nil {
			err = opened.Close()
		} else {
			err = nil
		}
		if err != nil || !w.closed {
			t.Errorf("use %d: got %v, closed %v", row.use, err, w.closed)
		}
		if (w.migrations > 0) != (row.use == Serve) {
			t.Errorf("use %d: got %d migrations", row.use, w.migrations)
		}
	}
}
