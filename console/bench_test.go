package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
)

// BenchmarkPages serves each page over a store in memory, which has no index: a list
// looks at every record.
func BenchmarkPages(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		s := open(b, func(c *console.Config) { c.Meter = console.NewMeter() })
		for i := range n {
			rec := s.reserve(fmt.Sprint("order-", i), func(r *semel.Reservation) { r.Lease = time.Hour })
			if i%100 != 0 {
				if err := s.store.Complete(b.Context(), semel.Completion{Key: rec.Key, Token: rec.Token, Response: semel.Response{Status: 201}}); err != nil {
					b.Fatal(err)
				}
			}
		}
		one := s.reserve("order-0")
		for _, path := range append([]string{at(one)}, paths...) {
			name := path
			if path == at(one) {
				name = "/record"
			}
			b.Run(fmt.Sprintf("%d%s", n, name), func(b *testing.B) {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
				r.Header.Set("Authorization", "Bearer "+readToken)
				for b.Loop() {
					w := httptest.NewRecorder()
					s.pages.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	meter := console.NewMeter()
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, end := meter.Observe(ctx, semel.Op{Step: semel.StepReserve})
			end(semel.Event{Kind: semel.Replay, Took: 300 * time.Microsecond})
		}
	})
}
