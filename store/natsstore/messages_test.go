package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
	"github.com/semel-go/semel/store/storetest"
)

// ear is one who listens.
type ear struct {
	ready chan struct{}
	heard chan string
	done  chan error
}

func listen(ctx context.Context, s semel.Messenger) *ear {
	e := &ear{make(chan struct{}, 9), make(chan string, 9999), make(chan error, 1)}
	go func() {
		e.done <- s.Listen(ctx, func() { e.ready <- struct{}{} }, func(text string) { e.heard <- text })
	}()
	return e
}

// Stores of other streams hear nothing of each other, and no stream keeps a text.
func TestMessagesStayWithTheirStream(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	one := open(t, server.URL(), natsstore.Config{Stream: servertest.Name(t)})
	two := open(t, server.URL(), natsstore.Config{Stream: servertest.Name(t) + "2"})
	l := listen(t.Context(), one)
	<-l.ready
	for _, s := range []*natsstore.Store{two, one} {
		if err := s.Send(t.Context(), fmt.Sprint("of one: ", s == one)); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-l.heard; got != "of one: true" {
		t.Errorf("got %q, want what its own stream was told", got)
	}
	for rec, err := range one.List(t.Context(), semel.Filter{}) {
		t.Errorf("the stream has %v (%v)", rec.Key, err)
	}
	for entry, err := range one.Trail(t.Context(), semel.AuditFilter{}) {
		t.Errorf("the trail has %v (%v)", entry.ID, err)
	}
}

// L3: who listens is told that the server is gone, while the context goes on; what is heard meanwhile
// would be nothing.
func TestListeningEndsWithTheServer(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := listen(ctx, open(t, server.URL(), natsstore.Config{}))
	<-l.ready
	server.Kill(t)
	if err := <-l.done; err == nil || !strings.Contains(err.Error(), "natsstore: listen: the connection is lost") {
		t.Errorf("got %v, want that the connection is lost", err)
	}
}

// Who has listened leaves no goroutine behind.
func TestListeningLeavesNothing(t *testing.T) { //nolint:paralleltest // it counts the goroutines of the process
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{})
	before := runtime.NumGoroutine()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Listen(ctx, cancel, func(string) {}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want that it was cancelled", err)
		}
	}
	natstest.Poll(t, "they are gone", func() error {
		if n := runtime.NumGoroutine(); n > before+10 {
			return fmt.Errorf("there are %d goroutines, %d before", n, before)
		}
		return nil
	})
}

// L3: an engine knows that it does not hear while the server is away, says so once, and hears again when
// that is back.
func TestListeningOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{})
	var log journal
	e, err := semel.New(s, semel.Config{Hints: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.WithoutCancel(t.Context())) })
	out, err := e.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "t", ID: "order-1"}}) // it listens
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Claim.Complete(t.Context(), semel.Response{Status: 200}); err != nil {
		t.Fatal(err)
	}
	hearing := func(want bool) {
		t.Helper()
		natstest.Poll(t, fmt.Sprint("hearing is ", want), func() error {
			if e.Hearing() != want {
				return errors.New(log.String())
			}
			return nil
		})
	}
	hearing(true)
	server.Kill(t)
	hearing(false)
	time.Sleep(time.Second) // in which it tries in vain
	server.Start(t)
	hearing(true)
	l := listen(t.Context(), s)
	<-l.ready
	if err := s.Send(t.Context(), "text"); err != nil {
		t.Fatal(err)
	}
	if got := <-l.heard; got != "text" {
		t.Errorf("heard %q, want the text", got)
	}
	lost, again := strings.Count(log.String(), "are not heard"), strings.Count(log.String(), "are heard again")
	if lost != 1 || again != 1 {
		t.Errorf("it said %d times that hints are not heard and %d times that they are, want once each: %s", lost, again, log.String())
	}
}

// journal is what an engine logs.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A user who may not listen is told so, and a store that is closed says that.
func TestListenInVain(t *testing.T) {
	t.Parallel()
	name := servertest.Name(t)
	server := natstest.Start(t, natstest.Options{User: "semel", Password: "s3cret", DenySubscribe: []string{name + ".hints.>"}})
	s := open(t, "nats://semel:s3cret@"+server.Addr(), natsstore.Config{Stream: name})
	err := s.Listen(t.Context(), func() {}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "natsstore: listen: ") || !strings.Contains(err.Error(), "ermissions") {
		t.Errorf("got %v, want that it may not", err)
	}
	other := open(t, "nats://semel:s3cret@"+server.Addr(), natsstore.Config{Stream: name + "2"})
	l := listen(context.WithoutCancel(t.Context()), other)
	<-l.ready
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"who listened": <-l.done, "listen": other.Listen(t.Context(), func() {}, func(string) {}), "send": other.Send(t.Context(), "text"),
	} {
		if !errors.Is(err, natsstore.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", what, err)
		}
	}
}

// go test -run '^$' -bench Hints -benchtime 30x.
func BenchmarkHints(b *testing.B) {
	server := natstest.Start(b, natstest.Options{})
	stream := servertest.Name(b)
	storetest.BenchmarkHints(b, open(b, server.URL(), natsstore.Config{Stream: stream}), open(b, server.URL(), natsstore.Config{Stream: stream}))
}
