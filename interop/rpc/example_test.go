package rpc

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A service of connect-go is guarded as a handler. Its client calls twice under one key.
func Example() {
	payments := 0
	pay := func(_ context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		payments++
		return connect.NewResponse(wrapperspb.String(fmt.Sprint(req.Msg.GetValue(), ", payment ", payments))), nil
	}
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{Preset: semelhttp.Connect})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(charge, mw.Wrap(connect.NewUnaryHandler(charge, pay))) // or the path and handler that are generated
	server := httptest.NewServer(mux)
	defer server.Close()

	client := connect.NewClient[text, text](server.Client(), server.URL+charge)
	for range 2 {
		req := connect.NewRequest(wrapperspb.String("2500 cents"))
		req.Header().Set("Authorization", "Bearer me")
		req.Header().Set("Idempotency-Key", "order-1")
		res, err := client.CallUnary(context.Background(), req)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, replayed: %q\n", res.Msg.GetValue(), res.Header().Get("Idempotent-Replayed"))
	}
	// Output:
	// 2500 cents, payment 1, replayed: ""
	// 2500 cents, payment 1, replayed: "true"
}

// The Go code of docs/rpc.md is a part of the example.
func TestPageShowsTheExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/rpc.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```go\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/rpc.md has no Go code")
	}
	var indented strings.Builder
	for line := range strings.Lines(code) {
		indented.WriteString("\t" + line)
	}
	if !strings.Contains(string(example), indented.String()) {
		t.Errorf("the example does not contain:\n%s", code)
	}
}
