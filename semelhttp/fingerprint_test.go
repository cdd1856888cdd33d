package semelhttp

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// post returns a request as a server would see it.
func post(target, contentType string, body string) (*http.Request, []byte) {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r, []byte(body)
}

func mustCompile(t testing.TB, f Fingerprint) *fingerprinter {
	t.Helper()
	p, err := f.compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustPrint(t testing.TB, f Fingerprint, r *http.Request, body []byte) semel.Fingerprint {
	t.Helper()
	fp, err := f.Of(r, body)
	if err != nil {
		t.Fatal(err)
	}
	return fp
}

// TestEveryPartOfTheRequestCounts is what I5 rests on: whatever differs between
// two requests differs between their fingerprints.
func TestEveryPartOfTheRequestCounts(t *testing.T) {
	variants := map[string]func() (*http.Request, []byte){
		"base": func() (*http.Request, []byte) { return post("/pay?a=1", "text/plain", "body") },
		"method": func() (*http.Request, []byte) {
			r, b := post("/pay?a=1", "text/plain", "body")
			r.Method = "PUT"
			return r, b
		},
		"path":         func() (*http.Request, []byte) { return post("/pay/?a=1", "text/plain", "body") },
		"encoded path": func() (*http.Request, []byte) { return post("/%70ay?a=1", "text/plain", "body") },
		"query":        func() (*http.Request, []byte) { return post("/pay?a=2", "text/plain", "body") },
		"query order":  func() (*http.Request, []byte) { return post("/pay?b=&a=1", "text/plain", "body") },
		"no query":     func() (*http.Request, []byte) { return post("/pay", "text/plain", "body") },
		"media type":   func() (*http.Request, []byte) { return post("/pay?a=1", "text/html", "body") },
		"no type":      func() (*http.Request, []byte) { return post("/pay?a=1", "", "body") },
		"body":         func() (*http.Request, []byte) { return post("/pay?a=1", "text/plain", "Body") },
		"empty body":   func() (*http.Request, []byte) { return post("/pay?a=1", "text/plain", "") },
		"one more":     func() (*http.Request, []byte) { return post("/pay?a=1", "text/plain", "body ") },
		"slash":        func() (*http.Request, []byte) { return post("/a%2Fb", "text/plain", "body") },
		"two segments": func() (*http.Request, []byte) { return post("/a/b", "text/plain", "body") },
		"opaque": func() (*http.Request, []byte) {
			r, b := post("/", "text/plain", "body")
			r.URL = &url.URL{Scheme: "foo", Opaque: "bar"}
			return r, b
		},
		"other opaque": func() (*http.Request, []byte) {
			r, b := post("/", "text/plain", "body")
			r.URL = &url.URL{Scheme: "foo", Opaque: "baz"}
			return r, b
		},
	}
	for _, f := range []Fingerprint{{}, {JSON: true, Multipart: true}} {
		seen := map[semel.Fingerprint]string{}
		for name, variant := range variants {
			r, body := variant()
			fp := mustPrint(t, f, r, body)
			if other, ok := seen[fp]; ok {
				t.Errorf("%+v: %q and %q have one fingerprint", f, name, other)
			}
			seen[fp] = name
		}
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	base, body := post("/pay?a=1", "application/json", `{"a":1}`)
	want := mustPrint(t, Fingerprint{}, base, body)
	for _, contentType := range []string{"Application/JSON", "application/json; charset=utf-8", " application/json\t;x=y"} {
		r, body := post("/pay?a=1", contentType, `{"a":1}`)
		r.Header.Set("User-Agent", "another")
		r.Header.Set("Idempotency-Key", "another")
		r.Host = "another.example"
		if got := mustPrint(t, Fingerprint{}, r, body); got != want {
			t.Errorf("%q: got another fingerprint", contentType)
		}
	}
}

func TestHeadersCount(t *testing.T) {
	f := Fingerprint{Headers: []string{"x-b", "Host", "X-A"}}
	request := func(change func(r *http.Request)) semel.Fingerprint {
		r, body := post("/", "", "")
		r.Host = "example.com"
		r.Header["X-A"], r.Header["X-B"] = []string{"1"}, []string{"2"}
		change(r)
		return mustPrint(t, f, r, body)
	}
	want := request(func(*http.Request) {})
	for name, change := range map[string]func(r *http.Request){
		"value":        func(r *http.Request) { r.Header.Set("X-A", "2") },
		"swapped":      func(r *http.Request) { r.Header["X-A"], r.Header["X-B"] = r.Header["X-B"], r.Header["X-A"] },
		"missing":      func(r *http.Request) { r.Header.Del("X-A") },
		"empty":        func(r *http.Request) { r.Header.Set("X-A", "") },
		"another line": func(r *http.Request) { r.Header.Add("X-A", "1") },
		"moved line":   func(r *http.Request) { r.Header["X-A"], r.Header["X-B"] = nil, []string{"1", "2"} },
		"host":         func(r *http.Request) { r.Host = "example.org" },
	} {
		if request(change) == want {
			t.Errorf("%s: got the same fingerprint", name)
		}
	}
	// A line that looks like the name of the next field.
	one := request(func(r *http.Request) { r.Header["X-A"], r.Header["X-B"] = []string{"X-B"}, []string{"v"} })
	if two := request(func(r *http.Request) { r.Header["X-A"], r.Header["X-B"] = nil, []string{"X-B", "v"} }); one == two {
		t.Error("a line is taken for a name")
	}
	if request(func(r *http.Request) { r.Header.Set("X-C", "1") }) != want {
		t.Error("a field that was not chosen counts")
	}
	r, body := post("/", "", "")
	r.Host = "example.com"
	r.Header["X-A"], r.Header["X-B"] = []string{"1"}, []string{"2"}
	if mustPrint(t, Fingerprint{Headers: []string{"X-A", "host", "X-B", "x-a"}}, r, body) != want {
		t.Error("order, case or repetition in the config counts")
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, f := range []Fingerprint{
		{Headers: []string{""}},
		{Headers: []string{"X A"}},
		{Headers: []string{"X-A:"}},
		{ExcludeMembers: []string{"/a"}}, // without JSON
		{JSON: true, ExcludeMembers: []string{""}},
		{JSON: true, ExcludeMembers: []string{"a"}},
		{JSON: true, ExcludeMembers: []string{"a/b"}},
		{JSON: true, ExcludeMembers: []string{"/a~"}},
		{JSON: true, ExcludeMembers: []string{"/a~2b"}},
		{JSON: true, ExcludeMembers: []string{"/ok", "/a~~0"}},
	} {
		if _, err := f.compile(); err == nil {
			t.Errorf("%+v: got no error", f)
		}
		r, body := post("/", "", "")
		if _, err := f.Of(r, body); err == nil {
			t.Errorf("%+v: Of gave no error", f)
		}
	}
}

// TestDefaultIsTheHashOfWhatWasRead fixes the layout: records outlive a release,
// so another layout would turn every retry across an upgrade into a conflict.
func TestDefaultIsTheHashOfWhatWasRead(t *testing.T) {
	r, body := post("/pay?a=1", "Text/Plain;x", "body")
	want := []byte("\x01\x00\x00\x00\x04POST\x00\x00\x00\x04/pay\x00\x00\x00\x03a=1\x00\x00\x00\x0atext/plainbody")
	p := mustCompile(t, Fingerprint{})
	buf := p.preamble(nil, r)
	preamble := len(buf)
	buf = append(buf, body...)
	if !bytes.Equal(buf, want) {
		t.Errorf("got  %q\nwant %q", buf, want)
	}
	if got := p.sum(buf, preamble, r); got != sha256.Sum256(want) {
		t.Errorf("got %v, want the SHA-256 of the buffer", got)
	}
}

func TestSumLeavesTheBufferAlone(t *testing.T) {
	for _, tc := range []struct{ contentType, body string }{
		{"text/plain", "x"},
		{"application/json", `{ "b": 1, "a": 2 }`},
		{"application/json", `{ "b": 1, "b": 2 }`},
		{"multipart/form-data; boundary=b", "--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n"},
	} {
		r, body := post("/", tc.contentType, tc.body)
		p := mustCompile(t, Fingerprint{JSON: true, Multipart: true})
		buf := p.preamble(make([]byte, 0, 4096), r)
		preamble := len(buf)
		buf = append(buf, body...)
		room := buf[:cap(buf)]
		before := slices.Clone(room)
		first := p.sum(buf, preamble, r)
		if !bytes.Equal(room, before) {
			t.Errorf("%s: the buffer was changed", tc.contentType)
		}
		if second := p.sum(buf, preamble, r); second != first {
			t.Errorf("%s: got %v, then %v", tc.contentType, first, second)
		}
	}
}

func TestDefaultDoesNotAllocate(t *testing.T) {
	r, body := post("/v1/payments?a=1", "application/json; charset=utf-8", strings.Repeat("x", 1024))
	p := mustCompile(t, Fingerprint{Headers: []string{"Accept", "Host"}})
	buf := make([]byte, 0, 4096)
	got := testing.AllocsPerRun(100, func() {
		buf = p.preamble(buf[:0], r)
		preamble := len(buf)
		buf = append(buf, body...)
		_ = p.sum(buf, preamble, r)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// FuzzPreamble checks that two requests which differ anywhere never give the
// same bytes, wherever the difference is.
func FuzzPreamble(f *testing.F) {
	f.Add("POST", "/a", "b", "c", []byte("d"), "POST", "/ab", "", "c", []byte("d"))
	f.Add("POST", "/a", "", "", []byte("\x00\x00\x00\x01c"), "POST", "/a", "", "c", []byte(""))
	f.Add("P", "/", "q", "text/plain", []byte(""), "P", "/", "q", "TEXT/plain;a", []byte(""))
	f.Fuzz(func(t *testing.T, m1, p1, q1, t1 string, b1 []byte, m2, p2, q2, t2 string, b2 []byte) {
		request := func(method, path, query, contentType string) *http.Request {
			return &http.Request{
				Method: method, URL: &url.URL{Path: path, RawQuery: query},
				Header: http.Header{"Content-Type": {contentType}},
			}
		}
		one, two := request(m1, p1, q1, t1), request(m2, p2, q2, t2)
		same := m1 == m2 && one.URL.EscapedPath() == two.URL.EscapedPath() && q1 == q2 &&
			mediaType(one.Header) == mediaType(two.Header) && bytes.Equal(b1, b2)
		p := mustCompile(t, Fingerprint{})
		bytes1 := append(p.preamble(nil, one), b1...)
		bytes2 := append(p.preamble(nil, two), b2...)
		if got := bytes.Equal(bytes1, bytes2); got != same {
			t.Errorf("got equal %v, want %v\n%q\n%q", got, same, bytes1, bytes2)
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	const small = `{"amount": 1250, "currency": "EUR", "to": {"name": "x", "iban": "DE00"}, "meta": {"b": [1, 2, 3], "a": null}}`
	for name, f := range map[string]Fingerprint{
		"raw": {}, "json": {JSON: true}, "exclude": {JSON: true, ExcludeMembers: []string{"/meta/a"}},
	} {
		b.Run(name, func(b *testing.B) {
			p := mustCompile(b, f)
			r, body := post("/payments", "application/json", small)
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buf = p.preamble(buf[:0], r)
				preamble := len(buf)
				buf = append(buf, body...)
				_ = p.sum(buf, preamble, r)
			}
		})
	}
}
