package operator_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

func TestReleaseFreesTheKeyAndLeavesATrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		if err := o.desk.Release(t.Context(), decide(rec)); err != nil {
			t.Fatal(err)
		}
		now := o.at(rec)
		if now.State != semel.StateFree || now.Reason != "ann@bank: no charge at the provider" {
			t.Errorf("got a %s record with the reason %q, want a free one, signed", now.State, now.Reason)
		}
		first := semel.AuditEntry{
			ID: 1, Actor: "ann@bank", Action: semel.ActionRelease, Key: rec.Key, Fence: rec.Fence, Reason: "no charge at the provider",
		}
		second := first
		second.ID, second.Begun, second.Result = 2, 1, semel.AuditDone
		if got := o.trail(); !slices.Equal(got, []semel.AuditEntry{first, second}) {
			t.Errorf("got the trail %v", got)
		}
	})
}

// What a route keeps longer is kept as long when somebody resolves it.
func TestRetentionOfTheRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		desk := must(operator.New(o.engine, operator.Config{Actor: "ann", Retention: time.Hour, RetentionOf: func(route string) time.Duration {
			if route == rec.Route {
				return 72 * time.Hour
			}
			return 0
		}}))
		if err := desk.Complete(t.Context(), decide(rec), semel.Response{Status: 201}); err != nil {
			t.Fatal(err)
		}
		if got := time.Until(o.at(rec).ExpiresAt); got != 72*time.Hour {
			t.Errorf("kept for %v, want the 72 h of its route", got)
		}
		if got := desk.Retention(semel.Record{Route: "other"}); got != time.Hour {
			t.Errorf("got %v for another route, want 1 h", got)
		}
	})
}

// A sealed store must replay an operator's answer as any other.
func TestCompleteIsSealedAndReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{Sealer: flip{}})
		rec := o.reserve("order-1")
		o.lapse()
		answer := semel.Response{Status: 201, Header: []byte("header"), Body: []byte("charge 17")}
		if err := o.desk.Complete(t.Context(), decide(rec), answer); err != nil {
			t.Fatal(err)
		}
		out, err := o.engine.Begin(t.Context(), semel.Call{Key: rec.Key, Fingerprint: rec.Fingerprint})
		if err != nil || out.Kind != semel.Replay || string(out.Record.Response.Body) != "charge 17" {
			t.Errorf("got %v, %v with the body %q, want a replay of the operator's answer", out.Kind, err, out.Record.Response.Body)
		}
		for kept, err := range o.Store.List(t.Context(), semel.Filter{Bodies: true}) {
			if err != nil || bytes.Contains(kept.Response.Body, []byte("charge")) {
				t.Errorf("got %q, %v in the store, want sealed bytes", kept.Response.Body, err)
			}
		}
	})
}

func TestOnlyWhatIsLapsedUnderItsFenceIsResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		lapsed, completed, free := o.reserve("lapsed"), o.reserve("completed"), o.reserve("free")
		o.lapse()
		for _, err := range []error{
			o.Store.Complete(t.Context(), semel.Completion{Key: completed.Key, Token: completed.Token, Response: semel.Response{Status: 200}}),
			o.Store.Release(t.Context(), free.Key, free.Token),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		running := o.reserve("running")
		older := decide(lapsed)
		older.Fence--
		for _, c := range []struct {
			name     string
			decision operator.Decision
			want     error
		}{
			{"running", decide(running), semel.ErrInFlight},
			{"completed", decide(completed), operator.ErrCompleted},
			{"free", decide(free), operator.ErrFree},
			{"another fence", older, semel.ErrLost},
			{"no fence", operator.Decision{Slot: lapsed.Key.Slot(), Reason: "x"}, semel.ErrLost},
			{"absent", operator.Decision{Fence: 1, Reason: "x"}, operator.ErrNoRecord},
			{"no reason", operator.Decision{Slot: lapsed.Key.Slot(), Fence: lapsed.Fence, Reason: "  "}, operator.ErrReason},
		} {
			if err := o.desk.Release(t.Context(), c.decision); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		}
		if got := o.trail(); len(got) != 0 {
			t.Errorf("got the trail %v, want none of what was not tried", got)
		}
	})
}

// The store has the last word: the early look is only for the message.
func TestRaceOfTwoOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		o.resolve = func() error {
			o.resolve = nil
			return o.desk.Release(t.Context(), decide(rec)) // the other one is first
		}
		err := o.desk.Complete(t.Context(), decide(rec), semel.Response{Status: 201})
		if !errors.Is(err, semel.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if got := o.at(rec).State; got != semel.StateFree {
			t.Errorf("got a %s record, want what the first one said", got)
		}
		if last := o.trail()[3]; last.Action != semel.ActionComplete || last.Result != "refused: the record was changed meanwhile" {
			t.Errorf("got the result %q of %s in the trail", last.Result, last.Action)
		}
	})
}

func TestNoEntryNoAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		down := errors.New("disk full")
		o.audit = func(int) error { return down }
		err := o.desk.Release(t.Context(), decide(rec))
		var untrailed *operator.UntrailedError
		if !errors.As(err, &untrailed) || !errors.Is(err, down) || operator.Done(err) {
			t.Errorf("got %v, want an UntrailedError", err)
		}
		if got := o.at(rec).State; got != semel.StateReserved {
			t.Errorf("got a %s record, want it untouched", got)
		}
		if _, err := o.desk.Reveal(t.Context(), rec.Key.Slot(), "audit 7"); !errors.Is(err, down) {
			t.Errorf("Reveal: got %v, want it refused", err)
		}
		if n, err := o.desk.Purge(t.Context(), operator.Purging{}); n != 0 || !errors.Is(err, down) {
			t.Errorf("Purge: got %d, %v, want it refused", n, err)
		}
	})
}

func TestResultThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		down := errors.New("disk full")
		o.audit = func(n int) error {
			if n == 2 {
				return down
			}
			return nil
		}
		err := o.desk.Release(t.Context(), decide(rec))
		var unrecorded *operator.UnrecordedError
		if !errors.As(err, &unrecorded) || unrecorded.Begun != 1 || unrecorded.Result != nil || !operator.Done(err) {
			t.Errorf("got %v, want an UnrecordedError of what is done", err)
		}
		if got := o.at(rec).State; got != semel.StateFree {
			t.Errorf("got a %s record, want it free: it was done", got)
		}
		failed := &operator.UnrecordedError{Begun: 1, Result: semel.ErrLost, Err: down}
		if operator.Done(failed) || !errors.Is(failed, semel.ErrLost) || !strings.HasPrefix(failed.Error(), semel.ErrLost.Error()) {
			t.Errorf("got %v, want it to tell what became of the action first", failed)
		}
	})
}

func TestStoreWithoutATrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New(memstore.Config{})
		engine := must(semel.New(untrailed{inner, inner}, semel.Config{}))
		o := &office{Store: inner, t: t}
		rec := o.reserve("order-1")
		o.lapse()
		strict := must(operator.New(engine, operator.Config{Actor: "ann"}))
		if err := strict.Release(t.Context(), decide(rec)); !errors.Is(err, operator.ErrNoTrail) {
			t.Errorf("got %v, want ErrNoTrail", err)
		}
		if _, err := strict.Reveal(t.Context(), rec.Key.Slot(), "dispute 7"); !errors.Is(err, operator.ErrNoTrail) {
			t.Errorf("Reveal: got %v, want ErrNoTrail", err)
		}
		if _, err := strict.Trail(t.Context(), semel.AuditFilter{}); !errors.Is(err, operator.ErrNoTrail) {
			t.Errorf("Trail: got %v, want ErrNoTrail", err)
		}
		loose := must(operator.New(engine, operator.Config{Actor: "ann", WithoutTrail: true}))
		if err := loose.Release(t.Context(), decide(rec)); err != nil {
			t.Errorf("by name: got %v, want it done", err)
		}
	})
}

// An operator who leaves must not leave half an action behind.
func TestActionGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		ctx, leave := context.WithCancel(t.Context())
		o.resolve = func() error {
			leave()
			time.Sleep(time.Second)
			return nil
		}
		if err := o.desk.Release(ctx, decide(rec)); !errors.Is(err, operator.ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		if err := o.desk.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: got %v, want it to wait", err)
		}
		if err := o.desk.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := o.trail(); len(got) != 2 || got[1].Result != semel.AuditDone {
			t.Errorf("got the trail %v, want both entries", got)
		}
		if err := o.desk.Release(t.Context(), decide(rec)); !errors.Is(err, operator.ErrFree) {
			t.Errorf("got %v, want ErrFree", err)
		}
		if err := o.desk.Perform(t.Context(), operator.Deed{Action: semel.ActionRotate}, nil); !errors.Is(err, semel.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	})
}

func TestPanicOfAStoreReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		rec := o.reserve("order-1")
		o.lapse()
		o.resolve = func() error { panic("broken driver") }
		defer func() {
			if p := recover(); p != "broken driver" {
				t.Errorf("got the panic %v, want the store's", p)
			}
		}()
		_ = o.desk.Release(t.Context(), decide(rec))
	})
}

// flip seals by turning every bit.
type flip struct{}

func (flip) Seal(_, plain []byte) ([]byte, error) {
	out := []byte{0}
	for _, b := range plain {
		out = append(out, ^b)
	}
	return out, nil
}

func (f flip) Open(aad, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != 0 {
		return nil, errors.New("not sealed")
	}
	out, err := f.Seal(aad, sealed[1:])
	return out[1:], err
}
