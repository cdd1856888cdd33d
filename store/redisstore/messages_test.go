package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
	"github.com/semel-go/semel/store/storetest"
)

// ear is one who listens.
type ear struct {
	ready chan struct{}
	heard chan string
	done  chan error
}

func listen(ctx context.Context, s semel.Messenger) *ear {
	e := &ear{make(chan struct{}, 9), make(chan string, 99), make(chan error, 1)}
	go func() {
		e.done <- s.Listen(ctx, func() { e.ready <- struct{}{} }, func(text string) { e.heard <- text })
	}()
	return e
}

// Stores of other prefixes hear nothing of each other, on one server and in a cluster.
func TestMessagesStayWithTheirPrefix(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"server": servertest.Redis(t).DSN(), "cluster": clusterURL(servertest.NewRedisCluster(t, 2))} {
		one := open(t, url, redisstore.Config{Prefix: servertest.Name(t) + name})
		two := open(t, url, redisstore.Config{Prefix: servertest.Name(t) + name + "2"})
		l := listen(t.Context(), one)
		<-l.ready
		must(t, "send", two.Send(t.Context(), "of two"))
		must(t, "send", one.Send(t.Context(), "of one"))
		if got := <-l.heard; got != "of one" {
			t.Errorf("%s: got %q, want what its own prefix was told", name, got)
		}
	}
}

// L3: when the server cuts who listens, waits are served, and the listening comes back.
func TestHintsComeBack(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	c := admin(t, server.Addr())
	s := open(t, server.DSN(), redisstore.Config{})
	engine := func() *semel.Engine {
		e, err := semel.New(s, semel.Config{Hints: true, Logger: slog.New(slog.DiscardHandler)})
		must(t, "new", err)
		t.Cleanup(func() { must(t, "close", e.Close(context.WithoutCancel(t.Context()))) })
		return e
	}
	here, there := engine(), engine()
	for i := range 3 {
		call := semel.Call{Key: semel.Key{Scope: "t", ID: fmt.Sprint(i)}}
		first, err := here.Begin(t.Context(), call)
		must(t, "begin", err)
		done := make(chan semel.Outcome, 1)
		go func() {
			call.Wait = semel.MaxWait
			out, err := there.Begin(context.WithoutCancel(t.Context()), call)
			if err != nil {
				t.Error(err)
			}
			done <- out
		}()
		until(t, "both hear", func() bool { return here.Hearing() && there.Hearing() })
		cut, err := c.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int()
		if err != nil || cut != 2 {
			t.Fatalf("%d connections listened (%v), want 2", cut, err)
		}
		must(t, "complete", first.Claim.Complete(t.Context(), semel.Response{Status: 200}))
		if out := <-done; out.Kind != semel.Replay {
			t.Errorf("got %v, want a replay", out.Kind)
		}
	}
	until(t, "both hear again", func() bool { return here.Hearing() && there.Hearing() })
}

// A user without the right to the channel is told so, and serves.
func TestListenWithoutTheRight(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	c := admin(t, server.Addr())
	prefix := servertest.Name(t)
	user := func(name string, rules ...any) *redisstore.Store {
		must(t, "acl", c.Do(t.Context(), append([]any{"ACL", "SETUSER", name, "on", ">secret", "~" + prefix + "*", "+@all", "resetchannels"}, rules...)...).Err())
		return open(t, fmt.Sprintf("redis://%s:secret@%s", name, server.Addr()), redisstore.Config{Prefix: prefix})
	}
	s := user("deaf")
	for step, err := range map[string]error{
		"listen": s.Listen(t.Context(), func() { t.Error("it is ready") }, func(string) {}),
		"send":   s.Send(t.Context(), "text"),
	} {
		if err == nil || !strings.Contains(err.Error(), "redisstore: "+step) || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%s: got %v, want NOPERM", step, err)
		}
	}
	s = user("hearing", "&"+prefix+"{hints}")
	l := listen(t.Context(), s)
	<-l.ready
	must(t, "send", s.Send(t.Context(), "text"))
	<-l.heard
}

// Close ends who listens, and nobody listens or sends after it.
func TestCloseEndsListening(t *testing.T) {
	t.Parallel()
	client := admin(t, servertest.Redis(t).Addr()) // which stays open
	s, err := redisstore.New(client, redisstore.Config{Prefix: servertest.Name(t), Logger: slog.New(slog.DiscardHandler)})
	must(t, "new", err)
	l := listen(context.WithoutCancel(t.Context()), s)
	<-l.ready
	must(t, "close", s.Close())
	var listened error
	until(t, "who listened has ended", func() bool {
		select {
		case listened = <-l.done:
			return true
		default:
			return false
		}
	})
	for what, err := range map[string]error{
		"who listened": listened, "listen": s.Listen(t.Context(), func() {}, func(string) {}), "send": s.Send(t.Context(), "text"),
	} {
		if !errors.Is(err, redisstore.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", what, err)
		}
	}
}

// go test -run '^$' -bench Hints -benchtime 30x.
func BenchmarkHints(b *testing.B) {
	server := servertest.NewRedis(b)
	prefix := servertest.Name(b)
	storetest.BenchmarkHints(b, open(b, server.DSN(), redisstore.Config{Prefix: prefix}), open(b, server.DSN(), redisstore.Config{Prefix: prefix}))
}
