package semelhttp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A length is only a promise: it does not buy memory.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("four"))
	r.ContentLength = 1 << 40
	buf, err := readBody(nil, r, 1<<41)
	if err == nil || cap(buf) > 2*firstRead {
		t.Errorf("got %v and %d bytes of memory for 4 bytes of body", err, cap(buf))
	}
}

// A body that somebody outside has read, cut or replaced is never taken for a
// whole one: two payloads would look the same (I5).
func TestBodyOfAnotherLength(t *testing.T) {
	for _, body := range []string{"", "cut", "replaced by more"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("original"))
		r.Body = io.NopCloser(strings.NewReader(body))
		if _, err := readBody(nil, r, 100); err == nil {
			t.Errorf("%q was taken for the body", body)
		}
	}
	large := strings.Repeat("x", 3*firstRead)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(large))
	if got, err := readBody([]byte("before "), r, int64(len(large))); err != nil || string(got) != "before "+large {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(large))
	}
}
