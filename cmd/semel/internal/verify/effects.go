package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Counter is a URL that tells how often an operation has happened. It is asked
// by GET, with the fields of the endpoint's requests if it is on the same server.
type Counter struct {
	// URL without a fragment.
	URL *url.URL
	// Pointer is a JSON Pointer (RFC 6901) to the number; "" when the whole body is one.
	Pointer string
}

// ParseCounter reads a URL whose fragment, if any, is a JSON Pointer to the
// number: http://127.0.0.1:3000/stats#/payments.
func ParseCounter(text string) (Counter, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Counter{}, err
	}
	if err := CheckURL(u); err != nil {
		return Counter{}, err
	}
	c := Counter{Pointer: u.Fragment}
	u.Fragment, u.RawFragment = "", ""
	c.URL = u
	if c.Pointer != "" && c.Pointer[0] != '/' {
		return Counter{}, fmt.Errorf("#%s is not a JSON Pointer, which begins with a slash", c.Pointer)
	}
	return c, nil
}

// parse finds the number in the counter's answer.
func (c Counter) parse(body []byte) (int64, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // a counter is never rounded
	var v any
	if err := dec.Decode(&v); err != nil {
		return 0, fmt.Errorf("its answer is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return 0, errors.New("its answer is more than one JSON value")
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(c.Pointer, "/"), "/") {
		if c.Pointer == "" {
			break
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		found := false
		switch in := v.(type) {
		case map[string]any:
			v, found = in[step]
		case []any:
			if i, err := strconv.ParseUint(step, 10, 31); err == nil && int(i) < len(in) {
				v, found = in[i], true
			}
		}
		if !found {
			return 0, fmt.Errorf("its answer has nothing at %s", c.Pointer)
		}
	}
	number, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("its answer has no number at %q", c.Pointer)
	}
	n, err := number.Int64()
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", number)
	}
	return n, nil
}

// count asks the counter.
func (s *session) count(ctx context.Context) (int64, error) {
	r := request{method: http.MethodGet, url: s.target.Effects.URL, header: make(http.Header)}
	if SameOrigin(r.url, s.target.URL) { // credentials go nowhere else
		r.header = s.target.Header.Clone()
		r.header.Del("Content-Type")
	}
	got, err := s.wire.do(ctx, r)
	if err != nil {
		return 0, err
	}
	if got.status != http.StatusOK {
		return 0, fmt.Errorf("%w: %s answers %s", ErrCounter, ShowURL(r.url), s.scrub(got.outcome()))
	}
	n, err := s.target.Effects.parse(got.body)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrCounter, ShowURL(r.url), err)
	}
	return n, nil
}

// counts reports whether there is a counter.
func (s *session) counts() bool { return s.target.Effects.URL != nil }
