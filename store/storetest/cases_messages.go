package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// messageCases check that texts go from one process to the others. A text may be lost, so what
// is to arrive is sent again and again.
var messageCases = []testCase{
	{
		"messages/arrive",
		"L3: all who listen hear the texts that are sent, as they were, up to MaxMessageLen bytes.",
		func(k *kit) {
			m := need[semel.Messenger](k)
			one, two := k.listen(m), k.listen(m)
			defer one.cancel() // when the case ends early
			defer two.cancel()
			for _, text := range []string{printable(95), printable(semel.MaxMessageLen), "1"} {
				k.arrives(m, text, one, two)
			}
			one.stop()
			two.stop()
		},
	},
	{
		"messages/nobody",
		"L3: sending needs nobody who listens, and waits for nobody.",
		func(k *kit) {
			m := need[semel.Messenger](k)
			k.must("send", m.Send(k.Context(), "nobody listens"))
			gate := make(chan struct{})
			open := sync.OnceFunc(func() { close(gate) })
			defer open()
			slow := k.listenWith(m, gate)
			defer slow.cancel()
			for range 100 {
				k.must("send", m.Send(k.Context(), "he is slow"))
			}
			open()
			k.arrives(m, "not any more", slow)
			slow.stop()
		},
	},
	{
		"messages/end",
		"L3: who listens ends with his context, whatever is sent, and hears nothing after that.",
		func(k *kit) {
			m := need[semel.Messenger](k)
			l, other := k.listen(m), k.listen(m)
			defer l.cancel()
			defer other.cancel()
			k.arrives(m, "before", l, other)
			l.stop()
			heard := len(l.texts)
			k.arrives(m, "after", other)
			if len(l.texts) != heard {
				k.Errorf("listen: got a text after it had returned")
			}
			other.stop()
		},
	},
	{
		"messages/wake",
		"L3: who waits in one engine is woken by the hint of another one that the attempt has ended (Config.Hints).",
		func(k *kit) {
			k.listen(need[semel.Messenger](k)).stop() // or the store cannot here
			woken := false
			here, closeHere := k.hinting(nil)
			defer closeHere()
			there, closeThere := k.hinting(&woken)
			defer closeThere()
			for try := 0; !woken; try++ { // a poll may be faster, but not each time
				if try == 20 {
					k.Fatalf("of %d waits none was ended by a hint", try)
				}
				call := semel.Call{Key: semel.Key{Scope: scope, ID: fmt.Sprint("hinted ", try)}}
				first, err := here.Begin(k.Context(), call)
				k.must("begin", err)
				call.Wait = semel.MaxWait
				var waiter sync.WaitGroup
				waiter.Go(func() {
					out, err := there.Begin(k.Context(), call)
					if err != nil || out.Kind != semel.Replay {
						k.Errorf("wait: got %v and error %v, want a replay", out.Kind, err)
					}
				})
				time.Sleep(hintPause)
				k.must("complete", first.Claim.Complete(k.Context(), answer("here")))
				waiter.Wait()
			}
		},
	},
}

// hintPause is for how long an attempt runs for which somebody waits: polls are rare by then.
const hintPause = 250 * time.Millisecond

// hinting is an engine with hints, which tells when one has ended a wait. It listens. The func
// closes it.
func (k *kit) hinting(woken *bool) (*semel.Engine, func()) {
	k.Helper()
	e, err := semel.New(k.store, semel.Config{
		Hints: true, Logger: slog.New(slog.DiscardHandler),
		Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			return ctx, func(ev semel.Event) {
				if op.Step == semel.StepWait && ev.Woke == semel.WakeHint {
					*woken = true
				}
			}
		},
	})
	k.must("new engine", err)
	out, err := e.Begin(k.Context(), semel.Call{Key: semel.Key{Scope: scope, ID: semel.NewToken().String()}})
	k.must("begin", err)
	k.must("release", out.Claim.Release(k.Context()))
	for deadline := time.Now().Add(patience); !e.Hearing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			_ = e.Close(k.Context())
			k.Fatalf("the engine never hears")
		}
	}
	return e, func() { k.must("close", e.Close(context.WithoutCancel(k.Context()))) }
}

// patience is for what a test waits for: more than any store needs.
const patience = 30 * time.Second

// listener is one who listens until stop.
type listener struct {
	k      *kit
	texts  chan string
	cancel context.CancelFunc
	done   chan error
}

func (k *kit) listen(m semel.Messenger) *listener { return k.listenWith(m, nil) }

// listenWith is listen for one who, with a gate, hears nothing before that is closed.
func (k *kit) listenWith(m semel.Messenger, gate <-chan struct{}) *listener {
	k.Helper()
	ctx, cancel := context.WithCancel(k.Context())
	l := &listener{k: k, texts: make(chan string, 10000), cancel: cancel, done: make(chan error, 1)}
	ready := make(chan struct{}, 1)
	go func() {
		l.done <- m.Listen(ctx, func() {
			select {
			case ready <- struct{}{}:
			default: // it says so again
			}
		}, func(text string) {
			if gate != nil {
				<-gate
			}
			select {
			case l.texts <- text:
			default: // nobody reads them any more
			}
		})
	}()
	select {
	case <-ready:
	case err := <-l.done:
		if errors.Is(err, errors.ErrUnsupported) {
			k.Skipf("nobody can listen here: %v", err)
		}
		k.Fatalf("listen: got error %v, want that it hears", err)
	case <-time.After(patience):
		k.Fatalf("listen: it is never ready")
	}
	return l
}

// stop ends the context, and waits for the listening to end.
func (l *listener) stop() {
	l.k.Helper()
	l.cancel()
	select {
	case err := <-l.done:
		if err == nil {
			l.k.Errorf("listen: got no error at its end, want why it ended")
		}
	case <-time.After(patience):
		l.k.Fatalf("listen: it goes on after its context has ended")
	}
}

// arrives sends text until all have heard it.
func (k *kit) arrives(m semel.Messenger, text string, all ...*listener) {
	k.Helper()
	deadline := time.Now().Add(patience)
	for _, l := range all {
		for heard := false; !heard; {
			if time.Now().After(deadline) {
				k.Fatalf("send: a text of %d bytes never arrives as it was sent", len(text))
			}
			k.must("send", m.Send(k.Context(), text))
			heard = l.hears(text, time.Now().Add(100*time.Millisecond))
		}
	}
}

// hears reports whether text is among what comes until then.
func (l *listener) hears(text string, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case got := <-l.texts:
			if got == text {
				return true
			}
		case <-timer.C:
			return false
		}
	}
}

// printable is a text of all printable characters of ASCII, again and again.
func printable(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte(byte(' ' + i%95))
	}
	return b.String()
}
