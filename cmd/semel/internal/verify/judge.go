package verify

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// what became of a request, as far as its answer tells.
type what uint8

const (
	unknown  what = iota // two runs answer alike
	replayed             // it got the kept answer
	ran                  // it ran
	turned               // it was refused, or got no answer
)

// judge says what became of x, which repeats first.
func (s *session) judge(first, x *exchange) what {
	switch {
	case !isSuccess(x.status):
		return turned
	case s.profile.tells() && s.profile.marked(x.header):
		return replayed
	case s.base.distinct && alikeAnswers(first, x):
		return replayed
	case s.base.distinct && !s.profile.NewestState, s.base.marked:
		return ran
	}
	return unknown
}

// alikeAnswers reports whether two answers show the same result: the body and
// what it is called. Fields that differ in each answer do not count.
func alikeAnswers(a, b *exchange) bool {
	return bytes.Equal(a.body, b.body) && slices.Equal(a.header["Location"], b.header["Location"])
}

// perAnswer are fields that belong to one answer and not to the result. The last
// ones end with * for all that begin so.
var perAnswer = []string{
	"Date", "Age", "Cache-Control", "Expires", "Set-Cookie", "Content-Length", "Server-Timing", "Via", "Alt-Svc", "Nel", "Report-To",
	"Request-Id", "X-Request-Id", "X-Correlation-Id", "Correlation-Id", "X-Trace-Id", "Traceparent", "Tracestate", "X-Runtime",
	"X-Response-Time", "Cf-Ray", "X-Amzn-Trace-Id", "X-Amzn-Requestid", "X-Amz-Cf-Id",
	"Retry-After", "Ratelimit*", "X-Ratelimit*", "X-Envoy-*",
}

// hopByHop are fields of one connection (RFC 9110 section 7.6.1), beside those
// that Connection names.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// lostFields says what of the header of first a replay lacks or has otherwise, and
// which differences do not count.
func (s *session) lostFields(first, again *exchange) (lost, ignored []string) {
	names := make([]string, 0, len(first.header))
	for name := range first.header {
		names = append(names, name)
	}
	slices.Sort(names)
	own := connectionNames(first.header)
	for _, name := range names {
		was, is := first.header[name], again.header[name]
		if slices.Equal(was, is) || slices.Contains(hopByHop, name) || slices.Contains(own, name) || strings.EqualFold(name, s.profile.Marker) {
			continue
		}
		if isListed(perAnswer, name) || isListed(s.target.Ignore, name) {
			ignored = append(ignored, name)
			continue
		}
		if len(is) == 0 {
			lost = append(lost, "without "+name)
		} else {
			lost = append(lost, fmt.Sprintf("%s %q, not %q", name, strings.Join(is, ", "), strings.Join(was, ", ")))
		}
	}
	return lost, ignored
}

// connectionNames are the fields that Connection names, in canonical form.
func connectionNames(h http.Header) []string {
	var names []string
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

func isListed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		prefix, all := strings.CutSuffix(entry, "*")
		if all {
			return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
		}
		return strings.EqualFold(entry, name)
	})
}

// repeat sends op once more, changed, and says what became of it. Where answers do not
// tell, the counter does.
func (s *session) repeat(ctx context.Context, first *exchange, note string, op operation, change ...func(*request)) (*exchange, what, error) {
	blind := s.counts() && !s.base.marked && (!s.base.distinct || s.profile.NewestState)
	before, after := int64(0), int64(0)
	var err error
	if blind {
		if before, err = s.count(ctx); err != nil {
			return nil, unknown, err
		}
	}
	x, err := s.send(ctx, note, op, change...)
	if err != nil {
		return nil, unknown, err
	}
	became := s.judge(first, x)
	if became != unknown || !blind {
		return x, became, nil
	}
	if after, err = s.count(ctx); err != nil {
		return nil, unknown, err
	}
	if after == before {
		return x, replayed, nil
	}
	return x, ran, nil
}

// blind says why nothing can be said.
const blind = "two runs answer alike: give --effects, or a request whose answer differs with each run"
