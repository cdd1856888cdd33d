package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// filled has one record in each state, hostile ones among them, and a trail.
func filled(t testing.TB, change ...func(*console.Config)) (*site, semel.Record) {
	t.Helper()
	s := open(t, change...)
	lapsed := s.reserve("lapsed")
	s.reserve("hostile", func(r *semel.Reservation) {
		r.Owner = strings.Repeat(`<script>alert("x")</script>`, 1<<15)
		r.Route = "\" onmouseover=\"alert(1)\" \xff\u202e\x00\r\n<img src=x>"
		r.Key.Scope = `'><svg/onload=alert(1)>{{.}}&lt;`
	})
	s.lapse()
	s.keep("kept", semelhttp.Kept{Status: 201, Body: []byte("x")})
	free := s.reserve("free")
	must(t, s.store.Release(t.Context(), free.Key, free.Token))
	s.reserve("running")
	_, err := s.desk.Reveal(t.Context(), free.Key.Slot(), `</td><script>alert("reason")</script>`)
	must(t, err)
	return s, lapsed
}

func TestEveryPageIsClean(t *testing.T) {
	for _, base := range []string{"", "/ops/console"} {
		synctest.Test(t, func(t *testing.T) {
			s, lapsed := filled(t, func(c *console.Config) { c.Base, c.Meter, c.Service = base, console.NewMeter(), "<b>payments</b>" })
			addresses := append([]string{at(lapsed), "/records?state=lapsed&scope=%22%3E&older=10s", "/nowhere", "/records/nonsense", "/signin", "/inflight?after=x", "/search?q=0"}, paths...)
			for page, err := range s.store.Store.List(t.Context(), semel.Filter{}) {
				must(t, err)
				addresses = append(addresses, at(page))
			}
			for _, path := range addresses {
				w := s.ask(http.MethodGet, path, writeToken, nil)
				clean(t, base, w.Body.String())
				if w.Body.Len() > 100<<10 {
					t.Errorf("%s: got %d bytes", path, w.Body.Len())
				}
				if t.Failed() {
					t.Fatalf("that was %s", path)
				}
			}
		})
	}
}

func TestHostileTextIsSpelledOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := filled(t)
		w := s.get("/records")
		s.want(w, http.StatusOK, `\xff\u202e\x00\r\n<img src=x>`, "(884736 bytes in all)", `'><svg/onload=alert(1)>{{.}}&lt;`)
		for _, raw := range []string{"<img", "<svg/", "\u202e", "\x00", "\xff", "<script>"} {
			if strings.Contains(w.Body.String(), raw) {
				t.Errorf("the page has %q as it came", raw)
			}
		}
		s.want(s.get("/audit"), http.StatusOK, `</td><script>alert("reason")</script>`)
	})
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, lapsed := filled(t, func(c *console.Config) { c.Hosts = []string{"example.com"} })
		foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
		for name, w := range map[string]*httptest.ResponseRecorder{
			"page":       s.get("/"),
			"record":     s.get(at(lapsed)),
			"sign in":    s.ask(http.MethodGet, "/signin", "", nil),
			"to sign in": s.ask(http.MethodGet, "/", "", nil),
			"not there":  s.get("/nowhere"),
			"refused":    s.ask(http.MethodPost, at(lapsed, "/release"), readToken, url.Values{}),
			"foreign":    s.ask(http.MethodPost, "/signin", "", url.Values{}, foreign),
			"method":     s.ask(http.MethodPut, "/audit", writeToken, url.Values{}),
			"host":       s.ask(http.MethodGet, "/", readToken, nil, func(r *http.Request) { r.Host = "evil.example" }),
		} {
			h := w.Header()
			policy := h.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: got the policy %q", name, policy)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got %v", name, h)
			}
		}
	})
}

func TestAssets(t *testing.T) {
	s := open(t, func(c *console.Config) { c.Base = "/ops" })
	page := s.ask(http.MethodGet, "/signin", "", nil).Body.String()
	found := regexp.MustCompile(`/ops(/assets/[0-9a-f]+/[a-z.]+)`).FindAllStringSubmatch(page, -1)
	if len(found) != 3 {
		t.Fatalf("got the assets %v, want style, script and icon", found)
	}
	for _, one := range found {
		w := s.ask(http.MethodGet, one[1], "", nil)
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: got %d, %q", one[1], w.Code, w.Header().Get("Cache-Control"))
		}
	}
	for _, path := range []string{"/assets/x/none.css", "/assets/x/..%2fpage.go", "/assets/x/"} {
		if w := s.ask(http.MethodGet, path, "", nil); w.Code == http.StatusOK {
			t.Errorf("%s: got it", path)
		}
	}
	if w := s.ask(http.MethodGet, "/assets/0000/console.css", "", nil); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("of another build: got %d, %q, want it kept by nobody", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestInTheUsersOwnMux(t *testing.T) {
	s := open(t, func(c *console.Config) { c.Base = "/ops/" })
	mux := http.NewServeMux()
	mux.Handle("/ops/", s.pages)
	for path, want := range map[string]int{"/ops/": 200, "/ops/audit": 200, "/ops": 307, "/audit": 404} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+readToken)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	if w := open(t, func(c *console.Config) { c.Base = "/ops" }).ask(http.MethodGet, "", readToken, nil); w.Header().Get("Location") != "/ops/" {
		t.Errorf("got %d to %q, want the first page", w.Code, w.Header().Get("Location"))
	}
}

func TestFindARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		for i := range 40 {
			s.reserve(fmt.Sprint("other-", i))
		}
		twice := s.reserve("order-2")
		s.reserve("order-2", func(r *semel.Reservation) { r.Key.Scope = "globex" })
		slot := rec.Key.Slot().String()
		leads := func(what string, w *httptest.ResponseRecorder, to semel.Record) {
			t.Helper()
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != at(to) {
				t.Errorf("%s: got %d to %q, want the record", what, w.Code, w.Header().Get("Location"))
			}
		}
		leads("slot", s.get("/search?q="+slot[:20]), rec)
		leads("twelve digits", s.get("/search?q=+"+strings.ToUpper(slot[:12])), rec)
		leads("reference", s.get("/search?q="+s.desk.Ref(rec)), rec)
		leads("scope and key", s.post("/search", url.Values{"scope": {"acme"}, "key": {"order-2"}}), twice)
		leads("key", s.post("/search", url.Values{"key": {"order-1"}}), rec)
		s.want(s.post("/search", url.Values{"key": {"order-2"}}), http.StatusOK, "acme", "globex", twice.Key.Slot().String()[:12])
		s.want(s.post("/search", url.Values{"key": {"order-3"}}), http.StatusOK, "No scope has a record")
		s.want(s.get("/search?q="+slot[:1]), http.StatusMultipleChoices, "More than one record", slot[:12])
		s.want(s.get("/search?q=000000000000"), http.StatusNotFound, "No such record")
		for _, w := range []*httptest.ResponseRecorder{
			s.get("/search?q=order-1"), s.get("/search?q=" + strings.Repeat("a", 65)), s.post("/search", url.Values{}),
			s.post("/search", url.Values{"key": {strings.Repeat("k", 256)}}), s.get("/records/abc"), s.get("/records/" + strings.Repeat("g", 64)),
		} {
			s.want(w, http.StatusBadRequest)
		}
	})
}

func TestListsGoOnByPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Page = 4 })
		for i := range 10 {
			s.reserve(fmt.Sprint("order-", i))
			time.Sleep(time.Millisecond)
		}
		for range 5 {
			must(t, s.desk.Perform(t.Context(), deedOn(s.reserve("order-1")), func(context.Context) error { return nil }))
		}
		next := regexp.MustCompile(`href="([^"]+)" rel="next"`)
		for path, want := range map[string]int{"/records?state=reserved&older=1ms": 10, "/inflight": 10, "/audit": 6} {
			seen := map[string]bool{}
			start := path
			for pages := 0; path != "" && pages < 9; pages++ {
				w := s.get(path)
				s.want(w, http.StatusOK)
				for _, row := range regexp.MustCompile(`<t[dh][^>]*class="(?:code|nowrap)"><(?:a|time) [a-z]+="([^"]+)`).FindAllStringSubmatch(w.Body.String(), -1) {
					seen[row[1]] = true
				}
				path = ""
				if found := next.FindStringSubmatch(w.Body.String()); found != nil {
					path = strings.ReplaceAll(found[1], "&amp;", "&")
				}
			}
			if start != "/audit" && len(seen) != want {
				t.Errorf("%s: got %d records on all pages, want %d", start, len(seen), want)
			}
			if path != "" {
				t.Errorf("%s: the list has no end", start)
			}
		}
		for _, bad := range []string{
			"/records?after=1", "/records?after=x." + strings.Repeat("0", 64), "/records?after=-1." + strings.Repeat("0", 64),
			"/records?state=none", "/records?older=yesterday", "/records?older=-1s", "/records?scope=" + strings.Repeat("s", 256),
			"/records?route=%ff", "/audit?before=x", "/audit?before=-1", "/inflight?after=9999999999999999999." + strings.Repeat("0", 64),
		} {
			s.want(s.get(bad), http.StatusBadRequest, "That cannot be looked for")
		}
	})
}

func TestStorePageTellsTheGradeAndTheFindings(t *testing.T) {
	s := openWith(t, &faulty{Store: memstore.New(memstore.Config{}), found: semel.Inspection{
		Server: "PostgreSQL 17.2", Findings: []semel.Finding{{Name: "fsync", Value: "<off>", Level: semel.Broken, Advice: "Switch it on."}},
	}}, semel.Config{})
	s.want(s.get("/store"), http.StatusOK, "PostgreSQL 17.2", "fsync", "<off>", "broken", "Switch it on.", "Nothing: the records live in this process")
}

func TestPagesOfManyRecordsAreBounded(t *testing.T) {
	s := open(t)
	for i := range 100_000 {
		s.reserve(fmt.Sprint("order-", i), func(r *semel.Reservation) { r.Lease = time.Nanosecond })
	}
	for _, path := range append([]string{"/records?scope=acme", "/records?route=none"}, paths...) {
		w := s.get(path)
		s.want(w, http.StatusOK)
		if w.Body.Len() > 100<<10 {
			t.Errorf("%s: got %d bytes", path, w.Body.Len())
		}
	}
}

func TestFormsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		form := release(rec)
		form.Set("body", strings.Repeat("x", 3<<20))
		for _, action := range []string{"/release", "/complete", "/reveal"} {
			s.want(s.post(at(rec, action), form), http.StatusRequestEntityTooLarge, "too large")
		}
		if w := s.ask(http.MethodPost, "/signin", "", url.Values{"token": {strings.Repeat("x", 3<<20)}}); w.Code != http.StatusUnauthorized {
			t.Errorf("sign in: got %d", w.Code)
		}
	})
}

func TestClosedConsoleActsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		must(t, s.pages.Close(t.Context()))
		s.want(s.post(at(rec, "/release"), release(rec)), http.StatusServiceUnavailable, "closing")
		must(t, s.pages.Close(t.Context()))
	})
}

func TestHashedKeysAreFoundTogetherWithTheirScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{HashKeys: true, Secret: semel.Secret("secret of the house")})
		out, err := s.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: "order-1"}})
		must(t, err)
		w := s.post("/search", url.Values{"scope": {"acme"}, "key": {"order-1"}})
		if w.Header().Get("Location") != at(out.Record) {
			t.Errorf("got %d to %q, want the record", w.Code, w.Header().Get("Location"))
		}
		s.want(s.post("/search", url.Values{"key": {"order-1"}}), http.StatusBadRequest, "hashes in place of keys")
		short := out.Record.Key.Slot().String()[:12]
		s.want(s.get("/records?scope=acme"), http.StatusOK, short)
		if strings.Contains(text(s.get("/records?scope=globex")), short) {
			t.Error("another scope has the record")
		}
		must(t, out.Claim.Release(t.Context()))
	})
}

func (closedVault) Open(_, _ []byte) ([]byte, error) { return nil, semel.ErrKeyUnavailable }
