package semelhttp

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// base is an http.RoundTripper in memory. It keeps the RoundTripper's contract:
// it reads and closes the body, and changes nothing of the request.
type base struct {
	mu     sync.Mutex
	seen   []*http.Request
	bodies []string
	lines  [][]string // of Idempotency-Key
	answer func(n int, r *http.Request) (*http.Response, error)
}

func (b *base) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	b.mu.Lock()
	b.seen = append(b.seen, r)
	b.bodies = append(b.bodies, string(body))
	b.lines = append(b.lines, slices.Clone(r.Header["Idempotency-Key"]))
	n := len(b.seen)
	b.mu.Unlock()
	resp, err := b.answer(n, r)
	if resp != nil && resp.Request == nil {
		resp.Request = r
	}
	return resp, err
}

// response makes an answer with header fields given in pairs.
func response(status int, body string, fields ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

// always answers each try with the same status.
func always(status int, fields ...string) *base {
	return &base{answer: func(int, *http.Request) (*http.Response, error) { return response(status, "", fields...), nil }}
}

func mustTransport(t testing.TB, b http.RoundTripper, cfg TransportConfig) *Transport {
	t.Helper()
	tr, err := NewTransport(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func request(t testing.TB, method, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://pay.example/payments", reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// result is a response read whole.
type result struct {
	status   int
	body     string
	readErr  error
	closeErr error
	attempts Attempts
	told     bool
}

func trip(tr http.RoundTripper, r *http.Request) (result, error) {
	resp, err := tr.RoundTrip(r)
	if resp == nil {
		return result{}, err
	}
	body, readErr := io.ReadAll(resp.Body)
	got := result{status: resp.StatusCode, body: string(body), readErr: readErr, closeErr: resp.Body.Close()}
	got.attempts, got.told = AttemptsFrom(resp)
	return got, err
}

func mustTrip(t testing.TB, tr http.RoundTripper, r *http.Request) result {
	t.Helper()
	got, err := trip(tr, r)
	if err != nil || got.readErr != nil || got.closeErr != nil {
		t.Fatal(err, got.readErr, got.closeErr)
	}
	return got
}

func TestNewTransportRefuses(t *testing.T) {
	if _, err := NewTransport(nil, TransportConfig{}); err == nil || !strings.Contains(err.Error(), "http.DefaultTransport") {
		t.Errorf("no base: got %v, want the way out", err)
	}
	for _, cfg := range []TransportConfig{
		{Header: "a b"},
		{Methods: []string{"POST", ""}},
		{Methods: []string{"PO ST"}},
		{MaxAttempts: -1},
		{BaseDelay: -1},
		{MaxDelay: -1},
		{MaxRetryAfter: -1},
		{BaseDelay: time.Second, MaxDelay: time.Millisecond},
	} {
		if _, err := NewTransport(always(200), cfg); err == nil {
			t.Errorf("%+v: got no error", cfg)
		}
	}
	if _, err := NewTransport(always(200), TransportConfig{BaseDelay: time.Minute}); err != nil {
		t.Errorf("a base delay over the default maximum: got %v", err)
	}
}

func TestEachCallHasItsOwnKey(t *testing.T) {
	b := always(200)
	tr := mustTransport(t, b, TransportConfig{})
	seen := map[string]bool{}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		got := mustTrip(t, tr, request(t, method, ""))
		lines := b.lines[len(b.lines)-1]
		if len(lines) != 1 || len(lines[0]) != 26 || seen[lines[0]] {
			t.Fatalf("%s: got key lines %q", method, lines)
		}
		seen[lines[0]] = true
		want := Attempts{Count: 1, Key: lines[0]}
		if !got.told || got.attempts != want {
			t.Errorf("%s: got %v, want %v", method, got.attempts, want)
		}
	}
}

func TestOtherMethodsPassThrough(t *testing.T) {
	b := always(503)
	tr := mustTransport(t, b, TransportConfig{})
	for _, method := range []string{"GET", "HEAD", "OPTIONS", ""} {
		r := request(t, "GET", "")
		r.Method = method
		r = r.WithContext(WithKey(r.Context(), "k"))
		got := mustTrip(t, tr, r)
		if b.seen[len(b.seen)-1] != r {
			t.Errorf("%q: the request was replaced", method)
		}
		if got.told {
			t.Errorf("%q: got attempts %v without a key", method, got.attempts)
		}
	}
	if len(b.seen) != 4 {
		t.Errorf("got %d tries, want one each", len(b.seen))
	}
}

func TestMethodsAndHeaderAreConfigurable(t *testing.T) {
	b := always(200)
	tr := mustTransport(t, b, TransportConfig{
		Header: "paypal-request-id", Methods: []string{"LINK"}, NewKey: func() string { return "k-1" },
	})
	mustTrip(t, tr, request(t, "LINK", ""))
	mustTrip(t, tr, request(t, "POST", ""))
	if got := b.seen[0].Header["Paypal-Request-Id"]; !slices.Equal(got, []string{"k-1"}) {
		t.Errorf("got %q, want the key", got)
	}
	if len(b.seen[1].Header) != 0 {
		t.Errorf("got %v for a method that was not chosen", b.seen[1].Header)
	}
}

// TestTheCallersKeyIsSentAsItIs has a row for each way to bring a key.
func TestTheCallersKeyIsSentAsItIs(t *testing.T) {
	const name = "Idempotency-Key"
	for title, tc := range map[string]struct {
		header http.Header
		ctx    string
		quoted bool
		want   http.Header
		key    string
	}{
		"header":            {header: http.Header{name: {"a b"}}, want: http.Header{name: {"a b"}}, key: "a b"},
		"quoted header":     {header: http.Header{name: {`"k"`}}, want: http.Header{name: {`"k"`}}, key: `"k"`},
		"bare though":       {header: http.Header{name: {"k"}}, quoted: true, want: http.Header{name: {"k"}}, key: "k"},
		"header in lower":   {header: http.Header{"idempotency-key": {"k"}}, want: http.Header{"idempotency-key": {"k"}}, key: "k"},
		"header before ctx": {header: http.Header{name: {"k"}}, ctx: "other", want: http.Header{name: {"k"}}, key: "k"},
		"two lines":         {header: http.Header{name: {"k", "l"}}, want: http.Header{name: {"k", "l"}}, key: "k"},
		"context":           {ctx: "order-1", want: http.Header{name: {"order-1"}}, key: "order-1"},
		"context, quoted":   {ctx: `o"1\`, quoted: true, want: http.Header{name: {`"o\"1\\"`}}, key: `o"1\`},
		"context, an item":  {ctx: `"order-1"`, want: http.Header{name: {`"order-1"`}}, key: `"order-1"`},
	} {
		t.Run(title, func(t *testing.T) {
			b := always(200)
			r := request(t, "POST", "")
			maps.Copy(r.Header, tc.header)
			if tc.ctx != "" {
				r = r.WithContext(WithKey(r.Context(), tc.ctx))
			}
			got := mustTrip(t, mustTransport(t, b, TransportConfig{Quoted: tc.quoted}), r)
			if h := b.seen[0].Header; !maps.EqualFunc(h, tc.want, slices.Equal) {
				t.Errorf("got header %v, want %v", h, tc.want)
			}
			if got.attempts.Key != tc.key {
				t.Errorf("got key %q, want %q", got.attempts.Key, tc.key)
			}
		})
	}
}

func TestNoKeyOnPurpose(t *testing.T) {
	for _, lines := range [][]string{{}, nil, {""}} {
		b := always(503)
		r := request(t, "POST", "")
		r.Header["Idempotency-Key"] = lines
		mustTrip(t, mustTransport(t, b, TransportConfig{}), r)
		if len(b.seen) != 1 || b.seen[0] != r {
			t.Errorf("%q: got %d tries, want the request as it is", lines, len(b.seen))
		}
	}
}

func TestAKeyThatCannotBeSentIsAnError(t *testing.T) {
	for _, key := range []string{"", "a b", "a\r\nX: 1", `a"`, `"a`, "ü", strings.Repeat("k", 256)} {
		b := always(200)
		body := &closeCounter{Reader: strings.NewReader("x")}
		r := request(t, "POST", "")
		r.Body = body
		got, err := trip(mustTransport(t, b, TransportConfig{}), r.WithContext(WithKey(r.Context(), key)))
		var refused *KeyError
		if !errors.As(err, &refused) || got != (result{}) || len(b.seen) != 0 {
			t.Errorf("%q: got %v, %v and %d tries, want a KeyError and none", key, got, err, len(b.seen))
		}
		if body.closed != 1 {
			t.Errorf("%q: the body was closed %d times, want once", key, body.closed)
		}
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

// TestTheCallersRequestIsNotChanged is the contract of http.RoundTripper.
func TestTheCallersRequestIsNotChanged(t *testing.T) {
	b := always(503)
	tr := mustTransport(t, b, TransportConfig{BaseDelay: 1, MaxDelay: 1})
	r := request(t, "POST", "x")
	r.Header.Set("Accept", "*/*")
	before, ctx, body := *r, r.Context(), r.Body
	mustTrip(t, tr, r)
	if len(r.Header) != 1 || r.Header.Get("Accept") != "*/*" || r.Context() != ctx || r.Body != body ||
		r.URL != before.URL || r.ContentLength != before.ContentLength {
		t.Errorf("got %+v, want %+v", r, before)
	}
	r.Header = nil
	if got := mustTrip(t, tr, r); got.status != 503 || r.Header != nil {
		t.Errorf("without a header: got %d and header %v", got.status, r.Header)
	}
}

// TestATrailerIsTheCallersOwn: the trailer is filled while the body is read, so
// it must be the same map.
func TestATrailerIsTheCallersOwn(t *testing.T) {
	b := always(200)
	r := request(t, "POST", "")
	r.Trailer = http.Header{"Checksum": nil}
	r.Body = readerFunc(func([]byte) (int, error) {
		r.Trailer.Set("Checksum", "1")
		return 0, io.EOF
	})
	mustTrip(t, mustTransport(t, b, TransportConfig{}), r)
	if got := b.seen[0].Trailer.Get("Checksum"); got != "1" {
		t.Errorf("got trailer %q, want what the body set", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
func (f readerFunc) Close() error               { return nil }

func TestOneTransportServesManyCallers(t *testing.T) {
	b := &base{answer: func(_ int, r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/fail" {
			return response(503, ""), nil
		}
		return response(200, ""), nil
	}}
	tr := mustTransport(t, b, TransportConfig{BaseDelay: 1, MaxDelay: 1})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			r := request(t, "POST", "x")
			r.URL.Path = []string{"/ok", "/fail"}[i%2]
			got, err := trip(tr, r)
			if err != nil || got.attempts.Count != []int{1, 4}[i%2] {
				t.Errorf("%s: got %v, %v", r.URL.Path, got.attempts, err)
			}
		})
	}
	wg.Wait()
}

// TestALoopAroundTheTransportNeedsAKey shows why it must be outermost.
func TestALoopAroundTheTransportNeedsAKey(t *testing.T) {
	b := always(200)
	tr := mustTransport(t, b, TransportConfig{})
	r := request(t, "POST", "")
	for range 2 {
		mustTrip(t, tr, r)
	}
	if b.lines[0][0] == b.lines[1][0] {
		t.Error("two calls share a key")
	}
	r = r.WithContext(WithKey(r.Context(), "order-1"))
	for range 2 {
		mustTrip(t, tr, r)
	}
	if b.lines[2][0] != "order-1" || b.lines[3][0] != "order-1" {
		t.Errorf("got %q with WithKey, want order-1 twice", b.lines[2:])
	}
}

// idle counts calls of CloseIdleConnections.
type idle struct {
	*base
	closed int
}

func (i *idle) CloseIdleConnections() { i.closed++ }

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	b := &idle{base: always(200)}
	(&http.Client{Transport: mustTransport(t, b, TransportConfig{})}).CloseIdleConnections()
	if b.closed != 1 {
		t.Errorf("got %d calls, want 1", b.closed)
	}
	(&http.Client{Transport: mustTransport(t, b.base, TransportConfig{})}).CloseIdleConnections() // and does not panic
}
