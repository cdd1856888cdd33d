package console_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/store/memstore"
)

// tile returns the number of a tile of the overview.
func (s *site) tile(label string) string {
	s.t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(label) + `</span><span class="value">([^<]*)`).FindStringSubmatch(s.get("/").Body.String())
	if found == nil {
		s.t.Fatalf("there is no tile %q", label)
	}
	return found[1]
}

func TestMeterCountsWhatAnEngineDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := console.NewMeter()
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Observe: meter.Observe}, func(c *console.Config) { c.Meter = meter })
		begin := func(id, request string) semel.Outcome {
			out, err := s.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: id}, Fingerprint: semel.FingerprintOf([]byte(request))})
			must(t, err)
			return out
		}
		time.Sleep(10 * time.Minute)
		begin("held", "a").Claim.Abandon(t.Context())
		for i := range 3000 {
			out := begin("order-"+time.Duration(i).String(), "a")
			must(t, out.Claim.Complete(t.Context(), semel.Response{Status: 200}))
		}
		for range 1500 {
			begin("order-0s", "a")
		}
		for range 600 {
			begin("order-0s", "b")
		}
		running := begin("running", "a")
		for range 900 {
			begin("running", "a")
		}
		for range 60 {
			begin("held", "a")
		}
		must(t, running.Claim.Release(t.Context()))
		time.Sleep(20 * time.Second)
		for label, want := range map[string]string{
			"Executed": "10", "Replayed": "5.0", "Conflict": "2.0", "Told to wait": "3.0", "Held": "0.2", "Store failed": "0",
		} {
			if got := s.tile(label); got != want {
				t.Errorf("%s: got %s a second, want %s", label, got, want)
			}
		}
		s.want(s.get("/"), http.StatusOK, "executed 200/s", "6\u202f062 requests in the last quarter of an hour")
		time.Sleep(20 * time.Minute)
		s.want(s.get("/"), http.StatusOK, "Nothing in the last quarter of an hour")
		if got := s.tile("Executed"); got != "0" {
			t.Errorf("after a while: got %s a second, want what is over forgotten", got)
		}
	})
}

func TestSweepsAreNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := console.NewMeter()
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Observe: meter.Observe}, func(c *console.Config) { c.Meter = meter })
		ctx, stop := context.WithTimeout(t.Context(), 4*time.Minute+30*time.Second)
		defer stop()
		_ = s.engine.RunSweep(ctx, semel.Sweeping{Recover: func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }})
		if got := s.tile("Executed"); got != "0" {
			t.Errorf("got %s a second, want none", got)
		}
	})
}

func TestMeterStandsBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := console.NewMeter()
		var theirs []string
		other := func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			return ctx, func(semel.Event) { theirs = append(theirs, op.Step.String()) }
		}
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Observe: meter.Beside(other)}, func(c *console.Config) { c.Meter = meter })
		out, err := s.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: "a"}})
		must(t, err)
		must(t, out.Claim.Release(t.Context()))
		time.Sleep(20 * time.Second)
		if got := s.tile("Executed"); got == "0" || strings.Join(theirs, " ") != "reserve release" {
			t.Errorf("got %s a second and %v, want both to have seen all", got, theirs)
		}
		if meter.Beside(nil) == nil {
			t.Error("got no observer beside none")
		}
	})
}

func TestMeterAllocatesNothing(t *testing.T) {
	meter := console.NewMeter()
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		_, end := meter.Observe(ctx, semel.Op{Step: semel.StepReserve})
		end(semel.Event{Kind: semel.Reserved, Took: time.Millisecond})
	})
	if allocs != 0 {
		t.Errorf("got %v allocations a step, want 0", allocs)
	}
}

func TestOverviewWithoutAMeter(t *testing.T) {
	s := open(t)
	s.want(s.get("/"), http.StatusOK, "No meter is configured", "Need a decision")
}
