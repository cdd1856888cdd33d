package semelhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

// The number of a stored order is the key, so the payment can be asked for again
// after a restart. The first try is refused and retried under the same key.
func ExampleNewTransport() {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "paid for %s", r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()

	transport, err := semelhttp.NewTransport(http.DefaultTransport, semelhttp.TransportConfig{BaseDelay: 1})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}

	ctx := semelhttp.WithKey(context.Background(), "order-4711")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("12.50"))
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	attempts, _ := semelhttp.AttemptsFrom(resp)
	fmt.Printf("%s (%v)\n", body, attempts)
	// Output: paid for order-4711 (2 attempts)
}

func ExampleParseKey() {
	bare, _ := semelhttp.ParseKey([]string{`order-1`})
	quoted, _ := semelhttp.ParseKey([]string{`"order-1"; v=2`})
	_, err := semelhttp.ParseKey([]string{`order-1`, `order-1`})
	fmt.Println(bare == quoted)
	fmt.Println(err)
	// Output:
	// true
	// the idempotency key is sent in more than one header line
}

type account struct{}

func ExampleByContext() {
	scope := semelhttp.Join(
		semelhttp.ByContext(func(ctx context.Context) (string, bool) {
			id, ok := ctx.Value(account{}).(string) // set by authentication
			return id, ok
		}),
		semelhttp.ByRemoteAddr(),
	)
	r := httptest.NewRequest(http.MethodPost, "/payments", http.NoBody)
	r = r.WithContext(context.WithValue(r.Context(), account{}, "acct_12"))
	text, err := scope(r)
	fmt.Println(text, err)
	// Output: j:9:x:acct_1211:a:192.0.2.1 <nil>
}

// A client reads what to do next from the body.
func ExampleProblem() {
	refusal := httptest.NewRecorder()
	semelhttp.ProblemOutcomeUnknown.Details().Write(refusal)

	d, err := problem.Parse(refusal.Header().Get("Content-Type"), refusal.Body.Bytes())
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Status, d.Code)
	fmt.Println("retry:", d.Retryable, "keep the key:", d.ReuseKey)
	// Output:
	// 409 outcome_unknown
	// retry: false keep the key: true
}
