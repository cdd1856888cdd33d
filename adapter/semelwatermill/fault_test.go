package semelwatermill_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

// faulty loses or refuses steps of a store.
type faulty struct {
	semel.Store
	complete func(semel.Completion) error // instead of, when not nil
	reserve  error
	release  error
}

func (f *faulty) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	if f.release != nil {
		return f.release
	}
	return f.Store.Release(ctx, key, token)
}

func (f *faulty) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if f.reserve != nil {
		return semel.Record{}, f.reserve
	}
	return f.Store.Reserve(ctx, r)
}

func (f *faulty) Complete(ctx context.Context, c semel.Completion) error {
	if f.complete != nil {
		if err := f.complete(c); err != nil {
			return err
		}
	}
	return f.Store.Complete(ctx, c)
}

// I14: what is not stored is neither published nor acknowledged. The engine goes on storing it, and
// a later delivery publishes what the handler has produced once.
func TestNotStoredIsNotAcknowledged(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	store := &faulty{Store: memstore.New(memstore.Config{}), complete: func(semel.Completion) error {
		if down.Load() {
			return errLine
		}
		return nil
	}}
	e := newEngine(t, store, semel.Config{CompleteTimeout: 50 * time.Millisecond})
	refusals := make(chan error, 1000)
	var runs atomic.Int64
	r := start(t, func(*message.Message) ([]*message.Message, error) {
		return []*message.Message{order("r1", fmt.Sprint(runs.Add(1)))}, nil
	}, refusalsTo(refusals), guard(t, e, semelwatermill.Config{}).Middleware)
	r.send(order("m1", "x"))
	if err := <-refusals; !errors.Is(err, semel.ErrNotStored) || semelwatermill.Terminal(err) {
		t.Errorf("got %v, want that it is not stored yet", err)
	}
	if got := r.receipts(); len(got) != 0 {
		t.Errorf("got %v published before it was stored", got)
	}
	down.Store(false)
	r.settled(1)
	wantSame(t, r.receipts(), []*message.Message{order("r1", "1")}, 1)
}

// I12: an attempt that was overtaken publishes what was kept, and never its own.
func TestLost(t *testing.T) {
	var theirs semel.Response
	store := memstore.New(memstore.Config{})
	e := newEngine(t, store, semel.Config{})
	mw := guard(t, e, semelwatermill.Config{})
	overtaken := func(keep bool) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			c := semel.FromContext(msg.Context())
			if err := store.Release(msg.Context(), c.Key(), c.Token()); err != nil {
				t.Error(err)
			}
			out, err := e.Begin(msg.Context(), semel.Call{Key: c.Key(), Fingerprint: c.Fingerprint()})
			if err != nil || out.Kind != semel.Reserved {
				t.Fatalf("got %v, %v", out.Kind, err)
			}
			if keep {
				if err := out.Claim.Complete(msg.Context(), theirs); err != nil {
					t.Error(err)
				}
			}
			return []*message.Message{order("mine", "")}, nil
		}
	}
	theirs, err := semelwatermill.Encode(order("theirs", ""))
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := inHandler(mw.Middleware(overtaken(true)))(order("m1", "x"))
	if err != nil || len(msgs) != 1 || msgs[0].UUID != "theirs" {
		t.Errorf("got %v, %v, want what was kept", msgs, err)
	}
	msgs, err = inHandler(mw.Middleware(overtaken(false)))(order("m2", "x"))
	if !errors.Is(err, semel.ErrOutcomeUnknown) || !errors.Is(err, semel.ErrLost) || msgs != nil {
		t.Errorf("got %v, %v, want that nothing is known", msgs, err)
	}
}

// A store that fails lets nothing run, and says so as it is: it is no refusal of the message.
func TestStoreFails(t *testing.T) {
	mw := guard(t, newEngine(t, &faulty{Store: memstore.New(memstore.Config{}), reserve: errLine}, semel.Config{}), semelwatermill.Config{})
	_, err := inHandler(mw.Middleware(never(t)))(order("m1", "x"))
	if _, ok := errors.AsType[*semel.StoreError](err); !ok || semelwatermill.Terminal(err) {
		t.Errorf("got %v, want the store's error", err)
	}
}

// That a key is not free yet is told; that it was not this attempt's any more does not matter.
func TestReleaseFails(t *testing.T) {
	for failure, told := range map[error]bool{errLine: true, semel.ErrLost: false} {
		store := &faulty{Store: memstore.New(memstore.Config{}), release: failure}
		mw := guard(t, newEngine(t, store, semel.Config{}), semelwatermill.Config{})
		_, err := inHandler(mw.Middleware(func(*message.Message) ([]*message.Message, error) {
			return nil, semel.Retryable(errDeclined)
		}))(order("m1", "x"))
		if !errors.Is(err, errDeclined) || errors.Is(err, failure) != told {
			t.Errorf("%v: got %v", failure, err)
		}
		msgs, err := inHandler(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
			semel.FromContext(msg.Context()).Settle(semel.Free)
			return []*message.Message{order("r1", "")}, nil
		}))(order("m2", "x"))
		if errors.Is(err, errLine) != told || (msgs == nil) != told {
			t.Errorf("%v, no error: got %v, %v", failure, msgs, err)
		}
	}
}
