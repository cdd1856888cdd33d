package semelhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// quick retries without a pause worth the name.
var quick = TransportConfig{BaseDelay: 1, MaxDelay: 1}

func TestWhichStatusIsRetried(t *testing.T) {
	retried := []int{425, 429, 502, 503, 504}
	for status := 200; status < 600; status++ {
		b := always(status)
		got := mustTrip(t, mustTransport(t, b, quick), request(t, "POST", "body"))
		want := 1
		if slices.Contains(retried, status) {
			want = 4
		}
		if len(b.seen) != want || got.status != status || got.attempts.Count != want {
			t.Errorf("status %d: got %d tries, %+v, want %d tries", status, len(b.seen), got, want)
		}
		for i := range b.seen {
			if b.lines[i][0] != b.lines[0][0] || b.bodies[i] != "body" {
				t.Errorf("status %d: try %d has key %q and body %q", status, i+1, b.lines[i], b.bodies[i])
			}
		}
	}
}

// TestWhich409IsRetried tells an earlier try in flight from the application's
// own conflict, by the body and nothing else.
func TestWhich409IsRetried(t *testing.T) {
	ours := func(p Problem) string {
		b, err := p.Details().MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const isProblem = "application/problem+json"
	for title, tc := range map[string]struct {
		contentType, body string
		retried           bool
	}{
		"ours, in flight":       {isProblem, ours(ProblemInFlight), true},
		"ours, outcome unknown": {isProblem, ours(ProblemOutcomeUnknown), false},
		"code alone":            {isProblem + "; charset=utf-8", `{"code":"in_flight"}`, true},
		"retryable alone":       {isProblem, `{"retryable":true}`, true},
		"retryable is text":     {isProblem, `{"retryable":"true"}`, false},
		"other problem":         {isProblem, `{"type":"https://example.com/out-of-stock","status":409}`, false},
		"not said a problem":    {"application/json", ours(ProblemInFlight), false},
		"Stripe, in use":        {"application/json", `{"error":{"code":"idempotency_key_in_use","type":"invalid_request_error"}}`, true},
		"Stripe, other":         {"application/json", `{"error":{"code":"lock_timeout"}}`, false},
		"PayPal, in progress":   {"application/json", `{"name":"RESOURCE_CONFLICT","details":[{"issue":"PREVIOUS_REQUEST_IN_PROGRESS"}]}`, true},
		"PayPal, other":         {"application/json", `{"name":"RESOURCE_CONFLICT","details":[{"issue":"OUTCOME_UNKNOWN"}]}`, false},
		"Open Banking, ours":    {"application/json", `{"Code":"in_flight","Errors":[{"ErrorCode":"U029"}]}`, true},
		"Open Banking, other":   {"application/json", `{"Code":"outcome_unknown","Errors":[{"ErrorCode":"U029"}]}`, false},
		"in_flight of others":   {"application/json", `{"Code":"in_flight"}`, false},
		"Connect, in flight":    {"application/json", callRefusal(ProblemInFlight), true},
		"Connect, unknown":      {"application/json", callRefusal(ProblemOutcomeUnknown), false},
		"Connect, other":        {"application/json", `{"code":"aborted","details":[{"type":"google.rpc.DebugInfo","value":""}]}`, false},
		"other JSON":            {"application/json", `{"error":"conflict"}`, false},
		"text":                  {"text/plain", "conflict", false},
		"empty":                 {"", "", false},
		"cut short":             {isProblem, `{"code":"in_flight"`, false},
		"too long to judge":     {isProblem, `{"code":"in_flight","x":"` + strings.Repeat("x", maxPeek) + `"}`, false},
	} {
		t.Run(title, func(t *testing.T) {
			b := &base{answer: func(int, *http.Request) (*http.Response, error) {
				return response(409, tc.body, "Content-Type", tc.contentType), nil
			}}
			got := mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
			if want := map[bool]int{true: 4, false: 1}[tc.retried]; len(b.seen) != want {
				t.Errorf("got %d tries, want %d", len(b.seen), want)
			}
			if got.body != tc.body {
				t.Errorf("got a body of %d bytes, want it whole: %d", len(got.body), len(tc.body))
			}
		})
	}
}

// Adyen says itself which errors may be sent again, whatever their status; a field that is
// not true changes nothing.
func TestTransientErrorIsRetried(t *testing.T) {
	for said, want := range map[string]int{"true": 4, "TRUE": 4, "false": 1, "": 1} {
		for _, status := range []int{409, 422, 500} {
			b := always(status, "transient-error", said)
			mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
			if len(b.seen) != want {
				t.Errorf("%d, transient-error %q: got %d tries, want %d", status, said, len(b.seen), want)
			}
		}
	}
	b := always(200, "transient-error", "true")
	if mustTrip(t, mustTransport(t, b, quick), request(t, "POST", "")); len(b.seen) != 1 {
		t.Errorf("a success is tried %d times", len(b.seen))
	}
}

// TestTransportUnderstandsRefusals sends what each preset refuses with: the client tries
// again exactly when Semel says that another try may succeed.
func TestTransportUnderstandsRefusals(t *testing.T) {
	for _, preset := range Presets() {
		render := Config{Preset: preset}.WithPreset().Render
		for _, p := range Problems() {
			d := p.Details()
			switch d.Status {
			case http.StatusConflict, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusUnprocessableEntity:
			default: // the transport does not ask about a 4xx, and takes a 500 for the service's own
				continue
			}
			b := &base{answer: func(int, *http.Request) (*http.Response, error) {
				w, call := httptest.NewRecorder(), request(t, "POST", "")
				call.Header.Set("Content-Type", "application/proto") // for connect and grpc
				render(w, call, d)
				return w.Result(), nil
			}}
			mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
			if got := len(b.seen) > 1; got != d.Retryable {
				t.Errorf("%v, %s: tried again: %v, want %v", preset, p, got, d.Retryable)
			}
		}
	}
}

func TestRetryAfterAloneDoesNotMakeA409InFlight(t *testing.T) {
	b := always(409, "Retry-After", "0")
	mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
	if len(b.seen) != 1 {
		t.Errorf("got %d tries, want 1", len(b.seen))
	}
}

func TestA409KeepsItsReadError(t *testing.T) {
	broken := errors.New("connection reset")
	told := false
	once := readerFunc(func([]byte) (int, error) { // tells an error once, as some bodies do
		if told {
			return 0, io.EOF
		}
		told = true
		return 0, broken
	})
	closed := &closeCounter{Reader: io.MultiReader(strings.NewReader(`{"cut`), once)}
	b := &base{answer: func(int, *http.Request) (*http.Response, error) {
		resp := response(409, "", "Content-Type", "application/problem+json")
		resp.Body = closed
		return resp, nil
	}}
	got, err := trip(mustTransport(t, b, quick), request(t, "POST", ""))
	if err != nil || got.body != `{"cut` || !errors.Is(got.readErr, broken) {
		t.Errorf("got %+v, %v, want the beginning and the error", got, err)
	}
	if closed.closed != 1 {
		t.Errorf("closed %d times, want once", closed.closed)
	}
}

// TestAReplayIsFinal: the kept answer does not change, so asking again is vain.
func TestAReplayIsFinal(t *testing.T) {
	for _, status := range []int{200, 409, 425, 429, 502, 503, 504} {
		b := always(status, "Idempotent-Replayed", "true", "Content-Type", "application/problem+json")
		got := mustTrip(t, mustTransport(t, b, quick), request(t, "POST", "")).attempts
		if len(b.seen) != 1 || !got.Replayed || got.Count != 1 {
			t.Errorf("status %d: got %d tries, told %v", status, len(b.seen), got)
		}
	}
	b := always(503, "Idempotent-Replayed", "false")
	got := mustTrip(t, mustTransport(t, b, quick), request(t, "POST", "")).attempts
	if len(b.seen) != 4 || got.Replayed {
		t.Errorf("marked false: got %d tries, told %v", len(b.seen), got)
	}
}

func TestWhichErrorIsRetried(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		err   error
		tries int
	}{
		{io.EOF, 4},
		{io.ErrUnexpectedEOF, 4},
		{wrap(syscall.ECONNREFUSED), 4},
		{wrap(syscall.ECONNRESET), 4},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, 4},
		{fmt.Errorf("the base's own time limit: %w", context.DeadlineExceeded), 4}, // the caller's context lives
		{errors.New("http2: server sent GOAWAY"), 4},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, 1},
		{fmt.Errorf("tls: %w", x509.HostnameError{Certificate: new(x509.Certificate), Host: "x"}), 1},
		{x509.CertificateInvalidError{Cert: new(x509.Certificate), Reason: x509.Expired}, 1},
		{x509.UnknownAuthorityError{}, 1},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, 1},
		{http.ErrSchemeMismatch, 1},
	} {
		b := &base{answer: func(int, *http.Request) (*http.Response, error) { return nil, tc.err }}
		got, err := trip(mustTransport(t, b, quick), request(t, "POST", "x"))
		if !errors.Is(err, tc.err) || got != (result{}) || len(b.seen) != tc.tries {
			t.Errorf("%v: got %v after %d tries, want %d", tc.err, err, len(b.seen), tc.tries)
		}
	}
}

// TestErrorsOfTheRequestAreFinal asks net/http itself, whose errors have no types.
func TestErrorsOfTheRequestAreFinal(t *testing.T) {
	std := &http.Transport{}
	for title, change := range map[string]func(r *http.Request){
		"scheme":       func(r *http.Request) { r.URL.Scheme = "gopher" },
		"no host":      func(r *http.Request) { r.URL.Host = "" },
		"method":       func(r *http.Request) { r.Method = "PO ST"; r.Header.Set("Idempotency-Key", "k") },
		"field name":   func(r *http.Request) { r.Header["a b"] = []string{"1"} },
		"field value":  func(r *http.Request) { r.Header["A"] = []string{"\x00"} },
		"trailer name": func(r *http.Request) { r.Trailer = http.Header{"a b": nil} },
		"no URL":       func(r *http.Request) { r.URL = nil },
	} {
		tries := 0
		counted := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			tries++
			return std.RoundTrip(r)
		})
		r := request(t, "POST", "x")
		change(r)
		_, err := trip(mustTransport(t, counted, quick), r)
		if err == nil || tries != 1 {
			t.Errorf("%s: got %v after %d tries, want an error after one", title, err, tries)
		}
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestABodyThatCannotBeGivenAgainIsSentOnce(t *testing.T) {
	b := always(503)
	r := request(t, "POST", "body")
	r.GetBody = nil
	got := mustTrip(t, mustTransport(t, b, quick), r)
	if len(b.seen) != 1 || got.status != 503 || len(b.lines[0]) != 1 {
		t.Errorf("got %d tries with key %q, want one with a key", len(b.seen), b.lines)
	}
	for _, none := range []io.ReadCloser{nil, http.NoBody} {
		b := always(503)
		r := request(t, "POST", "")
		r.Body, r.GetBody = none, nil
		mustTrip(t, mustTransport(t, b, quick), r)
		if len(b.seen) != 4 {
			t.Errorf("%v: got %d tries, want 4", none, len(b.seen))
		}
	}
}

func TestEveryBodyIsClosed(t *testing.T) {
	var bodies []*closeCounter
	r := request(t, "POST", "body")
	r.GetBody = func() (io.ReadCloser, error) {
		bodies = append(bodies, &closeCounter{Reader: strings.NewReader("body")})
		return bodies[len(bodies)-1], nil
	}
	r.Body, _ = r.GetBody()
	mustTrip(t, mustTransport(t, always(503), quick), r)
	if len(bodies) != 4 {
		t.Errorf("got %d bodies, want one for each try", len(bodies))
	}
	for i, body := range bodies {
		if body.closed != 1 {
			t.Errorf("body %d was closed %d times, want once", i, body.closed)
		}
	}
}

func TestAFailingGetBodyReturnsWhatWasThere(t *testing.T) {
	b := &base{answer: func(int, *http.Request) (*http.Response, error) { return response(503, "busy"), nil }}
	r := request(t, "POST", "body")
	r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("the file is gone") }
	got := mustTrip(t, mustTransport(t, b, quick), r)
	if got.body != "busy" || len(b.seen) != 1 {
		t.Errorf("got %+v after %d tries, want the first answer", got, len(b.seen))
	}
}

func TestDiscardedResponsesAreReadAndClosed(t *testing.T) {
	const size = maxPeek
	for title, tc := range map[string]struct {
		size, length int64
		left         int // bytes that stay unread
	}{
		"short":         {100, 100, 0},
		"at the limit":  {size, size, 0},
		"long":          {size + 1, size + 1, size + 1},
		"unknown, long": {3 * size, -1, 2 * size},
	} {
		t.Run(title, func(t *testing.T) {
			var discarded []*closeCounter
			var readers []*bytes.Reader
			b := &base{answer: func(n int, _ *http.Request) (*http.Response, error) {
				if n == 2 {
					return response(200, ""), nil
				}
				readers = append(readers, bytes.NewReader(make([]byte, tc.size)))
				discarded = append(discarded, &closeCounter{Reader: readers[0]})
				resp := response(503, "")
				resp.Body, resp.ContentLength = discarded[0], tc.length
				return resp, nil
			}}
			mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
			if discarded[0].closed != 1 || readers[0].Len() != tc.left {
				t.Errorf("closed %d times with %d bytes left, want once with %d", discarded[0].closed, readers[0].Len(), tc.left)
			}
		})
	}
}

func TestPausesLastAsLongAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &base{answer: func(n int, _ *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return response(503, "", "Retry-After", "7"), nil
			case 2:
				return response(429, "", "Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)), nil
			case 3:
				return nil, io.EOF
			}
			return response(201, ""), nil
		}}
		start := time.Now()
		got := mustTrip(t, mustTransport(t, b, TransportConfig{}), request(t, "POST", ""))
		took := time.Since(start)
		// Jitter: at most 100 ms after each of the first two, 400 ms after the third.
		if got.status != 201 || took < 27*time.Second || took > 27*time.Second+600*time.Millisecond {
			t.Errorf("got %d after %v, want 201 after 27 s and a little", got.status, took)
		}
	})
}

func TestALongRetryAfterIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := always(503, "Retry-After", "31")
		start := time.Now()
		got := mustTrip(t, mustTransport(t, b, TransportConfig{}), request(t, "POST", ""))
		if got.status != 503 || len(b.seen) != 1 || time.Since(start) != 0 {
			t.Errorf("got %d after %d tries and %v, want 503 at once", got.status, len(b.seen), time.Since(start))
		}
	})
}

func TestNoPauseBeginsThatCannotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &base{answer: func(int, *http.Request) (*http.Response, error) {
			return response(503, "busy", "Retry-After", "2"), nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		got := mustTrip(t, mustTransport(t, b, TransportConfig{}), request(t, "POST", "x").WithContext(ctx))
		took := time.Since(start) // two pauses fit, the third does not
		if len(b.seen) != 3 || took < 4*time.Second || took >= 5*time.Second {
			t.Errorf("got %d tries in %v, want 3 before the deadline", len(b.seen), took)
		}
		if got.body != "busy" {
			t.Errorf("got %q, want the last answer whole", got.body)
		}
	})
}

func TestACanceledPauseEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []*closeCounter
		b := always(503, "Retry-After", "20")
		cause := errors.New("the user left")
		ctx, cancel := context.WithCancelCause(t.Context())
		r := request(t, "POST", "x").WithContext(ctx)
		r.GetBody = func() (io.ReadCloser, error) {
			bodies = append(bodies, &closeCounter{Reader: strings.NewReader("x")})
			return bodies[len(bodies)-1], nil
		}
		start := time.Now()
		time.AfterFunc(time.Second, func() { cancel(cause) })
		got, err := trip(mustTransport(t, b, TransportConfig{}), r)
		if !errors.Is(err, cause) || got != (result{}) || len(b.seen) != 1 || time.Since(start) != time.Second {
			t.Errorf("got %v, %v after %v, want the cause after 1 s", got, err, time.Since(start))
		}
		if len(bodies) != 1 || bodies[0].closed != 1 {
			t.Errorf("the body of the next try is not closed: %v", bodies)
		}
	})
}

func TestTheCallersOwnCancelIsFinal(t *testing.T) {
	broken := errors.New("broken off")
	for _, answer := range []func() (*http.Response, error){
		func() (*http.Response, error) { return nil, broken },
		func() (*http.Response, error) { return response(503, "busy"), nil },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b := &base{answer: func(int, *http.Request) (*http.Response, error) {
			cancel()
			return answer()
		}}
		got, err := trip(mustTransport(t, b, quick), request(t, "POST", "").WithContext(ctx))
		if !errors.Is(err, broken) && got.body != "busy" || len(b.seen) != 1 {
			t.Errorf("got %+v, %v after %d tries, want what the only one brought", got, err, len(b.seen))
		}
	}
}

func TestMaxAttempts(t *testing.T) {
	for _, n := range []int{1, 2, 7} {
		b := always(503)
		mustTrip(t, mustTransport(t, b, TransportConfig{MaxAttempts: n, BaseDelay: 1, MaxDelay: 1}), request(t, "POST", ""))
		if len(b.seen) != n {
			t.Errorf("got %d tries, want %d", len(b.seen), n)
		}
	}
}

// callRefusal is a refusal in Connect's form.
func callRefusal(p Problem) string {
	w := httptest.NewRecorder()
	writeConnect(w, p.Details())
	return w.Body.String()
}

// L2: a server that says that a failure is final is asked once, whatever its status.
func TestShouldRetryIsObeyed(t *testing.T) {
	for said, want := range map[string]int{"false": 1, "False": 1, "true": DefaultMaxAttempts, "": DefaultMaxAttempts} {
		b := &base{answer: func(int, *http.Request) (*http.Response, error) {
			return response(503, "", "X-Should-Retry", said), nil
		}}
		_ = mustTrip(t, mustTransport(t, b, quick), request(t, "POST", ""))
		if got := len(b.seen); got != want {
			t.Errorf("%q: %d tries, want %d", said, got, want)
		}
	}
}
