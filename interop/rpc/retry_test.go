package rpc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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
