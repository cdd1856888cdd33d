package rpc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/semel-go/semel/semelhttp"
)

// byPolicy is a client of grpc-go that retries by a policy, as a service config has it. It tries
// three times, and at once unless the server tells it to wait.
func byPolicy(t *testing.T, url string) caller {
	t.Helper()
	return byGRPC(t, url, grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {
		"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
		"retryableStatusCodes": ["UNAVAILABLE", "ABORTED", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"]}}]}`))
}

// L2: a client with a policy sends what is final once, whatever its policy says of the code.
func TestPolicyEndsAtWhatIsFinal(t *testing.T) {
	s := newService()
	d := newMiddleware(t, s.handler())
	once := byGRPC(t, d.url)
	_, _, _ = once(within(t), "break", key("unknown")), once(within(t), "pay", key("conflict")), once(within(t), large, key("big"))
	call := byPolicy(t, d.url)
	for _, c := range []struct {
		key, message string
		code         codes.Code
		reason       string
	}{
		{"unknown", "break", codes.Aborted, "OUTCOME_UNKNOWN"},
		{"conflict", "pay more", codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT"},
		{"big", large, codes.ResourceExhausted, "BODY_TOO_LARGE"},
	} {
		before := d.requests.Load()
		wantRefusal(t, call(within(t), c.message, key(c.key)), c.code, c.reason, -1)
		if got := d.requests.Load() - before; got != 1 {
			t.Errorf("%s: the client sent %d calls, want 1", c.reason, got)
		}
	}
	wantRuns(t, s, 2)
}

// L1: the same client waits as long as it is told while its call runs, and gets the answer.
func TestPolicyWaitsForWhatRuns(t *testing.T) {
	s := newService()
	d := newMiddleware(t, s.handler())
	first, second := make(chan answer, 1), make(chan answer, 1)
	ctx := within(t)
	go func() { first <- byGRPC(t, d.url)(ctx, "wait", key("k")) }()
	<-s.arrived
	started := time.Now()
	call := byPolicy(t, d.url)
	go func() { second <- call(ctx, "wait", key("k")) }()
	for d.requests.Load() < 2 { // the second was refused, or is about to be
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	close(s.open)
	if a := <-second; a.message != "run 1" || !a.replayed() {
		t.Errorf("got %v", a)
	}
	if a := <-first; a.message != "run 1" {
		t.Errorf("got %v", a)
	}
	if got := d.requests.Load(); got != 3 || time.Since(started) < time.Second {
		t.Errorf("%d calls within %v, want 3 in more than a second", got, time.Since(started))
	}
	wantRuns(t, s, 1)
}

// I1: the answer is lost on its way. A client that calls again under its key gets it, and the
// service ran once.
func TestLostAnswer(t *testing.T) {
	for name, client := range callers {
		t.Run(name, func(t *testing.T) {
			s := newService()
			d := newMiddleware(t, s.handler())
			lost := make(chan struct{}, 1)
			lossy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				out := r.Clone(r.Context())
				out.URL.Scheme, out.URL.Host, out.RequestURI = "http", strings.TrimPrefix(d.url, "http://"), ""
				res, err := httpClient(t, true).Transport.RoundTrip(out)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				_ = res.Body.Close()
				lost <- struct{}{}
				panic(http.ErrAbortHandler)
			}))
			if a := client(t, lossy)(within(t), "pay", key("k")); a.code == codes.OK {
				t.Errorf("got %v", a)
			}
			<-lost
			if a := client(t, d.url)(within(t), "pay", key("k")); a.message != "run 1" || !a.replayed() {
				t.Errorf("got %v", a)
			}
			wantRuns(t, s, 1)
		})
	}
}

// L1, L2: connect-go over Semel's own transport waits for a call that runs, and asks once about
// what is final. The transport makes the key.
func TestTransport(t *testing.T) {
	s := newService()
	d := newMiddleware(t, s.handler())
	transport, err := semelhttp.NewTransport(httpClient(t, false).Transport, semelhttp.TransportConfig{})
	if err != nil {
		t.Fatal(err)
	}
	client := connect.NewClient[text, text](&http.Client{Transport: transport}, d.url+charge)
	call := func(message, id string) answer {
		req := connect.NewRequest(wrapperspb.String(message))
		for name, value := range key(id) {
			req.Header().Set(name, value)
		}
		res, err := client.CallUnary(within(t), req)
		if err != nil {
			return failureOf(err)
		}
		return answer{message: res.Msg.GetValue(), meta: lower(res.Header())}
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() { first <- call("wait", "k") }()
	<-s.arrived
	go func() { second <- call("wait", "k") }()
	for d.requests.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	close(s.open)
	if a, b := <-first, <-second; a.message != "run 1" || b.message != "run 1" || !b.replayed() {
		t.Errorf("got %v and %v", a, b)
	}
	before := d.requests.Load()
	wantRefusal(t, call("pay", "k"), codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT", -1)
	wantRefusal(t, call(large, "large"), codes.ResourceExhausted, "BODY_TOO_LARGE", -1) // a 429
	if got := d.requests.Load() - before; got != 2 {
		t.Errorf("%d requests for two final refusals", got)
	}
}
