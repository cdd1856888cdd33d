package console_test

import (
	"context"
	"errors"
	"html"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// faulty is a store whose calls for operators fail, or wait, as the test says.
type faulty struct {
	*memstore.Store
	list    func(context.Context) error
	audit   func(n int64) error
	resolve func() error
	ping    func() error
	audits  atomic.Int64
	found   semel.Inspection
}

func (f *faulty) List(ctx context.Context, filter semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		if f.list != nil {
			if err := f.list(ctx); err != nil {
				yield(semel.Record{}, err)
				return
			}
		}
		f.Store.List(ctx, filter)(yield)
	}
}

func (f *faulty) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if n := f.audits.Add(1); f.audit != nil {
		if err := f.audit(n); err != nil {
			return semel.AuditEntry{}, err
		}
	}
	return f.Store.Audit(ctx, e)
}

func (f *faulty) Resolve(ctx context.Context, r semel.Resolution) error {
	if f.resolve != nil {
		if err := f.resolve(); err != nil {
			return err
		}
	}
	return f.Store.Resolve(ctx, r)
}

func (f *faulty) Ping(context.Context) error {
	if f.ping != nil {
		return f.ping()
	}
	return nil
}

func (f *faulty) Inspect(context.Context) (semel.Inspection, error) { return f.found, nil }

const (
	readToken  = "a token for those who look"
	writeToken = "a token for those who act"
)

// site is a console over a store in memory.
type site struct {
	t      testing.TB
	store  *faulty
	engine *semel.Engine
	desk   *operator.Desk
	pages  *console.Console
	base   string
}

// open returns a console with two tokens, and what change does to its configuration.
func open(t testing.TB, change ...func(*console.Config)) *site {
	t.Helper()
	return openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Secret: semel.Secret("secret of the house")}, change...)
}

func openWith(t testing.TB, store *faulty, engine semel.Config, change ...func(*console.Config)) *site {
	t.Helper()
	return openOver(t, store, store, engine, change...)
}

// openOver is openWith for a store that can do more than a faulty one.
func openOver(t testing.TB, whole semel.Store, store *faulty, engine semel.Config, change ...func(*console.Config)) *site {
	t.Helper()
	s := &site{t: t, store: store}
	cfg := console.Config{
		Tokens: []console.Token{
			{Name: "olaf", Secret: semel.Secret(readToken)},
			{Name: "ann", Secret: semel.Secret(writeToken), Role: console.RoleWrite},
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if s.engine, err = semel.New(whole, engine); err != nil {
		t.Fatal(err)
	}
	if s.desk, err = operator.New(s.engine, operator.Config{Actor: "console"}); err != nil {
		t.Fatal(err)
	}
	if s.pages, err = console.New(s.desk, cfg); err != nil {
		t.Fatal(err)
	}
	s.base = strings.TrimSuffix(cfg.Base, "/")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := s.pages.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.engine.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request with a bearer token, unless it is empty.
func (s *site) ask(method, path, token string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, s.base+path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.pages.ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.ask(http.MethodGet, path, readToken, nil)
}

func (s *site) post(path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.ask(http.MethodPost, path, writeToken, form)
}

// text is what a page says.
func text(w *httptest.ResponseRecorder) string { return html.UnescapeString(w.Body.String()) }

// body is the beginning of what a page has to say.
func body(w *httptest.ResponseRecorder) string {
	_, after, _ := strings.Cut(text(w), "<main")
	return after[:min(len(after), 1500)]
}

// want checks a status and that the page says each of the texts.
func (s *site) want(w *httptest.ResponseRecorder, status int, texts ...string) {
	s.t.Helper()
	if w.Code != status {
		s.t.Errorf("got status %d, want %d: %s", w.Code, status, body(w))
	}
	for _, one := range texts {
		if !strings.Contains(text(w), one) {
			s.t.Errorf("got a page without %q: %s", one, body(w))
		}
	}
}

// reserve holds a slot for half a minute, as an attempt of another process would.
func (s *site) reserve(id string, change ...func(*semel.Reservation)) semel.Record {
	s.t.Helper()
	r := semel.Reservation{
		Key: semel.Key{Scope: "acme", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "host/1", Route: "POST /payments",
	}
	for _, f := range change {
		f(&r)
	}
	rec, err := s.store.Reserve(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// lapse lets every reservation so far lapse.
func (*site) lapse() { time.Sleep(time.Minute) }

// keep completes a slot with an answer of HTTP.
func (s *site) keep(id string, kept semelhttp.Kept) semel.Record {
	s.t.Helper()
	rec := s.reserve(id)
	response, err := kept.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if response, err = s.engine.SealResponse(s.t.Context(), rec.Key, response); err != nil {
		s.t.Fatal(err)
	}
	if err := s.store.Complete(s.t.Context(), semel.Completion{Key: rec.Key, Token: rec.Token, Response: response}); err != nil {
		s.t.Fatal(err)
	}
	return s.at(rec)
}

// at returns what the slot of rec holds, as the store keeps it.
func (s *site) at(rec semel.Record) semel.Record {
	s.t.Helper()
	for now, err := range s.store.Store.List(s.t.Context(), semel.Filter{Scope: rec.Key.Scope, ID: rec.Key.ID, Bodies: true}) {
		if err != nil {
			s.t.Fatal(err)
		}
		return now
	}
	s.t.Fatal("the record is gone")
	return semel.Record{}
}

// trail returns the whole trail, the latest entry first.
func (s *site) trail() []semel.AuditEntry {
	s.t.Helper()
	var all []semel.AuditEntry
	for e, err := range s.store.Trail(s.t.Context(), semel.AuditFilter{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// at is the address of a record.
func at(rec semel.Record, then ...string) string {
	return "/records/" + rec.Key.Slot().String() + strings.Join(then, "")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deedOn(rec semel.Record) operator.Deed {
	return operator.Deed{Action: semel.ActionRotate, Key: rec.Key, Fence: rec.Fence, Reason: "quarter"}
}

// turn seals by turning every bit, behind a mark.
type turn struct{}

func (turn) Seal(_, plain []byte) ([]byte, error) {
	out := []byte{0}
	for _, b := range plain {
		out = append(out, ^b)
	}
	return out, nil
}

func (s turn) Open(aad, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != 0 {
		return nil, errors.New("not sealed")
	}
	out, err := s.Seal(aad, sealed[1:])
	return out[1:], err
}
