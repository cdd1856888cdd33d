package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// BenchmarkHints measures what [semel.Config].Hints gives and costs, for two processes that
// reach the same records by here and there: how late a wait in the one ends after the attempt
// in the other, by polls and by hints; and how many attempts per second 8 callers make
// without hints, with them, and while somebody waits elsewhere. Run it with -benchtime=30x or so.
func BenchmarkHints(b *testing.B, here, there semel.Store) {
	for _, how := range []string{"polls", "hints"} {
		b.Run("wake/"+how, func(b *testing.B) {
			one, two := benchEngine(b, here, how == "hints"), benchEngine(b, there, how == "hints")
			var late []float64
			for b.Loop() {
				late = append(late, float64(wakeOnce(b, one, two).Microseconds())/1000)
			}
			slices.Sort(late)
			b.ReportMetric(late[len(late)/2], "p50-ms")
			b.ReportMetric(late[len(late)*99/100], "p99-ms")
		})
	}
	b.Run("pairs", func(b *testing.B) {
		off, on := benchEngine(b, here, false), benchEngine(b, here, true)
		waiting := benchEngine(b, there, true)
		var plain, idle, asked []float64
		for b.Loop() {
			base := pairsPerSecond(b, off)
			plain, idle = append(plain, base), append(idle, pairsPerSecond(b, on)/base)
			stop := waitOn(b, on, waiting)
			asked = append(asked, pairsPerSecond(b, on)/base)
			stop()
		}
		b.ReportMetric(middle(plain), "off-pairs/s")
		b.ReportMetric(middle(idle), "idle/off")
		b.ReportMetric(middle(asked), "asked/off")
	})
}

func benchEngine(b *testing.B, s semel.Store, hints bool) *semel.Engine {
	b.Helper()
	e, err := semel.New(s, semel.Config{Hints: hints, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close(context.WithoutCancel(b.Context())) })
	for benchPair(b, e); hints && !e.Hearing(); {
		time.Sleep(time.Millisecond)
	}
	return e
}

func benchCall() semel.Call {
	return semel.Call{Key: semel.Key{Scope: scope, ID: semel.NewToken().String()}}
}

func benchBegin(b *testing.B, e *semel.Engine, call semel.Call) semel.Outcome {
	b.Helper()
	out, err := e.Begin(b.Context(), call)
	if err != nil {
		b.Error(err)
	}
	return out
}

func benchPair(b *testing.B, e *semel.Engine) {
	b.Helper()
	if out := benchBegin(b, e, benchCall()); out.Claim != nil {
		if err := out.Claim.Complete(b.Context(), answer(fmt.Sprintf("%01024d", 0))); err != nil {
			b.Error(err)
		}
	}
}

// wakeOnce returns how long after the end of an attempt in one the wait in two ends.
func wakeOnce(b *testing.B, one, two *semel.Engine) (late time.Duration) {
	b.Helper()
	call := benchCall()
	first := benchBegin(b, one, call)
	call.Wait = semel.MaxWait
	var waiter sync.WaitGroup
	var ended time.Time
	waiter.Go(func() {
		benchBegin(b, two, call)
		ended = time.Now()
	})
	time.Sleep(500*time.Millisecond + rand.N(500*time.Millisecond)) // spreads over the pauses
	start := time.Now()
	if err := first.Claim.Complete(b.Context(), answer("one")); err != nil {
		b.Fatal(err)
	}
	waiter.Wait()
	return ended.Sub(start)
}

// waitOn lets somebody wait in waiting, for an attempt in running that goes on until stop.
func waitOn(b *testing.B, running, waiting *semel.Engine) (stop func()) {
	b.Helper()
	call := benchCall()
	first := benchBegin(b, running, call)
	call.Wait = semel.MaxWait
	var waiter sync.WaitGroup
	waiter.Go(func() { benchBegin(b, waiting, call) })
	time.Sleep(100 * time.Millisecond)
	return func() {
		if err := first.Claim.Complete(b.Context(), answer("first")); err != nil {
			b.Error(err)
		}
		waiter.Wait()
	}
}

// pairsPerSecond is how many attempts 8 callers make.
func pairsPerSecond(b *testing.B, e *semel.Engine) float64 {
	b.Helper()
	const callers, slice = 8, 400 * time.Millisecond
	var n atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(start) < slice {
				benchPair(b, e)
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func middle(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}
