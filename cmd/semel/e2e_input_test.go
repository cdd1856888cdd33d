package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// Bad input, written by hand where no client would send it. Each request gets a
// clear answer, and nothing of it reaches the upstream.

// refusal is what came back: a status and a problem, if it is one.
type refusal struct {
	status int
	code   string
	body   string
}

// sendRaw writes text, ends the sending side if cut, and reads the final answer.
func (s *sidecar) sendRaw(t *testing.T, text string, cut bool) refusal {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	written := make(chan struct{})
	go func() { // a refusal may come before all of it is written
		defer close(written)
		_, _ = io.WriteString(conn, text)
		if cut {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	defer func() { <-written }()
	for in := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("half an answer: %v", err)
		}
		_ = res.Body.Close()
		if res.StatusCode < 200 {
			continue
		}
		var problem struct{ Code string }
		_ = json.Unmarshal(body, &problem)
		if problem.Code != "" && res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a problem as %s", res.Header.Get("Content-Type"))
		}
		return refusal{res.StatusCode, problem.Code, string(body)}
	}
}

func TestBadInput(t *testing.T) {
	var hits atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	defer upstream.Close()
	s := startSidecar(t, upstream.URL, "--store", "sqlite:"+filepath.Join(t.TempDir(), "semel.db"), "--max-body", "1KiB")

	const (
		start = "POST /charges HTTP/1.1\r\nHost: shop\r\n"
		who   = "Authorization: Bearer alice\r\n"
		good  = "Idempotency-Key: order-1\r\n"
		ten   = "Content-Length: 10\r\n\r\n0123456789"
	)
	kib := strings.Repeat("x", 1024)
	for _, c := range []struct {
		name, text string
		cut        bool
		status     int
		code       string
	}{
		{"no key", who + ten, false, 400, "key_missing"},
		{"an empty key", who + "Idempotency-Key:\r\n" + ten, false, 400, "key_invalid"},
		{"a key of spaces", who + "Idempotency-Key:   \t \r\n" + ten, false, 400, "key_invalid"},
		{"an empty quoted key", who + "Idempotency-Key: \"\"\r\n" + ten, false, 400, "key_invalid"},
		{"256 characters", who + "Idempotency-Key: " + strings.Repeat("k", 256) + "\r\n" + ten, false, 400, "key_invalid"},
		{"256 quoted characters", who + "Idempotency-Key: \"" + strings.Repeat("k", 256) + "\"\r\n" + ten, false, 400, "key_invalid"},
		{"a tab inside", who + "Idempotency-Key: a\tb\r\n" + ten, false, 400, "key_invalid"},
		{"a space inside", who + "Idempotency-Key: a b\r\n" + ten, false, 400, "key_invalid"},
		{"UTF-8", who + "Idempotency-Key: schl\u00fcssel\r\n" + ten, false, 400, "key_invalid"},
		{"a high byte", who + "Idempotency-Key: a\xffb\r\n" + ten, false, 400, "key_invalid"},
		// net/http refuses these before anybody else sees them.
		{"a control byte", who + "Idempotency-Key: a\x01b\r\n" + ten, false, 400, ""},
		{"a zero byte", who + "Idempotency-Key: a\x00b\r\n" + ten, false, 400, ""},
		{"two lines", who + good + "Idempotency-Key: order-2\r\n" + ten, false, 400, "key_invalid"},
		{"two equal lines", who + good + good + ten, false, 400, "key_invalid"},
		{"two lines in two spellings", who + good + "idempotency-key: order-1\r\n" + ten, false, 400, "key_invalid"},
		{"a quote that opens", who + "Idempotency-Key: \"order-1\r\n" + ten, false, 400, "key_invalid"},
		{"a quote that closes", who + "Idempotency-Key: order-1\"\r\n" + ten, false, 400, "key_invalid"},
		{"more behind the quotes", who + "Idempotency-Key: \"order\"-1\r\n" + ten, false, 400, "key_invalid"},
		{"no scope", good + ten, false, 400, "scope_missing"},
		{"an empty scope", "Authorization:\r\n" + good + ten, false, 400, "scope_missing"},
		{"two scopes", who + "Authorization: Bearer bob\r\n" + good + ten, false, 400, "scope_missing"},
		{"a body over the limit", who + good + "Content-Length: 1025\r\n\r\n" + kib + "x", false, 413, "body_too_large"},
		{"a body that claims too much", who + good + "Content-Length: 999999999999\r\n\r\n", false, 413, "body_too_large"},
		{"chunks over the limit", who + good + "Transfer-Encoding: chunked\r\n\r\n400\r\n" + kib + "\r\n1\r\nx\r\n0\r\n\r\n", false, 413, "body_too_large"},
		{"a body cut short", who + good + "Content-Length: 10\r\n\r\n01234", true, 400, "body_incomplete"},
		{"a chunk cut short", who + good + "Transfer-Encoding: chunked\r\n\r\na\r\n01234", true, 400, "body_incomplete"},
		{"chunks without an end", who + good + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", true, 400, "body_incomplete"},
		{"a chunk without a size", who + good + "Transfer-Encoding: chunked\r\n\r\nten\r\n0123456789\r\n0\r\n\r\n", false, 400, "body_incomplete"},
		{"a body that waits in vain", who + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", false, 400, "key_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.sendRaw(t, start+c.text, c.cut)
			if got.status != c.status || got.code != c.code {
				t.Errorf("got %d %q, want %d %q: %s", got.status, got.code, c.status, c.code, got.body)
			}
			if strings.Contains(got.body, "order-1") || strings.Contains(got.body, "alice") {
				t.Errorf("the answer tells the key or the scope: %s", got.body)
			}
			if n := hits.Load(); n != 0 {
				t.Fatalf("%d requests came to the upstream, want 0", n)
			}
		})
	}

	// Nothing above has used the key up. Chunks and a length are one request.
	chunked := s.sendRaw(t, start+who+good+"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", false)
	length := s.sendRaw(t, start+who+good+ten, false)
	quoted := s.sendRaw(t, start+who+"Idempotency-Key: \"order-1\"\r\n"+ten, false)
	for _, got := range []refusal{chunked, length, quoted} {
		if got.status != 200 || got.body != "0123456789" {
			t.Errorf("got %d %q, want 200 and the body", got.status, got.body)
		}
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("%d requests came to the upstream, want 1", n)
	}
	s.end(t, syscall.SIGTERM)
	for _, secret := range []string{"order-1", "alice", "0123456789"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log tells %q:\n%s", secret, s.log)
		}
	}
}
