package console_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
)

// paths are the pages that anybody who may look can open.
var paths = []string{"/", "/inflight", "/lapsed", "/records", "/search", "/audit", "/store"}

func TestPagesNeedASignIn(t *testing.T) {
	s := open(t)
	for _, path := range append([]string{"/records/" + strings.Repeat("0", 64), "/nowhere"}, paths...) {
		w := s.ask(http.MethodGet, path, "", nil)
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "/signin?next=") {
			t.Errorf("%s: got %d to %q, want the page to sign in", path, w.Code, w.Header().Get("Location"))
		}
		if w := s.ask(http.MethodGet, path, "not a token of anybody", nil); w.Code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: got %d, want 401", path, w.Code)
		}
	}
	for _, path := range []string{"/search", "/records/" + strings.Repeat("0", 64) + "/release"} {
		if w := s.ask(http.MethodPost, path, "", url.Values{}); w.Code != http.StatusUnauthorized {
			t.Errorf("POST %s: got %d, want 401", path, w.Code)
		}
	}
	if w := s.ask(http.MethodGet, "/live", "", nil); w.Code != http.StatusUnauthorized {
		t.Errorf("/live: got %d, want 401", w.Code)
	}
}

// signIn returns the cookie for a token; nil when it was refused.
func (s *site) signIn(token, next string, change ...func(*http.Request)) (*http.Cookie, *httptest.ResponseRecorder) {
	s.t.Helper()
	w := s.ask(http.MethodPost, "/signin", "", url.Values{"token": {token}, "next": {next}}, change...)
	for _, c := range w.Result().Cookies() {
		return c, w
	}
	return nil, w
}

func with(c *http.Cookie) func(*http.Request) {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value}) }
}

func TestSignInAndOut(t *testing.T) {
	s := open(t, func(c *console.Config) { c.Base = "/ops" })
	if cookie, w := s.signIn("wrong", "/ops/"); cookie != nil || w.Code != http.StatusUnauthorized || !strings.Contains(text(w), "not a token") {
		t.Errorf("a wrong token: got %d and the cookie %v", w.Code, cookie)
	}
	cookie, w := s.signIn(" "+writeToken+"\n", "/ops/lapsed")
	if cookie == nil || w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ops/lapsed" {
		t.Fatalf("got %d to %q, want where the sign-in began", w.Code, w.Header().Get("Location"))
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/ops/" || cookie.Secure {
		t.Errorf("got the cookie %v", cookie)
	}
	tls, _ := s.signIn(writeToken, "", func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") })
	if !tls.Secure {
		t.Error("behind TLS: got a cookie for plain HTTP too")
	}
	s.want(s.ask(http.MethodGet, "/", "", nil, with(cookie)), http.StatusOK, "ann", "may resolve", "Sign out")
	out := s.ask(http.MethodPost, "/signout", "", url.Values{}, with(cookie))
	if c := out.Result().Cookies(); len(c) != 1 || c[0].MaxAge != -1 {
		t.Errorf("got the cookies %v, want it taken away", c)
	}
	if w := s.ask(http.MethodGet, "/", "", nil, with(cookie)); w.Code != http.StatusSeeOther {
		t.Errorf("a copy of the cookie after the sign-out: got %d, want to sign in again", w.Code)
	}
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Session = time.Hour })
		cookie, _ := s.signIn(readToken, "")
		time.Sleep(time.Hour - time.Second)
		if w := s.ask(http.MethodGet, "/audit", "", nil, with(cookie)); w.Code != http.StatusOK {
			t.Errorf("before its end: got %d", w.Code)
		}
		time.Sleep(time.Second)
		if w := s.ask(http.MethodGet, "/audit", "", nil, with(cookie)); w.Code != http.StatusSeeOther {
			t.Errorf("at its end: got %d, want to sign in again", w.Code)
		}
	})
}

func TestSessionTampering(t *testing.T) {
	key := func(c *console.Config) { c.SessionKey = semel.Secret(strings.Repeat("k", 32)) }
	s := open(t, key)
	cookie, _ := s.signIn(readToken, "")
	refused := func(s *site, what, value string) {
		t.Helper()
		w := s.ask(http.MethodGet, "/audit", "", nil, with(&http.Cookie{Name: cookie.Name, Value: value}))
		if w.Code != http.StatusSeeOther {
			t.Errorf("%s: got %d, want to sign in again", what, w.Code)
		}
	}
	for i := range cookie.Value {
		changed := []byte(cookie.Value)
		changed[i] ^= 1
		refused(s, "a changed byte", string(changed))
	}
	payload, sum, _ := strings.Cut(cookie.Value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	forged := append(raw[:len(raw)-len("olaf"):len(raw)-len("olaf")], "ann"...)
	refused(s, "another name", base64.RawURLEncoding.EncodeToString(forged)+"."+sum)
	refused(s, "no sum", payload+".")
	refused(s, "nothing", "")
	refused(s, "much", strings.Repeat("A", 1<<16)+"."+sum)

	if w := open(t, key).ask(http.MethodGet, "/audit", "", nil, with(cookie)); w.Code != http.StatusOK {
		t.Errorf("another process with the same key: got %d, want the session to count", w.Code)
	}
	refused(open(t), "another key", cookie.Value)
	refused(open(t, key, func(c *console.Config) { c.Tokens[0].Secret = semel.Secret("a new token for those who look") }), "a changed token", cookie.Value)
	refused(open(t, key, func(c *console.Config) { c.Tokens = c.Tokens[1:] }), "a removed token", cookie.Value)
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, base := range []string{"", "/ops"} {
		s := open(t, func(c *console.Config) { c.Base = base })
		for _, next := range []string{
			"https://evil.example/", "//evil.example", `/\evil.example`, base + "//evil.example", "evil", "javascript:alert(1)",
			base + "/../../evil", base + "/signout", base + "/live", "/" + "\t/evil.example", base + "/\r\nSet-Cookie: a=b", "%2f%2fevil.example",
		} {
			_, w := s.signIn(readToken, next)
			if got := w.Header().Get("Location"); got != base+"/" {
				t.Errorf("next %q leads to %q, want the overview", next, got)
			}
		}
		want := base + "/records?older=10s&state=lapsed"
		if _, w := s.signIn(readToken, want); w.Header().Get("Location") != want {
			t.Errorf("got %q, want %q", w.Header().Get("Location"), want)
		}
	}
}

func TestProxyHeader(t *testing.T) {
	s := open(t, func(c *console.Config) {
		c.Tokens = nil
		c.Proxy = &console.ProxyHeader{
			Name: "X-Forwarded-User", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Writers: []string{"ann@bank"},
		}
	})
	from := func(addr string, users ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = addr
			r.Header["X-Forwarded-User"] = users
		}
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   int
		says   string
	}{
		{"a writer", from("10.0.0.7:1", "ann@bank"), http.StatusOK, "may resolve"},
		{"a reader", from("10.0.0.7:1", "olaf@bank"), http.StatusOK, "read only"},
		{"IPv4 in IPv6", from("[::ffff:10.0.0.7]:1", "olaf@bank"), http.StatusOK, "read only"},
		{"another address", from("10.0.1.7:1", "ann@bank"), http.StatusUnauthorized, "Come through it"},
		{"no address", from("@", "ann@bank"), http.StatusUnauthorized, ""},
		{"two users", from("10.0.0.7:1", "olaf@bank", "ann@bank"), http.StatusUnauthorized, ""},
		{"nobody", from("10.0.0.7:1", ""), http.StatusUnauthorized, ""},
		{"a name that is none", from("10.0.0.7:1", "ann\xff"), http.StatusForbidden, ""},
	} {
		w := s.ask(http.MethodGet, "/audit", "", nil, c.change)
		if w.Code != c.want || !strings.Contains(text(w), c.says) {
			t.Errorf("%s: got %d, want %d with %q", c.name, w.Code, c.want, c.says)
		}
	}
}

func TestReadersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		form := url.Values{"fence": {"1"}, "reason": {"x"}, "sure": {"yes"}, "status": {"200"}}
		for _, action := range []string{"/release", "/complete", "/reveal"} {
			s.want(s.ask(http.MethodPost, at(rec, action), readToken, form), http.StatusForbidden, "write role")
		}
		if now := s.at(rec); now.State != semel.StateReserved || len(s.trail()) != 0 {
			t.Errorf("got a %s record and %d entries, want nothing touched", now.State, len(s.trail()))
		}
		page := s.get(at(rec))
		s.want(page, http.StatusOK, "Resolving needs the write role")
		if strings.Contains(page.Body.String(), "/release") {
			t.Error("a reader is offered what he may not do")
		}
	})
}

func TestOpenConsoleIsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Tokens, c.Open = nil, true })
		rec := s.reserve("order-1")
		s.lapse()
		local := func(r *http.Request) { r.Host = "127.0.0.1:8081" }
		for _, path := range append(paths, at(rec)) {
			if w := s.ask(http.MethodGet, path, "", nil, local); w.Code != http.StatusOK {
				t.Errorf("%s: got %d", path, w.Code)
			}
		}
		if w := s.ask(http.MethodPost, at(rec, "/release"), "", url.Values{"fence": {"1"}}, local); w.Code != http.StatusForbidden {
			t.Errorf("release: got %d, want 403", w.Code)
		}
	})
}

// A page that points its own name at a loopback listener would be of the same origin.
func TestOpenConsoleIsReachedByItsOwnNamesOnly(t *testing.T) {
	open1 := func(c *console.Config) { c.Tokens, c.Open = nil, true }
	for _, c := range []struct {
		host  string
		hosts []string
		want  int
	}{
		{"127.0.0.1:8081", nil, http.StatusOK},
		{"[::1]:8081", nil, http.StatusOK},
		{"localhost", nil, http.StatusOK},
		{"evil.example:8081", nil, http.StatusMisdirectedRequest},
		{"localhost.evil.example", nil, http.StatusMisdirectedRequest},
		{"OPS.bank.example:443", []string{"ops.bank.example"}, http.StatusOK},
		{"127.0.0.1", []string{"ops.bank.example"}, http.StatusMisdirectedRequest},
	} {
		s := open(t, open1, func(cfg *console.Config) { cfg.Hosts = c.hosts })
		w := s.ask(http.MethodGet, "/audit", "", nil, func(r *http.Request) { r.Host = c.host })
		if w.Code != c.want {
			t.Errorf("%s: got %d, want %d", c.host, w.Code, c.want)
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Origins = []string{"https://ops.bank.example"} })
		cookie, _ := s.signIn(writeToken, "")
		rec := s.reserve("order-1")
		s.lapse()
		form := url.Values{"fence": {"1"}, "reason": {"x"}, "sure": {"yes"}}
		send := func(name, value string) *httptest.ResponseRecorder {
			return s.ask(http.MethodPost, at(rec, "/release"), "", form, with(cookie), func(r *http.Request) { r.Header.Set(name, value) })
		}
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			s.want(send(name, value), http.StatusForbidden, "another site")
		}
		if w := send("Sec-Fetch-Site", "same-site"); w.Code != http.StatusForbidden {
			t.Errorf("a sibling of this site: got %d, want 403", w.Code)
		}
		if got := s.at(rec).State; got != semel.StateReserved {
			t.Errorf("got a %s record, want it untouched", got)
		}
		for name, value := range map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://ops.bank.example"} {
			if w := send(name, value); w.Code != http.StatusConflict { // the fence is not the record's
				t.Errorf("%s: %s: got %d, want the form to be looked at", name, value, w.Code)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	s := open(t)
	good := []console.Token{{Name: "ann", Secret: semel.Secret(writeToken)}}
	for name, cfg := range map[string]console.Config{
		"nobody":           {},
		"a short token":    {Tokens: []console.Token{{Name: "ann", Secret: semel.Secret("short")}}},
		"one name twice":   {Tokens: append(good, good...)},
		"no name":          {Tokens: []console.Token{{Secret: semel.Secret(writeToken)}}},
		"no such role":     {Tokens: []console.Token{{Name: "ann", Secret: semel.Secret(writeToken), Role: 7}}},
		"a base":           {Tokens: good, Base: "ops"},
		"a base to match":  {Tokens: good, Base: "/{x}"},
		"a base above":     {Tokens: good, Base: "/ops/../x"},
		"a short key":      {Tokens: good, SessionKey: semel.Secret("short")},
		"everybody's word": {Proxy: &console.ProxyHeader{Name: "X-User"}},
		"no prefix":        {Proxy: &console.ProxyHeader{Name: "X-User", From: []netip.Prefix{{}}}},
		"a large page":     {Tokens: good, Page: 501},
		"an origin":        {Tokens: good, Origins: []string{"ops.bank.example"}},
	} {
		if _, err := console.New(s.desk, cfg); err == nil {
			t.Errorf("%s: got a console, want an error", name)
		}
	}
	if _, err := console.New(nil, console.Config{Tokens: good}); err == nil {
		t.Error("got a console without a desk")
	}
}
