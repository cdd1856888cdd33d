package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/semel-go/semel"
)

func FuzzSession(f *testing.F) {
	key := semel.Secret(strings.Repeat("k", 32))
	tokens := []Token{{Name: "ann", Secret: semel.Secret("a token of sixteen bytes"), Role: RoleWrite}}
	s := newSessions(Config{SessionKey: key, Tokens: tokens, Session: time.Hour})
	now := time.Unix(1_800_000_000, 0)
	good := s.begin(tokens[0], now)
	f.Add(good)
	f.Add("")
	f.Add(".")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, value string) {
		said, token, ok := s.read(value, now)
		if !ok {
			return
		}
		// Nobody else can make one: what counts is one that begin has made.
		text, sum, _ := strings.Cut(value, ".")
		if value != good && encoding.EncodeToString(s.sum(text, token)) != sum {
			t.Fatalf("%q counts for %q", value, said.name)
		}
	})
}

func FuzzPlace(f *testing.F) {
	f.Add("")
	f.Add("1795699520000000." + strings.Repeat("0f", 32))
	f.Add("1." + strings.Repeat("AA", 32))
	f.Fuzz(func(t *testing.T, text string) {
		place, err := parsePlace(text)
		if err == nil && formatPlace(place) != text {
			t.Fatalf("%q came back as %q", text, formatPlace(place))
		}
	})
}

func FuzzChoices(f *testing.F) {
	f.Add("state=lapsed&older=10s&scope=a&route=b&after=1." + strings.Repeat("0", 64))
	f.Add("state=%00&older=1e9h")
	f.Fuzz(func(t *testing.T, query string) {
		q, _ := url.ParseQuery(query)
		_, filter, err := parseChoices(q)
		if err != nil {
			return
		}
		if filter.MinAge < 0 || !utf8.ValidString(filter.Scope) || len(filter.Scope) > semel.MaxScopeLen {
			t.Fatalf("%q became %+v", query, filter)
		}
		again, _ := url.ParseQuery(strings.TrimPrefix(next("", q, semel.Place{CreatedAt: time.UnixMicro(1)}), "?"))
		if _, same, err := parseChoices(again); err != nil || same.Scope != filter.Scope || same.MinAge != filter.MinAge || same.Route != filter.Route {
			t.Fatalf("the next page of %q has another filter: %+v, %v", query, same, err)
		}
	})
}

func FuzzNextIsLocal(f *testing.F) {
	for _, seed := range []string{"/ops/lapsed?x=1", "//evil", "/ops//evil", `/ops/\evil`, "/ops/%2f%2fevil", "http://x/ops/", "/ops/..", "/ops/\x00"} {
		f.Add(seed)
	}
	cfg := Config{Base: "/ops"}
	f.Fuzz(func(t *testing.T, text string) {
		got := cfg.local(text)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/ops/") || strings.ContainsAny(got, "\\\r\n\t") || strings.Contains(u.Path, "/../") {
			t.Fatalf("%q leads to %q", text, got)
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("Location: /a\r\nX: b")
	f.Add(": x\n\x00: y")
	f.Fuzz(func(t *testing.T, text string) {
		h := make(http.Header)
		if addFields(h, text) != nil {
			return
		}
		for name, values := range h {
			for _, value := range values {
				if !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
					t.Fatalf("%q became %q: %q", text, name, value)
				}
			}
		}
	})
}

func FuzzClip(f *testing.F) {
	f.Add("plain", 80)
	f.Add("\u202e\xff\x00<é>", 3)
	f.Fuzz(func(t *testing.T, text string, length int) {
		got := clip(text, length%200)
		if !utf8.ValidString(got.Shown) || len(got.Shown) > 12*200+3 {
			t.Fatalf("%q became %q", text, got.Shown)
		}
		for _, r := range got.Shown {
			if r != ' ' && !unicode.IsPrint(r) {
				t.Fatalf("%q shows %U", text, r)
			}
		}
	})
}

func TestStepsOfAHistogramAreInOrder(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < 3*time.Minute; d += d/50 + time.Microsecond {
		step := stepOf(d)
		if step < last {
			t.Fatalf("%v is in step %d, behind %d", d, step, last)
		}
		last = step
		if step < histogramSize-1 && (d >= stepEnd(step) || step >= 4 && float64(stepEnd(step)) > 1.26*float64(d)+float64(time.Microsecond)) {
			t.Fatalf("%v is in a step that ends at %v", d, stepEnd(step))
		}
	}
	if stepOf(-time.Second) != 0 || stepOf(time.Hour) != histogramSize-1 {
		t.Error("times at the ends have no step")
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	for i := range 100 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	var s sum
	s.add(&h)
	for share, want := range map[float64]time.Duration{0.5: 51 * time.Millisecond, 0.99: 100 * time.Millisecond} {
		if got := s.quantile(share); got < want || got > want*5/4 {
			t.Errorf("got %v at %v, want about %v", got, share, want)
		}
	}
	if (&sum{}).quantile(0.5) != 0 {
		t.Error("got a time of nothing")
	}
}

func TestScalesAreRound(t *testing.T) {
	for top, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 7: 10, 18.4: 20, 41: 50, 1200: 2000} {
		if got, _ := scale(top, func(float64) string { return "" }); got != want {
			t.Errorf("got %v for %v, want %v", got, top, want)
		}
	}
	height, ticks := powers(300*time.Microsecond, 90*time.Millisecond)
	if len(ticks) != 4 || ticks[0].Label != "100 µs" || ticks[3].Label != "100 ms" || height(time.Millisecond) < 0.33 || height(time.Millisecond) > 0.34 {
		t.Errorf("got the ticks %v and %v for a millisecond", ticks, height(time.Millisecond))
	}
}

// Every story is served, is in the index, and is a page as any other.
func TestStories(t *testing.T) {
	handler := Stories()
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	index := ask("/").Body.String()
	shown := map[string]bool{"stories": true, "layout": true, "parts": true}
	for _, s := range stories() {
		if !strings.Contains(index, `href="/stories/`+s.name+`"`) {
			t.Errorf("%s is not in the index", s.name)
		}
		w := ask("/stories/" + s.name)
		if !strings.Contains(w.Body.String(), "</html>") || strings.Contains(w.Body.String(), "no value") {
			t.Errorf("%s: got %d: %s", s.name, w.Code, w.Body)
		}
		first := ask("/stories/" + s.name).Body.String()
		if first != w.Body.String() {
			t.Errorf("%s looks different each time", s.name)
		}
		for name := range templates() {
			if strings.HasPrefix(s.name, name) {
				shown[name] = true
			}
		}
	}
	all, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	for _, file := range all {
		if name := strings.TrimSuffix(strings.TrimPrefix(file, "pages/"), ".html"); !shown[name] {
			t.Errorf("the page %s has no story", name)
		}
	}
}
