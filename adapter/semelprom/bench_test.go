package semelprom_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelprom"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// BenchmarkObserve is what one step costs.
func BenchmarkObserve(b *testing.B) {
	c := semelprom.New(semelprom.Config{})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, end := c.Observe(ctx, semel.Op{Step: semel.StepReserve, Route: "POST /pay"})
		end(semel.Event{Kind: semel.Reserved, Took: 1000})
	}
}

// BenchmarkServeHTTP is the worst case: a handler that does nothing, on a store in memory,
// without a network.
func BenchmarkServeHTTP(b *testing.B) {
	for name, metrics := range map[string]*semelprom.Collector{"without": nil, "with": semelprom.New(semelprom.Config{})} {
		b.Run(name, func(b *testing.B) {
			cfg, http1 := semel.Config{Logger: slog.New(slog.DiscardHandler)}, semelhttp.Config{Route: "POST /pay"}
			if metrics != nil {
				cfg.Observe, http1 = metrics.Observe, metrics.HTTP(http1)
			}
			engine := newEngine(b, memstore.New(memstore.Config{}), cfg)
			mw, err := semelhttp.New(engine, semelhttp.Global(), http1)
			if err != nil {
				b.Fatal(err)
			}
			h := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
			n := 0
			for b.Loop() {
				n++
				r := httptest.NewRequest("POST", "/pay", strings.NewReader("{}"))
				r.Header.Set("Idempotency-Key", strconv.Itoa(n))
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
