// Package verify checks from outside, over HTTP alone, what an endpoint promises
// about idempotency keys, whoever wrote it. It sends requests that take effect:
// to the URLs it was given and to nothing else.
//
// [Rules] is what it knows, a [Profile] what an API promises, and [Run] makes a
// [Report]. A rule that could not be tried is skipped with a reason; it never
// passes.
package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Target is the endpoint and what it is sent.
type Target struct {
	// URL is what is checked: http or https, without a user.
	URL *url.URL
	// Method is POST, PUT, PATCH or DELETE.
	Method string
	// Header goes with every request, credentials above all.
	Header http.Header
	// Other is what another caller sends in place of fields of Header; nil leaves
	// the rules about callers out.
	Other http.Header
	// Body of a request that succeeds. In every body {{n}} becomes a number that
	// each operation has for itself, and {{key}} its key.
	Body string
	// OtherBody of another request that succeeds. Default: Body with another number.
	OtherBody string
	// Declined is the body of a request that is answered with a final error; "" leaves
	// its rule out.
	Declined string
	// Transient is the body of a request that is answered with 503 or 429 the first
	// time; "" leaves its rule out.
	Transient string
	// SlowBody and SlowURL are a request that takes a while. Either may be absent;
	// without both, duplicates in flight are met by chance only.
	SlowBody string
	SlowURL  *url.URL
	// OtherURL is another endpoint that takes the same request; nil leaves its rule out.
	OtherURL *url.URL
	// Effects tells how often the operation has happened; its zero value leaves the
	// rules about effects out.
	Effects Counter
	// Ignore names response fields that differ in each answer, beside those that
	// are known to.
	Ignore []string
}

// Config bounds a run. The zero value is safe.
type Config struct {
	// Profile is what the endpoint promises. Default: the profile ietf.
	Profile Profile
	// MaxRequests are sent at most, those to the counter included. Default 200.
	MaxRequests int
	// Timeout ends the run. Default a minute.
	Timeout time.Duration
	// RequestTimeout is the wait for one answer. Default 5 s.
	RequestTimeout time.Duration
	// Concurrency is how many duplicates are sent at once. Default 8.
	Concurrency int
	// Pace is how long one step of something slow takes: between two pieces of a body,
	// before a connection is cut, between two questions. Default 100 ms.
	Pace time.Duration
	// Roots are the authorities of an https endpoint. Default: the system's.
	Roots *x509.CertPool
	// Progress is told which rule is tried next, from the goroutine of [Run].
	Progress func(done, of int, rule string)
}

func (c Config) withDefaults() Config {
	if c.Profile.Name == "" {
		c.Profile, _ = ProfileOf("ietf")
	}
	c.MaxRequests = or(c.MaxRequests, 200)
	c.Timeout = or(c.Timeout, time.Minute)
	c.RequestTimeout = or(c.RequestTimeout, 5*time.Second)
	c.Concurrency = or(c.Concurrency, 8)
	c.Pace = or(c.Pace, 100*time.Millisecond)
	if c.Progress == nil {
		c.Progress = func(int, int, string) {}
	}
	return c
}

func or[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Methods are those that may be checked: all that change something.
func Methods() []string {
	return []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
}

// check refuses a target before anything is sent.
func (t Target) check() error {
	if !slices.Contains(Methods(), t.Method) {
		return fmt.Errorf("verify: method %q: want POST, PUT, PATCH or DELETE", t.Method)
	}
	for _, u := range []*url.URL{t.URL, t.SlowURL, t.OtherURL, t.Effects.URL} {
		switch {
		case u == nil && u != t.URL:
		case u == nil:
			return errors.New("verify: no URL")
		default:
			if err := CheckURL(u); err != nil {
				return fmt.Errorf("verify: %w", err)
			}
		}
	}
	for _, u := range []*url.URL{t.SlowURL, t.OtherURL} {
		if u != nil && !SameOrigin(u, t.URL) { // credentials go there
			return fmt.Errorf("verify: %s is not on the server of the endpoint", u.Redacted())
		}
	}
	return nil
}

// CheckURL says what is wrong with a URL that requests are sent to.
func CheckURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is not http:// or https://", u.Redacted())
	case u.Hostname() == "":
		return fmt.Errorf("%q names no host", u.Redacted())
	case u.User != nil:
		return fmt.Errorf("%q has a user in it: send credentials in a header field", u.Redacted())
	}
	return nil
}

// The reasons why a run ends without a report.
var (
	// ErrUnreachable: no connection to the endpoint or its counter.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrRedirect: the endpoint sends the request somewhere else. Redirects are not followed.
	ErrRedirect = errors.New("redirects, and redirects are not followed")
	// ErrNotServed: the endpoint does not serve the request at all.
	ErrNotServed = errors.New("does not serve the request")
	// ErrCounter: the counter cannot be read, or does not move with a request.
	ErrCounter = errors.New("the counter is of no use")
)

// Run checks the target. It fails with one of the errors of this package when
// nothing can be said, before any rule is tried. Once rules are tried there is a
// report, also when the run is cut short by a limit, a server that has gone or
// the end of ctx; see [Report.Complete].
func Run(ctx context.Context, t Target, cfg Config) (*Report, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, errTime)
	defer cancel()
	s := newSession(t, cfg)
	report := &Report{
		Target: t.Method + " " + ShowURL(t.URL), Profile: cfg.Profile.Name, KeyHeader: cfg.Profile.Header, Started: time.Now(), Complete: true,
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	rules := Rules()
	for i, rule := range rules {
		cfg.Progress(i, len(rules), rule.ID)
		report.add(s.try(ctx, rule))
	}
	report.Requests = int(s.wire.sent.Load())
	report.Took = time.Since(report.Started)
	return report, nil
}

// try tries one rule. Whatever keeps it from being tried makes the report incomplete.
func (s *session) try(ctx context.Context, rule Rule) (Result, bool) {
	started := time.Now()
	v, complete := verdict{}, true
	if reason := rule.Skipped(s.target, s.profile); reason != "" {
		v = skip("%s", reason)
	} else if got, err := rule.check(ctx, s); err != nil {
		v, complete = skip("not run: %v", err), false
	} else {
		v = got
	}
	return Result{Rule: rule, Status: v.status, Detail: s.scrub(v.detail), Evidence: s.show(v.seen), Took: time.Since(started)}, complete
}
