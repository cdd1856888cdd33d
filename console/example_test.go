package console_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// The console in a mux of your own, where olaf may look and ann may resolve.
func Example() {
	meter := console.NewMeter()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Observe: meter.Observe})
	if err != nil {
		log.Fatal(err)
	}
	desk, err := operator.New(engine, operator.Config{Actor: "console"})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := console.New(desk, console.Config{
		Base: "/ops", Service: "payments, production", Meter: meter,
		Tokens: []console.Token{
			{Name: "olaf", Secret: semel.Secret("8f0c52d1a6b94e7f")}, // from a file, not from the source
			{Name: "ann", Secret: semel.Secret("b71e90aa35c84d26"), Role: console.RoleWrite},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ops/", pages)

	r := httptest.NewRequest(http.MethodGet, "/ops/lapsed", nil)
	r.Header.Set("Authorization", "Bearer 8f0c52d1a6b94e7f")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
