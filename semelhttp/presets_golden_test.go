package semelhttp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

var update = flag.Bool("update", false, "write testdata/presets and the tables of docs/presets.md anew")

// TestPresetsOnTheWire plays one story under each preset and compares every request and
// answer with testdata/presets/NAME.http, byte for byte. The files are to be read beside
// the documentation of the API, see docs/presets.md for where that is.
func TestPresetsOnTheWire(t *testing.T) {
	for _, preset := range semelhttp.Presets() {
		t.Run(preset.String(), func(t *testing.T) {
			path := filepath.Join("testdata", "presets", preset.String()+".http")
			var got []byte
			synctest.Test(t, func(t *testing.T) { got = tell(t, preset) })
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is another story now; see the change with -update\n%s", path, firstDifference(string(got), string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, g[i], strings.Join(w[i:min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// outage is a store that may be down.
type outage struct {
	semel.Store
	down bool
}

// Unwrap gives the engine what else the store can do.
func (o *outage) Unwrap() semel.Store { return o.Store }

func (o *outage) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if o.down {
		return semel.Record{}, errors.New("down")
	}
	return o.Store.Reserve(ctx, r)
}

// teller writes down what a client of an API says and hears.
type teller struct {
	t       *testing.T
	handler http.Handler
	store   *outage
	key     string // the field
	maxKey  int
	dated   bool // requests say when they were sent first
	told    bytes.Buffer
}

const today = "Sat, 01 Jan 2000 00:00:00 GMT" // where a bubble begins

func tell(t *testing.T, preset semelhttp.Preset) []byte {
	t.Helper()
	full := semelhttp.Config{Preset: preset}.WithPreset()
	s := &teller{
		t: t, store: &outage{Store: memstore.New(memstore.Config{})},
		key: full.Headers[0], maxKey: full.MaxKey, dated: preset == semelhttp.OASISRepeatable,
	}
	quiet := slog.New(slog.DiscardHandler)
	engine, err := semel.New(s.store, semel.Config{Secret: semel.Secret("a secret of tests"), Margin: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close(context.WithoutCancel(t.Context())) }()
	mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Preset: preset, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	s.handler = mw.Wrap(service(release))
	s.outcomes(release)
	s.refusals()
	if s.dated {
		s.dates()
	}
	return s.told.Bytes()
}

// service has one path for each way to end.
func service(release <-chan struct{}) http.Handler {
	made, busy := 0, 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusCreated, ""
		switch r.URL.Path {
		case "/declined":
			status, body = http.StatusPaymentRequired, `{"declined":true}`
		case "/broken":
			status, body = http.StatusInternalServerError, `{"broken":true}`
		case "/busy":
			if busy++; busy == 1 {
				status, body = http.StatusTooManyRequests, `{"busy":true}`
			}
		case "/slow":
			<-release
		case "/dies":
			panic(http.ErrAbortHandler)
		}
		if body == "" {
			made++
			body = fmt.Sprintf(`{"payment":%d}`, made)
			w.Header().Set("Location", fmt.Sprintf("/payments/%d", made))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (s *teller) outcomes(release chan struct{}) {
	s.say("The first request runs", s.request("/payments", "key-1", 100))
	s.say("Sent again: the kept answer", s.request("/payments", "key-1", 100))
	s.say("A refusal of the service", s.request("/declined", "key-2", 100))
	s.say("Sent again", s.request("/declined", "key-2", 100))
	s.say("A failure of the service", s.request("/broken", "key-3", 100))
	s.say("Sent again", s.request("/broken", "key-3", 100))
	s.say("The service is busy: nothing happened", s.request("/busy", "key-4", 100))
	s.say("Sent again: it runs", s.request("/busy", "key-4", 100))

	done := make(chan struct{})
	first := s.request("/slow", "key-5", 100)
	go func() {
		defer close(done)
		s.handler.ServeHTTP(httptest.NewRecorder(), first)
	}()
	synctest.Wait()
	s.say("The first request still runs", s.request("/slow", "key-5", 100))
	close(release)
	<-done
	s.say("Sent again when it has ended", s.request("/slow", "key-5", 100))

	func() {
		defer func() { _ = recover() }()
		s.handler.ServeHTTP(httptest.NewRecorder(), s.request("/dies", "key-6", 100))
	}()
	s.say("The first request died: nobody knows what it did", s.request("/dies", "key-6", 100))
}

func (s *teller) refusals() {
	s.say("Another request under the same key", s.request("/payments", "key-1", 999))
	missing := s.request("/payments", "", 100)
	s.say("No key", missing)
	s.say("The longest key", s.request("/payments", strings.Repeat("k", s.maxKey), 100))
	s.say("A key that is too long", s.request("/payments", strings.Repeat("k", s.maxKey+1), 100))
	for _, method := range []string{http.MethodDelete, http.MethodPatch} {
		q := s.request("/payments", "", 100)
		q.Method = method
		s.say(method+" without a key", q)
	}
	s.store.down = true
	s.say("The store is down", s.request("/payments", "key-7", 100))
	s.store.down = false
}

// dates are the refusals of OASIS Repeatable Requests.
func (s *teller) dates() {
	for _, c := range []struct{ title, sent string }{
		{"No Repeatability-First-Sent", ""},
		{"Another Repeatability-First-Sent than before", "Fri, 31 Dec 1999 23:59:59 GMT"},
		{"A Repeatability-First-Sent that is no IMF-fixdate", "2000-01-01T00:00:00Z"},
		{"A Repeatability-First-Sent in the future", "Sat, 01 Jan 2000 00:06:00 GMT"},
	} {
		q := s.request("/payments", "key-1", 100)
		q.Header.Set("Repeatability-First-Sent", c.sent)
		if c.sent == "" {
			q.Header.Del("Repeatability-First-Sent")
		}
		s.say(c.title, q)
	}
	begin, err := http.ParseTime(today)
	if err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Until(begin.Add(23*time.Hour + 50*time.Minute - time.Second)))
	s.say("Sent again while it is surely remembered", s.request("/payments", "key-1", 100))
	s.say("Sent again when it may be forgotten", s.request("/payments", "key-1", 100))
	time.Sleep(48 * time.Hour)
	s.say("Sent again when it is forgotten", s.request("/payments", "key-1", 100))
}

func (s *teller) request(path, key string, amount int) *http.Request {
	q := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, strings.NewReader(fmt.Sprintf(`{"amount":%d}`, amount)))
	q.Header.Set("Content-Type", "application/json")
	if key != "" {
		q.Header.Set(s.key, key)
		if s.dated {
			q.Header.Set("Repeatability-First-Sent", today)
		}
	}
	return q
}

// say sends a request and writes down both sides. The host and the length of the request
// tell nothing.
func (s *teller) say(title string, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	time.Sleep(time.Second) // as a client does between two tries
	fmt.Fprintf(&s.told, "### %s\n\n%s %s HTTP/1.1\n", title, q.Method, q.URL.Path)
	writeFields(&s.told, q.Header, body)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, q)
	fmt.Fprintf(&s.told, "HTTP/1.1 %d %s\n", w.Code, http.StatusText(w.Code))
	writeFields(&s.told, w.Result().Header, w.Body.Bytes())
}

func writeFields(to *bytes.Buffer, h http.Header, body []byte) {
	var lines bytes.Buffer
	_ = h.WriteSubset(&lines, map[string]bool{"Date": true, "Content-Length": true}) // sorted; a buffer does not fail
	to.WriteString(strings.ReplaceAll(lines.String(), "\r\n", "\n"))
	fmt.Fprintf(to, "\n%s\n\n", body)
}
