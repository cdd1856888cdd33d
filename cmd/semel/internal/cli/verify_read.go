package cli

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/verify"
)

// read makes a target of what the flags say; standard input is read once at most.
func (v *verifying) read(a *app, at string, requires bool) (t verify.Target, cfg verify.Config, err error) {
	if cfg, err = v.config(requires); err != nil {
		return t, cfg, err
	}
	t.Method, t.Ignore = strings.ToUpper(v.method), v.ignore
	if !slices.Contains(verify.Methods(), t.Method) {
		return t, cfg, wrong("known are "+strings.Join(verify.Methods(), ", "), "--method: %q changes nothing, and needs no key", v.method)
	}
	for _, u := range []struct {
		flag, text string
		to         **url.URL
	}{{"URL", at, &t.URL}, {"--slow-url", v.slowURL, &t.SlowURL}, {"--other-url", v.otherURL, &t.OtherURL}} {
		if *u.to, err = v.url(u.flag, u.text, t.URL); err != nil {
			return t, cfg, err
		}
	}
	if v.effects != "" {
		if t.Effects, err = verify.ParseCounter(v.effects); err != nil {
			return t, cfg, wrong("write it as http://127.0.0.1:3000/stats#/payments", "--effects: %w", withoutURL(err))
		}
	}
	if t.Header, err = v.fields("--header", v.header, cfg.Profile); err != nil {
		return t, cfg, err
	}
	if len(v.other) > 0 {
		if t.Other, err = v.fields("--other-header", v.other, cfg.Profile); err != nil {
			return t, cfg, err
		}
		if err := another(t); err != nil {
			return t, cfg, err
		}
	}
	stdin := false
	for _, b := range []struct {
		flag, text string
		to         *string
	}{
		{"--body", v.body, &t.Body},
		{"--other-body", v.otherBody, &t.OtherBody},
		{"--slow-body", v.slow, &t.SlowBody},
		{"--declined-body", v.declined, &t.Declined},
		{"--transient-body", v.transient, &t.Transient},
	} {
		if b.text == "@-" && stdin {
			return t, cfg, wrong("put one of them into a file", "%s: standard input is another body already", b.flag)
		}
		stdin = stdin || b.text == "@-"
		if *b.to, err = a.readBody(b.flag, b.text); err != nil {
			return t, cfg, err
		}
	}
	if stdin && !v.yes && !v.dryRun && !local(t) {
		return t, cfg, wrong("add --yes, or put the body into a file", "a body from standard input leaves no way to ask")
	}
	if t.Body != "" && t.Header.Get("Content-Type") == "" {
		t.Header.Set("Content-Type", v.contentType)
	}
	return t, cfg, nil
}

// config is the profile, with what the flags change in it, and the limits.
func (v *verifying) config(requires bool) (cfg verify.Config, err error) {
	if cfg.Profile, err = verify.ProfileOf(v.profile); err != nil {
		return cfg, wrong("known are "+strings.Join(verify.ProfileNames(), ", "), "--profile: unknown profile %q", v.profile)
	}
	if v.keyHeader != "" {
		if cfg.Profile.Header, err = config.ParseToken(v.keyHeader); err != nil {
			return cfg, wrong("write it as --key-header X-Idempotency-Key", "--key-header: %w", err)
		}
	}
	if requires {
		cfg.Profile.Required = v.requireKey
	}
	for _, n := range []struct {
		flag        string
		value       int
		least, most int
	}{{"--max-key", v.maxKey, 0, 4096}, {"--concurrency", v.concurrency, 2, 64}, {"--max-requests", v.maxRequests, 1, 10_000}} {
		if n.value < n.least || n.value > n.most {
			return cfg, wrong("", "%s: want %d to %d, not %d", n.flag, n.least, n.most, n.value)
		}
	}
	if v.maxKey > 0 {
		cfg.Profile.MaxKey = v.maxKey
	}
	if v.timeout <= 0 || v.requestTimeout <= 0 {
		return cfg, wrong("such as 30s", "--timeout and --request-timeout: want more than nothing")
	}
	cfg.MaxRequests, cfg.Concurrency, cfg.Timeout, cfg.RequestTimeout = v.maxRequests, v.concurrency, v.timeout, v.requestTimeout
	if v.ca != "" {
		text, err := os.ReadFile(v.ca)
		if err != nil {
			return cfg, outside("", "--ca: %w", err)
		}
		cfg.Roots = x509.NewCertPool()
		if !cfg.Roots.AppendCertsFromPEM(text) {
			return cfg, outside("", "--ca: %s has no certificate in PEM", v.ca)
		}
	}
	return cfg, nil
}

// url reads an address. Those beside the endpoint are on its server, because its
// credentials go there.
func (*verifying) url(flag, text string, endpoint *url.URL) (*url.URL, error) {
	if text == "" && endpoint != nil {
		return nil, nil //nolint:nilnil // a flag that was not given
	}
	u, err := url.Parse(text)
	if err == nil {
		err = verify.CheckURL(u)
	}
	if err != nil {
		return nil, wrong("write it as http://127.0.0.1:8080/payments", "%s: %w", flag, withoutURL(err))
	}
	if endpoint != nil && !verify.SameOrigin(u, endpoint) {
		return nil, wrong("credentials go to the server of the endpoint alone", "%s: is not on the server of the endpoint", flag)
	}
	return u, nil
}

// withoutURL is why a URL cannot be parsed, without the URL, which may have a password.
func withoutURL(err error) error {
	if parse, ok := errors.AsType[*url.Error](err); ok {
		return parse.Err
	}
	return err
}

// fields reads header lines. What the check makes by itself cannot be given.
func (*verifying) fields(flag string, lines []string, p verify.Profile) (http.Header, error) {
	h := make(http.Header)
	for _, line := range lines {
		name, value, err := parseField(line)
		if err != nil {
			return nil, wrong("write it as 'Authorization: Bearer alice'", "%s: %w", flag, err)
		}
		for _, own := range []string{p.Header, p.FirstSent, "Content-Length", "Transfer-Encoding", "Connection", "Expect"} {
			if strings.EqualFold(name, own) {
				return nil, wrong("leave it away", "%s: semel verify writes %s itself", flag, own)
			}
		}
		h.Add(name, value)
	}
	return h, nil
}

// another refuses another caller who is the same one: what he gets would say nothing.
func another(t verify.Target) error {
	for name, values := range t.Other {
		switch own := t.Header[name]; {
		case own == nil:
			return wrong("give the field of the first caller with --header", "--other-header: %s stands in place of no --header", name)
		case slices.Equal(own, values):
			return wrong("give the credentials of another caller", "--other-header: %s has the value of --header", name)
		}
	}
	return nil
}

// readBody reads a body: text, @FILE, or @- for standard input.
func (a *app) readBody(flag, text string) (string, error) {
	path, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		return text, nil
	}
	var body []byte
	var err error
	if path == "-" {
		body, err = io.ReadAll(a.in)
	} else {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return "", outside("", "%s: %w", flag, err)
	}
	return string(body), nil
}
