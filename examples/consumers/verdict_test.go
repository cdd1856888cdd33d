package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
	"github.com/semel-go/semel/store/memstore"
)

// I14: only an outcome that is stored is acknowledged; what is unknown is nobody's to run again (I7).
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		notStored bool
		err       error
		want      consumers.Verdict
	}{
		"stored":         {want: consumers.Done},
		"not stored yet": {notStored: true, want: consumers.Again},
		"in flight":      {err: semel.ErrInFlight, want: consumers.Again},
		"store fails":    {err: &semel.StoreError{Step: semel.StepReserve, Err: errors.New("down")}, want: consumers.Again},
		"handler fails":  {err: errors.New("declined"), want: consumers.Again},
		"conflict":       {err: semel.ErrConflict, want: consumers.Dead},
		"no key":         {err: fmt.Errorf("the header: %w", semel.ErrInvalidKey), want: consumers.Dead},
		"unknown":        {err: fmt.Errorf("%w: %w", semel.ErrOutcomeUnknown, semel.ErrLost), want: consumers.Parked},
		"damaged":        {err: semel.ErrDamaged, want: consumers.Parked},
	} {
		got, err := consumers.Judge(semel.Result[string]{NotStored: c.notStored}, c.err)
		if got != c.want || (err == nil) != (c.want == consumers.Done) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
	var zero consumers.Verdict
	if zero != consumers.Again {
		t.Error("the zero verdict is not Again")
	}
}

// A duplicate waits for the attempt in flight instead of going back to the broker.
func TestCallWaits(t *testing.T) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close(context.WithoutCancel(t.Context())) }()
	entered, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	call := consumers.Call("charge", "order-1", []byte("10 EUR"))
	go func() {
		_, err := consumers.Judge(semel.Do(t.Context(), engine, call, func(context.Context) (string, error) {
			close(entered)
			<-release
			return "receipt", nil
		}))
		first <- err
	}()
	<-entered
	returned := make(chan struct{})
	go func() {
		defer close(release)
		for engine.Waiting() == 0 {
			select {
			case <-returned: // it has not waited
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	got, err := semel.Do(t.Context(), engine, call, func(context.Context) (string, error) { t.Error("it ran twice"); return "", nil })
	close(returned)
	if err != nil || got.Value != "receipt" || !got.Replayed {
		t.Errorf("got %+v, %v, want the first one's value", got, err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}
