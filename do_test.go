package semel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

type receipt struct {
	ID     uint64         `json:"id"`
	Amount int64          `json:"amount"`
	Note   string         `json:"note"`
	Extra  map[string]any `json:"extra,omitempty"`
}

// I3: the value of the first run is kept and given to every later call, and fn
// does not run again.
func TestDoKeepsTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		runs := 0
		pay := func(ctx context.Context) (receipt, error) {
			runs++
			if c := semel.FromContext(ctx); c == nil || c.Key() != call("order-1", "x").Key {
				t.Errorf("got claim %v in fn, want that of the call", c)
			}
			return receipt{ID: math.MaxUint64, Amount: math.MinInt64 + 1, Note: "<&> ü \u2028"}, nil
		}
		first, err := semel.Do(t.Context(), e, call("order-1", "x"), pay)
		if err != nil || first.Replayed || first.NotStored {
			t.Fatalf("got %+v, %v, want a first run", first, err)
		}
		for range 3 {
			time.Sleep(time.Hour)
			again, err := semel.Do(t.Context(), e, call("order-1", "x"), pay)
			if err != nil || !again.Replayed || again.NotStored || !reflect.DeepEqual(again.Value, first.Value) {
				t.Errorf("got %+v, %v, want a replay of %+v", again, err, first.Value)
			}
		}
		_, err = semel.Do(t.Context(), e, call("order-1", "another"), pay)
		wantError(t, err, semel.ErrConflict)
		if runs != 1 {
			t.Errorf("fn ran %d times, want once", runs)
		}
	})
}

// Numbers come back as they went in, also where T does not say what they are.
func TestDoKeepsBigNumbers(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	const big = 1<<63 - 1 // float64 has 53 bits
	for range 2 {
		got, err := semel.Do(t.Context(), e, call("order-1", "x"), func(context.Context) (map[string]any, error) {
			return map[string]any{"id": json.Number(fmt.Sprint(big)), "list": []any{json.Number("0.10")}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if text, want := fmt.Sprint(got.Value), fmt.Sprintf("map[id:%d list:[0.10]]", big); text != want {
			t.Errorf("replayed %v: got %s, want %s", got.Replayed, text, want)
		}
	}
}

func TestDoKeepsAnything(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	doTwice(t, e, "string", "text\n")
	doTwice(t, e, "bytes", []byte{0, 255, '"'})
	doTwice(t, e, "none", struct{}{})
	doTwice(t, e, "pointer", &receipt{ID: 1})
	doTwice(t, e, "nil", (*receipt)(nil))
	doTwice(t, e, "float", math.Nextafter(0.1, 1))
	doTwice(t, e, "time", time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC))
}

func doTwice[T any](t *testing.T, e *semel.Engine, id string, want T) {
	t.Helper()
	for _, replayed := range []bool{false, true} {
		got, err := semel.Do(t.Context(), e, call(id, "x"), func(context.Context) (T, error) { return want, nil })
		if err != nil || got.Replayed != replayed || !reflect.DeepEqual(got.Value, want) {
			t.Errorf("%s: got %+v, %v, want %+v, replayed %v", id, got, err, want, replayed)
		}
	}
}

// An attempt that runs already, and one that nobody knows about.
func TestDoRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		never := func(context.Context) (int, error) { t.Error("fn ran"); return 0, nil }
		c := reserve(t, e, call("order-1", "x"))
		_, err := semel.Do(t.Context(), e, call("order-1", "x"), never)
		wantError(t, err, semel.ErrInFlight)
		c.Abandon(t.Context())
		_, err = semel.Do(t.Context(), e, call("order-1", "x"), never)
		wantError(t, err, semel.ErrOutcomeUnknown)
		_, err = semel.Do(t.Context(), e, semel.Call{}, never)
		wantError(t, err, semel.ErrInvalidKey)
	})
}

var errDeclined = errors.New("declined")

// What fn did is unknown unless it says so: an error, a panic, the end of its
// goroutine and a value that cannot be kept hold the key (I7).
func TestDoHoldsWhatItDoesNotKnow(t *testing.T) {
	for name, fn := range map[string]func(context.Context) (any, error){
		"error":              func(context.Context) (any, error) { return nil, errDeclined },
		"error with a value": func(context.Context) (any, error) { return 42, errDeclined },
		"panic":              func(context.Context) (any, error) { panic(errDeclined) },
		"goexit":             func(context.Context) (any, error) { runtime.Goexit(); return nil, nil },
		"not JSON":           func(context.Context) (any, error) { return make(chan int), nil },
		"not a number":       func(context.Context) (any, error) { return math.NaN(), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
				ended := make(chan any)
				go func() {
					var err error
					defer func() { p := recover(); ended <- [2]any{p, err} }()
					_, err = semel.Do(t.Context(), e, call("order-1", "x"), fn)
				}()
				end := (<-ended).([2]any)
				switch err, _ := end[1].(error); {
				case name == "panic" && end[0] != any(errDeclined):
					t.Errorf("got panic %v, want fn's own", end[0])
				case strings.HasPrefix(name, "error") && !errors.Is(err, errDeclined):
					t.Errorf("got %v, want fn's own error", err)
				case strings.HasPrefix(name, "not") && err == nil:
					t.Error("got no error, want one")
				}
				wantUnknown(t, begin(t, e, call("order-1", "x"))) // at once, not after the lease
			})
		})
	}
}

// Retryable says that nothing happened: the key is free at once.
func TestDoRetryable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		runs := 0
		fn := func(context.Context) (string, error) {
			if runs++; runs < 3 {
				return "", fmt.Errorf("try %d: %w", runs, semel.Retryable(errDeclined))
			}
			return "paid", nil
		}
		for range 2 {
			_, err := semel.Do(t.Context(), e, call("order-1", "x"), fn)
			wantError(t, err, errDeclined)
		}
		got, err := semel.Do(t.Context(), e, call("order-1", "x"), fn)
		if err != nil || got.Value != "paid" || got.Replayed {
			t.Errorf("got %+v, %v, want a run", got, err)
		}
	})
}

func TestRetryableIsTransparent(t *testing.T) {
	if err := semel.Retryable(nil); err != nil {
		t.Errorf("got %v, want nil for nil", err)
	}
	if err := semel.Retryable(errDeclined); err.Error() != errDeclined.Error() || !errors.Is(err, errDeclined) {
		t.Errorf("got %v, want the text and the chain of the error", err)
	}
	if !semel.IsRetryable(fmt.Errorf("try 1: %w", semel.Retryable(errDeclined))) || semel.IsRetryable(errDeclined) || semel.IsRetryable(nil) {
		t.Error("IsRetryable does not tell what is marked from what is not")
	}
}

// Nothing happened, so it does not matter that the slot is somebody else's by
// now; that the key is not free yet does.
func TestDoRetryableWhenTheReleaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		_, err := semel.Do(t.Context(), e, call("order-1", "x"), func(ctx context.Context) (int, error) {
			c := semel.FromContext(ctx)
			if err := store.Release(ctx, c.Key(), c.Token()); err != nil {
				t.Error(err)
			}
			return 0, semel.Retryable(errDeclined)
		})
		wantError(t, err, errDeclined)
		if errors.Is(err, semel.ErrLost) {
			t.Errorf("got %v, want no word about the loss", err)
		}
		_, err = semel.Do(t.Context(), e, call("order-2", "x"), func(context.Context) (int, error) {
			w.cut()
			return 0, semel.Retryable(errDeclined)
		})
		wantError(t, err, errDeclined)
		wantStoreError(t, err, semel.StepRelease, errCut)
	})
}

// I3: the slot was lost while fn ran. Its own value is never given; what was
// kept instead is, and otherwise the outcome is unknown.
func TestDoLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		first, w := process(t, store, semel.Config{Lapsed: semel.Rerun})
		second, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
		for _, completes := range []bool{true, false} {
			pay := call(fmt.Sprint("order-", completes), "x")
			got, err := semel.Do(t.Context(), first, pay, func(ctx context.Context) (string, error) {
				w.cut()
				time.Sleep(lapse)
				if completes {
					if _, err := semel.Do(t.Context(), second, pay, func(context.Context) (string, error) { return "second", nil }); err != nil {
						t.Error(err)
					}
				} else {
					reserve(t, second, pay)
				}
				wantError(t, context.Cause(ctx), semel.ErrLost)
				w.heal()
				return "first", nil
			})
			switch {
			case completes && (err != nil || got.Value != "second" || !got.Replayed):
				t.Errorf("got %+v, %v, want the value of the second run", got, err)
			case !completes && (!errors.Is(err, semel.ErrLost) || !errors.Is(err, semel.ErrOutcomeUnknown) || got.Value != ""):
				t.Errorf("got %+v, %v, want an unknown outcome", got, err)
			}
		}
	})
}

// I14: the value is true although it is not stored yet.
func TestDoNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		got, err := semel.Do(t.Context(), e, call("order-1", "x"), func(context.Context) (string, error) {
			w.cut()
			return "paid", nil
		})
		if err != nil || got.Value != "paid" || !got.NotStored || got.Replayed {
			t.Fatalf("got %+v, %v, want the value, marked", got, err)
		}
		w.heal()
		time.Sleep(5 * time.Second)
		got, err = semel.Do(t.Context(), e, call("order-1", "x"), func(context.Context) (string, error) { return "again", nil })
		if err != nil || got.Value != "paid" || got.NotStored || !got.Replayed {
			t.Errorf("got %+v, %v, want a replay", got, err)
		}
	})
}

// The slot is lost and the store does not tell what became of it.
func TestDoLostAndTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		_, err := semel.Do(t.Context(), e, call("order-1", "x"), func(ctx context.Context) (string, error) {
			c := semel.FromContext(ctx)
			w.set(at(semel.StepReserve, fails), nil)
			return "paid", store.Release(ctx, c.Key(), c.Token())
		})
		wantError(t, err, semel.ErrLost)
		wantStoreError(t, err, semel.StepReserve, errCut)
	})
}

// fn may end the claim by itself.
func TestDoAfterFnEndedTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		_, err := semel.Do(t.Context(), e, call("order-1", "x"), func(ctx context.Context) (string, error) {
			return "freed", semel.FromContext(ctx).Release(ctx)
		})
		wantError(t, err, semel.ErrSettled)
		wantError(t, err, semel.ErrOutcomeUnknown)
		synctest.Wait()
		_, err = semel.Do(t.Context(), e, call("order-1", "x"), func(ctx context.Context) (string, error) {
			return "x", semel.Retryable(semel.FromContext(ctx).Release(ctx))
		})
		wantError(t, err, semel.ErrSettled)
		wantOutcome(t, begin(t, e, call("order-2", "x")), semel.Reserved)
	})
}

// Responses of another transport, or of another type, are refused and never
// given as zero values.
func TestDoRefusesForeignResponses(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	never := func(context.Context) (receipt, error) { t.Error("fn ran"); return receipt{}, nil }
	complete(t, reserve(t, e, call("order-1", "x")), answer(`{"id": 1}`)) // of another transport
	if got, err := semel.Do(t.Context(), e, call("order-1", "x"), never); !errors.Is(err, semel.ErrDamaged) {
		t.Errorf("got %+v, %v, want ErrDamaged", got, err)
	}
	doTwice(t, e, "order-2", "a string")
	if got, err := semel.Do(t.Context(), e, call("order-2", "x"), never); !errors.Is(err, semel.ErrDamaged) {
		t.Errorf("got %+v, %v, want ErrDamaged", got, err)
	}
	header := []byte("semel.Do/1 application/json")
	for i, body := range []string{"", "{", `{"id":1} trailing`, `{"id":1}{"id":2}`, `{"id":-1}`} {
		id := fmt.Sprint("damaged-", i)
		complete(t, reserve(t, e, call(id, "x")), semel.Response{Header: header, Body: []byte(body)})
		if got, err := semel.Do(t.Context(), e, call(id, "x"), never); !errors.Is(err, semel.ErrDamaged) {
			t.Errorf("%q: got %+v, %v, want ErrDamaged", body, got, err)
		}
	}
}
