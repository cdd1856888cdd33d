package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// L3: who listens hears again when the server is back, without listening anew.
func TestListeningOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{})
	l := listen(t.Context(), s)
	<-l.ready
	server.Kill(t)
	natstest.Poll(t, "it is noticed", func() error {
		if err := s.Send(t.Context(), "nobody"); err == nil {
			return errors.New("a text was sent to nobody")
		}
		return nil
	})
	server.Start(t)
	natstest.Poll(t, "a text arrives", func() error {
		if err := s.Send(t.Context(), "text"); err != nil {
			return err
		}
		select {
		case <-l.heard:
			return nil
		case err := <-l.done:
			t.Fatalf("it listens no more: %v", err)
			return err
		case <-time.After(100 * time.Millisecond):
			return errors.New("nothing heard")
		}
	})
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
