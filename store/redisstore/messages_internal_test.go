package redisstore

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
)

// L3: a server that falls silent without a word is left, and one that has nothing to say is not.
func TestListenToASilentServer(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, servertest.Redis(t).Addr())
	s, err := Open(t.Context(), "redis://"+link.Addr(), Config{Prefix: servertest.Name(t), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	s.silence = 50 * time.Millisecond
	ready, heard, done := make(chan struct{}, 1), make(chan string, 1), make(chan error, 1)
	go func() {
		done <- s.Listen(context.WithoutCancel(t.Context()), func() { ready <- struct{}{} }, func(text string) { heard <- text })
	}()
	<-ready
	select {
	case err := <-done:
		t.Fatalf("it has left a server that answers: %v", err)
	case <-time.After(10 * s.silence):
	}
	if err := s.Send(t.Context(), "text"); err != nil {
		t.Fatal(err)
	}
	<-heard
	link.Blackhole()
	select {
	case err := <-done:
		if err == nil {
			t.Error("got no error, want why it has left")
		}
	case <-time.After(30 * time.Second):
		t.Error("it listens to a silent server")
		link.Cut()
	}
	link.Heal()
}
