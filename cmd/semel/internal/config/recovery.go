package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

var (
	// ErrNoRecoverURL says that somebody should be asked, and not who.
	ErrNoRecoverURL = errors.New("recover needs a recover_url to ask")
	// ErrNotRecover says that a recover_url is given that nobody would ask.
	ErrNotRecover = errors.New("nobody asks it: it needs lapsed to be recover")
	// ErrNoSweep says that a sweep has nobody to ask.
	ErrNoSweep = errors.New("it asks recover_url, so it needs lapsed to be recover")
	// ErrAsksItself says that the proxy would ask itself what has happened.
	ErrAsksItself = errors.New("the proxy would ask itself")
)

// keyPlaceholder is what stands in recover_url for the derived key.
const keyPlaceholder = "{key}"

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// expand puts a key into a recover_url. The result parses, if s was read by
// parseRecoverURL.
func expand(s, key string) (*url.URL, error) {
	return url.Parse(strings.ReplaceAll(s, keyPlaceholder, key))
}

// parseRecoverURL reads the address that is asked what a lapsed attempt did. It
// stays a text, because a URL has no placeholder.
func parseRecoverURL(s string) (string, error) {
	for _, p := range placeholder.FindAllString(s, -1) {
		if p != keyPlaceholder {
			return "", fmt.Errorf("unknown placeholder %s: there is only %s, which becomes the derived key", p, keyPlaceholder)
		}
	}
	if host, _, _ := strings.Cut(s, "/"); isHostPort(host) {
		return "", fmt.Errorf("%q is not a URL that begins with http://, https:// or h2c://, did you mean %q?", s, "http://"+s)
	}
	u, err := expand(s, "0")
	if err != nil {
		return "", notURL(err)
	}
	switch {
	case u.User != nil: // first, so that no message repeats the password
		return "", errURLUser
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return "", fmt.Errorf("%q is not a URL that begins with http://, https:// or h2c://", s)
	case u.Hostname() == "":
		return "", fmt.Errorf("%q names no host", s)
	case u.Fragment != "":
		return "", fmt.Errorf("%q has a fragment, which no request carries", s)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", fmt.Errorf("%q has a space or a letter that a URL needs as %% and two digits", s)
	}
	if other, err := expand(s, "1"); err != nil || other.Host != u.Host {
		return "", fmt.Errorf("%q has its %s in the host: it belongs into the path or the query", s, keyPlaceholder)
	}
	return s, checkPort(u, s)
}

// leastSweep is the least pause between two rounds.
const leastSweep = time.Second

// parseSweep reads a duration, or "off", which it returns as 0.
func parseSweep(s string) (time.Duration, error) {
	if s == "off" {
		return 0, nil
	}
	d, err := ParseDuration(s)
	if err == nil && d < leastSweep {
		err = fmt.Errorf("%q is less than %v; off is for never", s, leastSweep)
	}
	return d, err
}

// recovering is what the requests of a route do when they meet a lapsed attempt.
type recovering struct {
	policy semel.Policy
	url    string
	own    bool // the route has a recover_url of its own
	lease  time.Duration
	from   Source // of lease
	source Source
}

// recoverings returns what holds for the requests of no route, and of each
// route that is guarded.
func (c Config) recoverings() []recovering {
	all := []recovering{{policy: c.Lapsed, url: c.RecoverURL, source: c.origin["lapsed"], lease: c.Lease, from: c.origin["lease"]}}
	for _, r := range c.Routes {
		if r.Bypass {
			continue
		}
		h := semelhttp.Config{Lapsed: c.Lapsed, Lease: c.Lease}
		r.Change(&h)
		does := recovering{policy: h.Lapsed, url: c.RecoverURL, source: r.source, lease: h.Lease, from: c.origin["lease"]}
		if h.Lease != c.Lease {
			does.from = r.source
		}
		if r.RecoverURL != "" {
			does.url, does.own = r.RecoverURL, true
		}
		all = append(all, does)
	}
	return all
}

// checkRecovery finds what of lapsed, recover_url and lease does not fit together.
func (c Config) checkRecovery() []error {
	var errs []error
	bad := func(source Source, name, format string, args ...any) {
		errs = append(errs, &ValueError{Setting: name, Source: source, Err: fmt.Errorf(format, args...)})
	}
	asked, recovering := false, false // the common one, any
	told, late := false, false        // that one is missing, that it takes too long
	for _, r := range c.recoverings() {
		recovers := r.policy == semel.Recover
		switch {
		case recovers && r.url == "" && !told:
			bad(r.source, "lapsed", "%w", ErrNoRecoverURL)
			told = true
		case r.own && !recovers:
			bad(r.source, "recover_url", "%w", ErrNotRecover)
		}
		asked = asked || recovers && !r.own
		recovering = recovering || recovers
		if recovers && c.RecoverTimeout >= r.lease && r.lease >= leastLease && !late {
			bad(c.origin["recover_timeout"], "recover_timeout", "%v is not less than the lease of %v from %v: set recover_timeout to less, or the lease to more", c.RecoverTimeout, r.lease, r.from)
			late = true
		}
		if r.own {
			c.checkAsked(r.url, r.source, bad)
		}
	}
	if c.RecoverURL != "" {
		source := c.origin["recover_url"]
		c.checkAsked(c.RecoverURL, source, bad)
		if !asked {
			bad(source, "recover_url", "%w", ErrNotRecover)
		}
	}
	if c.Sweep != 0 && !recovering {
		bad(c.origin["sweep"], "sweep", "%w", ErrNoSweep)
	}
	return errs
}

// checkAsked refuses a recover_url that leads back to the proxy, which passes no
// Semel-Settle on: nothing would ever be settled.
func (c Config) checkAsked(text string, source Source, bad func(Source, string, string, ...any)) {
	u, err := expand(text, "0")
	if err != nil {
		return // cannot be: parseRecoverURL has read it
	}
	for _, own := range []struct{ name, addr string }{{"listen", c.Listen}, {"admin", c.Admin}} {
		if reaches(u, own.addr) {
			bad(source, "recover_url", "it leads to the address of %s from %v: %w", own.name, c.origin[own.name], ErrAsksItself)
		}
	}
}
