package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// Route is what differs for the requests that a pattern matches.
type Route struct {
	// Pattern is one of [http.ServeMux], such as "POST /v1/payments/{id}".
	Pattern string
	// Bypass passes the requests through, unguarded.
	Bypass bool
	// RecoverURL is asked instead of that of all routes; "" when there is none.
	RecoverURL string
	// Upstream is where these requests go; nil for the common one.
	Upstream *url.URL
	// Scope says who the caller is; the zero one is the common one.
	Scope Scope
	// Settle are the rules instead of the common ones; nil when there are none.
	Settle []semelhttp.SettleRule
	// FailOpen and Shadow replace the common ones unless they are nil.
	FailOpen, Shadow *bool
	// Change sets what differs. It is not nil.
	Change func(*semelhttp.Config)

	source Source
	raw    rawRoute
}

// RetentionOf returns how long what a route answered is remembered: its pattern is what
// the records keep as their route.
func (c Config) RetentionOf(pattern string) time.Duration {
	h := semelhttp.Config{Retention: c.Retention}
	for _, r := range c.Routes {
		if r.Pattern == pattern {
			r.Change(&h)
		}
	}
	return h.Retention
}

// newRoute makes a route from what the file says about it.
func newRoute(file string, raw rawRoute) (Route, error) {
	r := Route{source: Source{kind: fromFile, name: file, line: raw.line}, raw: raw}
	var over Config
	var changes []func(Config, *semelhttp.Config)
	for _, v := range raw.values {
		s, known := find(v.name)
		if err := unknownName(v.name, routeNames()); err != nil && !known {
			return r, &SyntaxError{file, v.line, err.Error()}
		}
		var err error
		switch {
		case v.list && !s.List:
			err = errOneValue
		case v.name == "match":
			r.Pattern, err = parsePattern(v.texts[0])
		case v.name == "bypass":
			r.Bypass, err = parseBool(v.texts[0])
		case s.route == nil:
			err = errors.New("a route cannot have its own")
		default:
			err = s.set(&over, v.texts)
			changes = append(changes, s.route)
			switch v.name { // whose zero means something
			case "fail_open":
				r.FailOpen = &over.FailOpen
			case "shadow":
				r.Shadow = &over.Shadow
			}
		}
		if err != nil {
			return r, &ValueError{Setting: v.name, Source: Source{kind: fromFile, name: file, line: v.line}, Err: err}
		}
	}
	if r.Pattern == "" {
		return r, &ValueError{Setting: "routes", Source: r.source, Err: errors.New(`a route needs match, such as match: "POST /v1/payments"`)}
	}
	if r.Bypass && len(changes) > 0 && (len(changes) > 1 || over.Upstream == nil) {
		return r, &ValueError{Setting: "bypass", Source: r.source, Err: errors.New("a route that is bypassed has no other settings but upstream")}
	}
	r.RecoverURL, r.Upstream, r.Scope, r.Settle = over.RecoverURL, over.Upstream, over.Scope, over.Settle
	r.Change = func(h *semelhttp.Config) {
		for _, change := range changes {
			change(over, h)
		}
	}
	return r, nil
}

// usePreset returns a Change by which a route whose preset is its own has all that belongs to it, except what
// the route or the settings for all say themselves.
func (r Route) usePreset(c Config) func(*semelhttp.Config) {
	change := r.Change
	if !r.says("preset") {
		return change
	}
	return func(h *semelhttp.Config) {
		if c.isLeft("key_header") {
			h.Headers = nil
		}
		if c.isLeft("max_key") {
			h.MaxKey = 0
		}
		if c.isLeft("methods") {
			h.Methods = nil
		}
		if c.isLeft("retention") {
			h.Retention = 0
		}
		change(h)
		full := h.WithPreset()
		h.Headers, h.MaxKey, h.Methods = full.Headers, full.MaxKey, full.Methods
		h.Retention = cmp.Or(full.Retention, semel.DefaultRetention)
	}
}

// says reports whether the file has a setting of the route.
func (r Route) says(name string) bool {
	return slices.ContainsFunc(r.raw.values, func(v rawValue) bool { return v.name == name })
}

// presetHeaders are the fields of the key of a route with a preset of its own, else nil.
func (r Route) presetHeaders() []string {
	if !r.says("preset") {
		return nil
	}
	var h semelhttp.Config
	r.Change(&h)
	return h.Headers
}

// routeNames are the names that a route may have.
func routeNames() []string {
	names := []string{"match", "bypass"}
	for _, s := range Settings() {
		if s.route != nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// checkRoutes finds patterns that are no patterns and pairs that conflict, by
// the rules of [http.ServeMux], and routes whose lifetimes do not fit together.
func (c Config) checkRoutes() []error {
	var errs []error
	for i, r := range c.Routes {
		bad := func(name, format string, args ...any) {
			errs = append(errs, &ValueError{Setting: name, Source: r.source, Err: fmt.Errorf(format, args...)})
		}
		if err := register(r.Pattern); err != nil {
			bad("match", "%w", err)
		} else if err := misread(r.Pattern); err != nil {
			bad("match", "%w", err)
		} else if other := conflict(c.Routes[:i], r); other != nil {
			bad("match", "%q and %q from %v match the same requests, and neither is the more specific", r.Pattern, other.Pattern, other.source)
		}
		if r.Upstream != nil {
			c.checkUpstream(r.Upstream, func(format string, args ...any) { bad("upstream", format, args...) })
		}
		if r.Scope.needsCert() && c.TLSClientCA == "" {
			bad("scope", "%w", ErrNoTLS)
		}
		errs = append(errs, r.checkKeys()...)
		h := semelhttp.Config{MaxRun: c.MaxRun, Retention: c.Retention, Lease: c.Lease}
		r.Change(&h)
		if h.Lease < leastLease && c.Lease >= leastLease {
			bad("lease", "%v is less than %v", h.Lease, leastLease)
		}
		if h.MaxRun < h.Lease && c.MaxRun >= c.Lease {
			from := c.origin["lease"]
			if h.Lease != c.Lease {
				from = r.source
			}
			bad("max_run", "%v is less than the lease of %v from %v", h.MaxRun, h.Lease, from)
		}
		if h.Retention < h.MaxRun && c.Retention >= c.MaxRun {
			bad("retention", "%v is less than the max_run of %v", h.Retention, h.MaxRun)
		}
	}
	return errs
}

// misread finds patterns that [http.ServeMux] takes, and that match nothing of what their
// author means.
func misread(pattern string) error {
	_, rest, ok := strings.Cut(pattern, " ")
	if !ok {
		rest = pattern
	}
	host, path, _ := strings.Cut(strings.TrimLeft(rest, " \t"), "/")
	switch {
	case host != "" && host != "localhost" && !strings.ContainsAny(host, ".:"):
		return fmt.Errorf("%q names the host %s: write /%s/%s for a path; a host has a dot", pattern, host, host, path)
	case strings.Contains(path, "*"):
		return fmt.Errorf("%q has a *, which is no wildcard: end it with / for all below, or write {rest...}", pattern)
	}
	return nil
}

// checkKeys names the line of the fields, not that of the route.
func (r Route) checkKeys() []error {
	var h semelhttp.Config
	r.Change(&h)
	err := keyFields(h.Headers)
	if err == nil {
		return nil
	}
	at := r.source
	for _, v := range r.raw.values {
		if v.name == "key_header" {
			at.line = v.line
		}
	}
	return []error{&ValueError{Setting: "key_header", Source: at, Err: err}}
}

// conflict returns the first of the routes before r that cannot stand beside it.
func conflict(before []Route, r Route) *Route {
	for i, other := range before {
		if register(other.Pattern) == nil && register(other.Pattern, r.Pattern) != nil {
			return &before[i]
		}
	}
	return nil
}

// register tries patterns on a mux, which panics on a bad one.
func register(patterns ...string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	mux := http.NewServeMux()
	for _, pattern := range patterns {
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return nil
}
