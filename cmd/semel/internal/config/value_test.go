package config

import (
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1024": 1024, "1B": 1, "64KiB": 64 << 10, "1MiB": 1 << 20, "2GiB": 2 << 30, "1kB": 1000, "3MB": 3e6, "1gb": 1e9, "1mib": 1 << 20,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "+1", "1.5MiB", "1 MiB", "MiB", "1K", "1M", "1BB", "1KiBB", "0x10", "9223372036854775808", "8589934592GiB", "1ⅯB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "0": 0, "300ms": 300 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0d": 0,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1.5d", "-1d", "d", "1d2h", "99999999999d", "200000d", "1y", " 1s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseScope(t *testing.T) {
	for _, text := range []string{"header:Authorization", "header:X-Api-Key", "cert", "remote", "global", "jwt:sub", "cert-subject", "header:A+jwt:iss+jwt:sub"} {
		got, err := ParseScope(text)
		if err != nil || got.String() != text || got.Func() == nil {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "header", "header:", "header:a b", "header:é", "Global", "cert:x", "ip", "jwt", "jwt:", "remote:", "header:A+", "+cert", "header:A+global", "cert+cert-"} {
		if got, err := ParseScope(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
	if (Scope{}).Func() != nil || (Scope{}).String() != "invalid" {
		t.Error("the zero Scope is valid")
	}
}

// A method in lower case would guard nothing.
func TestMethodsAreUpperCase(t *testing.T) {
	for text, want := range map[string]string{"post": "POST", "Patch": "PATCH", "POST": "POST", "PURGE": "PURGE"} {
		if got, err := parseMethod(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "purge", "Post1", "PO ST", "POST,"} {
		if got, err := parseMethod(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
	for text, want := range map[string]string{
		"post /x": "POST /x", "GET\t/x": "GET\t/x", "Delete  a.example/x": "DELETE  a.example/x", "/post": "/post", "post.example/x": "post.example/x",
	} {
		if got, err := parsePattern(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// What Values proposes is a value, or begins one.
func TestValuesAreValid(t *testing.T) {
	for _, s := range Settings() {
		for _, v := range s.Values {
			if strings.HasSuffix(v, ":") {
				v += "X"
			}
			if err := s.set(new(Config), []string{v}); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"scope", "listen", "lapsed", "key"}
	for name, want := range map[string]string{"lisen": "listen", "laps": "lapsed", "nope": "", "ky": "key", "xx": "", "": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestParseUpstream(t *testing.T) {
	for _, text := range []string{"http://127.0.0.1:3000", "https://api.example.org/base", "http://[::1]:80", "h2c://grpc:50051"} {
		if got, err := parseUpstream(text); err != nil || got.String() != text {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "localhost:3000", "127.0.0.1:3000", "ftp://a", "http://", "http:///x", "http://:80", "http://a?b", "http://a#b", "http://a?",
		"http://a:0", "http://a:99999", "http://a:x", "http://a b",
	} {
		if got, err := parseUpstream(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

// Who gives the address of a listener is shown the URL.
func TestParseUpstreamProposes(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:3000": `did you mean "http://127.0.0.1:3000"?`, "localhost:3000": `did you mean "http://localhost:3000"?`,
		"[::1]:80": `did you mean "http://[::1]:80"?`,
	} {
		if _, err := parseUpstream(text); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that ends with %s", text, err, want)
		}
	}
	for _, text := range []string{"u:hunter2@h:3000", "localhost:0", "ftp:x", ":3000"} {
		if _, err := parseUpstream(text); err == nil || strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%q: got %v, want an error that proposes nothing", text, err)
		}
	}
}

// A password in a URL is refused, and no message repeats it.
func TestParseUpstreamHidesPasswords(t *testing.T) {
	for _, text := range []string{"http://u:hunter2@a", "ftp://u:hunter2@a/%zz", "http://u:hunter2@a:x", "http://u:hunter2@[a"} {
		_, err := parseUpstream(text)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for _, text := range []string{"127.0.0.1:8080", ":0", "[::1]:65535", "localhost:1"} {
		if got, err := parseAddr(text); err != nil || got != text {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "8080", "127.0.0.1", "a:http", "a:65536", "a:-1", "::1:80"} {
		if got, err := parseAddr(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
	if got, err := parseAdmin("off"); err != nil || got != "" {
		t.Errorf("off: got %q, %v", got, err)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1", "1MiB", "9223372036854775807B", "00000001kib", "GiB", "ıkib"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); (err == nil) != (n > 0) {
			t.Fatalf("%q: %d, %v", s, n, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1s", "106751d", "106752d", "0", "d", "-1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); d < 0 || err != nil && d != 0 {
			t.Fatalf("%q: %v, %v", s, d, err)
		}
	})
}

// What ParseScope accepts it writes back the same, and it can be used.
func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"header:Authorization", "cert", "remote", "global", "header:\x00", "header:A+jwt:sub", "jwt:a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if scope, err := ParseScope(s); err == nil && (scope.String() != s || scope.Func() == nil) {
			t.Fatalf("%q: %v", s, scope)
		}
	})
}

// What parseUpstream accepts parses again to the same base URL without a secret.
func FuzzParseUpstream(f *testing.F) {
	for _, s := range []string{"http://a", "https://[::1]:443/x", "http://u:p@a", "http://a:1/%2f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseUpstream(s)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.User != nil || again.Hostname() == "" {
			t.Fatalf("%q: %v, %v", s, again, err)
		}
	})
}
