package semelhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Defaults of [TransportConfig].
const (
	DefaultMaxAttempts   = 4
	DefaultBaseDelay     = 100 * time.Millisecond
	DefaultMaxDelay      = 5 * time.Second
	DefaultMaxRetryAfter = 30 * time.Second
)

// TransportConfig is what a [Transport] may be told. The zero value is fit for
// servers that follow the IETF draft, Stripe, Adyen or Semel; for others set Header.
type TransportConfig struct {
	// Header is the name of the field that carries the key. Default Idempotency-Key.
	Header string
	// Quoted sends the key as a structured-field String, in double quotes, as
	// the IETF draft has it. Default false: bare, as nearly all servers want it.
	Quoted bool
	// Methods get a key when the request has none. Default POST, PUT, PATCH, DELETE.
	Methods []string
	// NewKey makes a key: 1 to 255 visible ASCII characters that nobody can
	// guess. Default [rand.Text]: 26 characters, 130 random bits. Set it for a
	// server that wants UUIDs.
	NewKey func() string
	// MaxAttempts bounds the tries of one call, the first included. Default 4;
	// 1 means that nothing is retried.
	MaxAttempts int
	// BaseDelay and MaxDelay shape the pause before try n+1: a random time from
	// 0 to BaseDelay × 2ⁿ⁻¹, and never more than MaxDelay. Default 100 ms and 5 s.
	BaseDelay, MaxDelay time.Duration
	// MaxRetryAfter is the longest Retry-After that is waited for. A response
	// that asks for more is returned as it is. Default 30 s.
	MaxRetryAfter time.Duration
}

// Transport is an [http.RoundTripper] that gives requests an idempotency key and
// retries them under it. It is safe for concurrent use.
//
// # The key
//
// One call of RoundTrip is one operation with one key. The caller's own key comes
// first: the request's header field, byte for byte, or else [WithKey]. Set one
// whenever the operation outlives the process, such as the number of a stored
// order: a made-up key is lost with the process, and then nobody can ask again.
// Without one, requests with a method in Methods get a random key. Other requests
// pass through untouched.
//
// A Transport must be the outermost layer that retries. A loop around it that
// sends the same [http.Request] again calls RoundTrip again and gets another key
// each time, which is what a key is there to prevent; inside such a loop, use
// WithKey. The same holds for redirects that [http.Client] follows: 307 and 308
// send the request elsewhere under a new key.
//
// # What is retried
//
// Only requests with a key, and only if they have no body or a GetBody that can
// give it again ([http.NewRequest] sets it for the usual readers); a request with
// another body gets its key and one try. Retried are network errors that may
// pass; 425, 429, 502, 503 and 504; and a 409 that says an earlier try is in
// flight: a problem with retryable true or code in_flight, Stripe's
// idempotency_key_in_use, PayPal's PREVIOUS_REQUEST_IN_PROGRESS, or what [OpenBankingUK]
// says; and anything with Adyen's transient-error: true. Any other 409 is the
// application's own, and 400 and 422 are mistakes: they are returned. A response that is marked as a replay is the
// kept answer and is final, whatever its status. A response that breaks off while
// its body is read is the caller's to ask for again, under the key it set.
//
// Retry-After is honoured. No pause begins that cannot end before the context's
// deadline; the last response or error is returned instead. [AttemptsFrom] tells
// how many tries it took.
//
// [http.Transport] itself resends a request that has a key when a connection it
// used before turns out to be dead. That is welcome here, and not counted.
type Transport struct {
	base http.RoundTripper
	cfg  TransportConfig
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport checks cfg and returns a Transport that sends through base, most
// often [http.DefaultTransport].
func NewTransport(base http.RoundTripper, cfg TransportConfig) (*Transport, error) {
	if base == nil {
		return nil, errors.New("semelhttp: no base transport: pass http.DefaultTransport")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Transport{base: base, cfg: cfg}, nil
}

func (c TransportConfig) withDefaults() (TransportConfig, error) {
	if c.Header == "" {
		c.Header = DefaultHeader
	}
	if !isToken(c.Header) {
		return c, fmt.Errorf("semelhttp: TransportConfig.Header: %q is not a field name", c.Header)
	}
	c.Header = http.CanonicalHeaderKey(c.Header)
	var err error
	if c.Methods, err = checkMethods("TransportConfig", c.Methods); err != nil {
		return c, err
	}
	if c.NewKey == nil {
		c.NewKey = rand.Text
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = DefaultMaxAttempts
	}
	if c.MaxAttempts < 1 {
		return c, fmt.Errorf("semelhttp: TransportConfig.MaxAttempts is %d, less than 1", c.MaxAttempts)
	}
	for _, d := range []struct {
		name  string
		field *time.Duration
		def   time.Duration
	}{
		{"BaseDelay", &c.BaseDelay, DefaultBaseDelay},
		{"MaxDelay", &c.MaxDelay, max(DefaultMaxDelay, c.BaseDelay)},
		{"MaxRetryAfter", &c.MaxRetryAfter, DefaultMaxRetryAfter},
	} {
		if *d.field == 0 {
			*d.field = d.def
		}
		if *d.field < 0 {
			return c, fmt.Errorf("semelhttp: TransportConfig.%s is negative", d.name)
		}
	}
	if c.MaxDelay < c.BaseDelay {
		return c, errors.New("semelhttp: TransportConfig.MaxDelay is less than BaseDelay")
	}
	return c, nil
}

type keyContext struct{}

// WithKey returns a context whose requests a [Transport] sends under key, unless
// they bring their own. The context must be used for one operation: a second,
// different request under it is refused by the server as a conflict.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyContext{}, key)
}

// RoundTrip implements [http.RoundTripper]. It does not change r, closes its body
// also on errors, and returns the base's response or error of the last try, or
// the cause of the context when that ends during a pause.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	id, line, err := t.key(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	if id == "" {
		return t.base.RoundTrip(r)
	}
	told := &Attempts{Key: id}
	ctx := context.WithValue(r.Context(), attemptsContext{}, told)
	// A shallow copy: a deep one would cut the trailer that the caller fills
	// while the body is being read.
	try := r.WithContext(ctx)
	if line != "" {
		if try.Header = r.Header.Clone(); try.Header == nil {
			try.Header = make(http.Header)
		}
		try.Header[t.cfg.Header] = []string{line}
	}
	for {
		told.Count++
		resp, err := t.base.RoundTrip(try)
		next, pause := t.next(try, resp, err, told.Count)
		if next == nil {
			if resp != nil {
				told.Replayed = isReplay(resp)
				if resp.Request == nil {
					resp.Request = try
				}
			}
			return resp, err
		}
		discard(resp)
		if err := sleep(ctx, pause); err != nil {
			closeBody(next)
			return nil, err
		}
		try = next
	}
}

// key returns the key that r is sent under, or "", and the header line to add
// for it, or "" when r has one.
func (t *Transport) key(r *http.Request) (id, line string, err error) {
	for name, values := range r.Header {
		if !strings.EqualFold(name, t.cfg.Header) {
			continue
		}
		if len(values) == 0 { // tells http.Transport to send none, and is no key for us
			return "", "", nil
		}
		return values[0], "", nil
	}
	if !slices.Contains(t.cfg.Methods, r.Method) {
		return "", "", nil
	}
	id, given := r.Context().Value(keyContext{}).(string)
	if !given {
		id = t.cfg.NewKey()
	}
	if reason := checkKey(id); reason != "" {
		return "", "", &KeyError{reason}
	}
	if t.cfg.Quoted {
		return id, quoteKey(id), nil
	}
	if _, err := ParseKey([]string{id}); err != nil { // half a quoted string
		return "", "", err
	}
	return id, id, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // nothing was asked of it
	}
}

// CloseIdleConnections passes the call on to the base, for [http.Client].
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}
