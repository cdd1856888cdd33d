package semelhttp

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzPercentEncode: a message comes back as it was, and fits a header field.
func FuzzPercentEncode(f *testing.F) {
	for _, text := range []string{"", "Nothing was done.", "50% off\r\nGrpc-Status: 0", "naïve ☃", "\x00\x7f\xff ~"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		written := percentEncode(text)
		if i := strings.IndexFunc(written, func(c rune) bool { return c < ' ' || c > '~' }); i >= 0 {
			t.Errorf("%q is written %q", text, written)
		}
		if again, err := url.PathUnescape(written); err != nil || again != text {
			t.Errorf("%q is written %q, which is %q, %v", text, written, again, err)
		}
	})
}

func TestPercentEncode(t *testing.T) {
	if got, want := percentEncode("a%b~ é\n"), "a%25b~ %C3%A9%0A"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a client of ours in another process decodes, byte for byte.
func TestRetryInfo(t *testing.T) {
	if got, want := string(retryInfo()), "\x0a\x02\x08\x01"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
