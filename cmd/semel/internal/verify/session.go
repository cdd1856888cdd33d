package verify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// session is one run: what was seen so far, for the rules that look at it.
type session struct {
	target  Target
	profile Profile
	cfg     Config
	wire    *wire
	secrets []string
	keys    keyring
	n       int // of operations so far

	base     pair
	refusals []*exchange

	conflict   memo[conflictSeen]
	flight     memo[flightSeen]
	concurrent memo[concurrentSeen]
	cut        memo[cutSeen]
}

// pair is what the run begins with: one operation, sent twice, and the same
// under another key.
type pair struct {
	op           operation
	first, again *exchange
	other        *exchange
	distinct     bool // two runs can be told apart by their answers
	marked       bool // the replay has the marker
	ran, reran   int64
}

// memo remembers what an experiment has seen, for the rules that judge it.
type memo[T any] struct {
	seen *T
	err  error
}

func (m *memo[T]) get(see func() (*T, error)) (*T, error) {
	if m.seen == nil && m.err == nil {
		m.seen, m.err = see()
	}
	return m.seen, m.err
}

func newSession(t Target, cfg Config) *session {
	if t.Header == nil {
		t.Header = make(http.Header)
	}
	s := &session{target: t, profile: cfg.Profile, cfg: cfg}
	s.wire = &wire{
		most: int64(cfg.MaxRequests), patience: cfg.RequestTimeout,
		tls: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
	s.secrets = secretsOf(t)
	return s
}

// operation is what a client wants done once: its key, and a body that stays
// the same in every try.
type operation struct {
	n      int
	key    string
	body   string
	header http.Header // that every try must have
}

// operation makes one from a body with placeholders.
func (s *session) operation(template string) operation {
	s.n++
	op := operation{n: s.n, key: newKey(), header: make(http.Header)}
	s.keys.add(op.key)
	op.body = fill(template, op.n, op.key)
	if s.profile.FirstSent != "" {
		op.header.Set(s.profile.FirstSent, time.Now().UTC().Format(http.TimeFormat))
	}
	return op
}

func fill(template string, n int, key string) string {
	return strings.NewReplacer("{{n}}", strconv.Itoa(n), "{{key}}", key).Replace(template)
}

// newKey is a UUID of version 4: 36 characters, which every API takes.
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// request is op as it is sent, changed by change.
func (s *session) request(op operation, change ...func(*request)) request {
	r := request{method: s.target.Method, url: s.target.URL, header: s.target.Header.Clone(), body: []byte(op.body)}
	r.header.Set("User-Agent", "semel-verify")
	maps.Copy(r.header, op.header)
	r.header[s.profile.Header] = []string{op.key}
	for _, f := range change {
		f(&r)
	}
	for _, key := range r.header[s.profile.Header] {
		s.keys.add(key)
	}
	return r
}

// Changes of a request.

func withBody(body string) func(*request) { return func(r *request) { r.body = []byte(body) } }

func withURL(u *url.URL) func(*request) { return func(r *request) { r.url = u } }

func withField(name string, values ...string) func(*request) {
	return func(r *request) { r.header[http.CanonicalHeaderKey(name)] = values }
}

func (s *session) withKey(lines ...string) func(*request) {
	return func(r *request) {
		delete(r.header, s.profile.Header)
		if len(lines) > 0 {
			r.header[s.profile.Header] = lines
		}
	}
}

// withoutKey leaves out all that belongs to a key.
func (s *session) withoutKey() func(*request) {
	return func(r *request) {
		delete(r.header, s.profile.Header)
		delete(r.header, http.CanonicalHeaderKey(s.profile.FirstSent))
	}
}

func (s *session) fromOther() func(*request) {
	return func(r *request) {
		maps.Copy(r.header, s.target.Other)
	}
}

// exchange is one request with its answer.
type exchange struct {
	note string // what is particular about it
	sent request
	key  string
	at   time.Time // when it was sent
	*answer
}

// send sends op, changed.
func (s *session) send(ctx context.Context, note string, op operation, change ...func(*request)) (*exchange, error) {
	x := &exchange{note: note, sent: s.request(op, change...), at: time.Now()}
	if lines := x.sent.header[s.profile.Header]; len(lines) > 0 {
		x.key = lines[0]
	}
	got, err := s.wire.do(ctx, x.sent)
	x.answer = got
	return x, err
}

// refused notes a refusal that the endpoint has made about keys, for the rules about
// what all refusals look like.
func (s *session) refused(x *exchange) {
	if isRefusal(x.status) {
		s.refusals = append(s.refusals, x)
	}
}

// begin sends what everything else is compared with.
func (s *session) begin(ctx context.Context) (err error) {
	var counts [3]int64
	count := func(i int) {
		if err == nil && s.counts() {
			counts[i], err = s.count(ctx)
		}
	}
	send := func(note string, op operation) (x *exchange) {
		if err == nil {
			x, err = s.send(ctx, note, op)
		}
		return x
	}
	b := &s.base
	b.op = s.operation(s.target.Body)
	count(0)
	b.first = send("first", b.op)
	if err == nil {
		err = s.served(b.first)
	}
	count(1)
	b.again = send("retry", b.op)
	count(2)
	alike := s.operation("")
	alike.body = b.op.body // by the answers' own making they may differ, not by ours
	b.other = send("another key", alike)
	if err != nil {
		return err
	}
	b.ran, b.reran = counts[1]-counts[0], counts[2]-counts[1]
	if s.counts() && b.ran == 0 {
		return fmt.Errorf("%w: %s did not move when the request was served", ErrCounter, ShowURL(s.target.Effects.URL))
	}
	b.distinct = isSuccess(b.other.status) && !alikeAnswers(b.first, b.other)
	b.marked = s.profile.tells() && s.profile.marked(b.again.header)
	return nil
}

// served says why the first request is of no use, if it is.
func (s *session) served(x *exchange) error {
	switch {
	case x.status/100 == 3:
		return fmt.Errorf("%s %w: %d to %q", ShowURL(x.sent.url), ErrRedirect, x.status, s.scrub(x.header.Get("Location")))
	case !isSuccess(x.status):
		return fmt.Errorf("%s %w: %s", ShowURL(x.sent.url), ErrNotServed, strings.TrimSpace(s.scrub(x.outcome())+" "+excerpt([]byte(s.scrub(string(x.body))))))
	}
	return nil
}
