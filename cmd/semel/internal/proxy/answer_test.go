package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

// TestReplay: the second answer is the first, byte for byte (I3), and the
// upstream saw one request.
func TestReplay(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Location", "/charges/1")
				w.Header().Add("Set-Cookie", "a=1")
				w.Header().Add("Set-Cookie", "b=2")
				w.Header().Set("Content-Type", "application/x-own")
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write(body)
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), nil)
			first := s.send(t, "POST", "/charges", "k", "payload")
			want(t, first, 201, "")
			again := s.send(t, "POST", "/charges", "k", "payload")
			want(t, again, 201, "")
			if first.replayed() || !again.replayed() {
				t.Errorf("replayed %v, %v, want false, true", first.replayed(), again.replayed())
			}
			if again.body != "payload" || first.body != "payload" {
				t.Errorf("bodies %q, %q, want payload twice", first.body, again.body)
			}
			for _, name := range []string{"Location", "Set-Cookie", "Content-Type", "Content-Length"} {
				if got, want := fmt.Sprint(again.Header[name]), fmt.Sprint(first.Header[name]); got != want || want == "[]" {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			want(t, s.send(t, "POST", "/charges", "k", "other"), 422, "idempotency_key_conflict")
			if got := hits.Load(); got != 1 {
				t.Errorf("%d hits, want 1", got)
			}
		})
	}
}

// TestChunkedAnswerIsKept: an answer without a length is finite all the same.
// ReverseProxy would flush it, and a flushed answer is a stream.
func TestChunkedAnswerIsKept(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				for range 3 {
					_, _ = io.WriteString(w, "part ")
					w.(http.Flusher).Flush()
				}
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), nil)
			for i := range 2 {
				a := s.send(t, "POST", "/", "k", "x")
				want(t, a, 200, "")
				if a.body != "part part part " || a.replayed() != (i == 1) {
					t.Errorf("try %d: %q, replayed %v", i, a.body, a.replayed())
				}
			}
			if got := hits.Load(); got != 1 {
				t.Errorf("%d hits, want 1", got)
			}
		})
	}
}

// TestUntyped: what an upstream says has no type gets none: kept, streamed or
// passed.
func TestUntyped(t *testing.T) {
	for name, newUpstream := range raws {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				_, _ = io.WriteString(conn, ok200)
				return true
			})
			for _, max := range []int64{0, 1} {
				s := newSidecar(t, up.url, func(s *setup) { s.UpstreamTLS, s.HTTP.MaxResponse = up.roots, max })
				for _, method := range []string{"POST", "GET", "POST"} {
					a := s.send(t, method, "/", "k", "")
					if got := a.Header["Content-Type"]; a.StatusCode == 200 && got != nil {
						t.Errorf("%s with the limit %d, replayed %v: got %q, want none", method, max, a.replayed(), got)
					}
				}
			}
		})
	}
}

// TestTrailers: they are kept and replayed, announced by the upstream or not.
func TestTrailers(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Announced")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("Announced", "one")
		w.Header().Set(http.TrailerPrefix+"Sudden", "two")
	})
	for _, url := range []string{up, strings.Replace(up, "http:", "h2c:", 1)} {
		s := newSidecar(t, url, nil)
		before := hits.Load()
		for i := range 2 {
			a := s.send(t, "POST", "/", "k", "x")
			want(t, a, 200, "")
			if a.Trailer.Get("Announced") != "one" || a.Trailer.Get("Sudden") != "two" || a.replayed() != (i == 1) {
				t.Errorf("%s try %d: trailer %v, replayed %v", url, i, a.Trailer, a.replayed())
			}
		}
		if got := hits.Load() - before; got != 1 {
			t.Errorf("%d hits, want 1", got)
		}
	}
}

// TestEarlyHints: 1xx are passed on, and never kept (RFC 9110 section 15.2).
func TestEarlyHints(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up, _ := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</style.css>")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Del("Link")
				_, _ = io.WriteString(w, "body")
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), nil)
			for i := range 2 {
				var hints []string
				req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
						hints = append(hints, fmt.Sprint(code, h["Link"]))
						return nil
					},
				}), "POST", s.url, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Idempotency-Key", "k")
				res, err := s.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				wantHints := []string{"[103 [</style.css>]]", "[]"}[i]
				if got := fmt.Sprint(hints); got != wantHints || string(body) != "body" || res.Header.Get("Link") != "" {
					t.Errorf("try %d: hints %s, want %s; body %q, Link %q", i, got, wantHints, body, res.Header.Get("Link"))
				}
			}
		})
	}
}

// TestNoContent: 204, 304 and HEAD have no body, and 204 has no length.
func TestNoContent(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/204":
					w.WriteHeader(http.StatusNoContent)
				case "/304":
					w.Header().Set("ETag", `"a"`)
					w.WriteHeader(http.StatusNotModified)
				default:
					w.Header().Set("Content-Length", "1234")
				}
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), func(s *setup) { s.HTTP.Methods = []string{"POST", "HEAD"} })
			for _, c := range []struct {
				method, path string
				status       int
				length       string
			}{{"POST", "/204", 204, ""}, {"POST", "/304", 304, ""}, {"HEAD", "/head", 200, "1234"}} {
				before := hits.Load()
				for i := range 2 {
					a := s.send(t, c.method, c.path, "k"+c.path, "")
					want(t, a, c.status, "")
					// The length of a HEAD answer is made anew on replay, from no body.
					if got := a.Header.Get("Content-Length"); i == 0 && got != c.length {
						t.Errorf("%s: Content-Length %q, want %q", c.path, got, c.length)
					}
					if a.body != "" || a.replayed() != (i == 1) {
						t.Errorf("%s try %d: body %q, replayed %v", c.path, i, a.body, a.replayed())
					}
				}
				if got := hits.Load() - before; got != 1 {
					t.Errorf("%s: %d hits, want 1", c.path, got)
				}
			}
		})
	}
}

// TestEventStream: events flow while they are made, and a retry learns that the
// answer was not kept.
func TestEventStream(t *testing.T) {
	for _, field := range []string{"Content-Type: text/event-stream; charset=utf-8", "X-Accel-Buffering: no"} {
		t.Run(field, func(t *testing.T) {
			next := make(chan struct{})
			up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				name, value, _ := strings.Cut(field, ": ")
				w.Header().Set(name, value)
				for range 3 {
					_, _ = io.WriteString(w, "data: x\n")
					w.(http.Flusher).Flush()
					<-next
				}
			})
			s := newSidecar(t, up, nil)
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.url, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Idempotency-Key", "k")
			res, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			in := bufio.NewReader(res.Body)
			for i := range 3 { // each event arrives before the next is made
				line, err := in.ReadString('\n')
				if err != nil || line != "data: x\n" {
					t.Fatalf("event %d: %q, %v", i, line, err)
				}
				next <- struct{}{}
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("after the last event: %v, want EOF", err)
			}
			a := s.send(t, "POST", "/", "k", "x")
			want(t, a, 410, "response_not_kept")
			if got := hits.Load(); got != 1 {
				t.Errorf("%d hits, want 1", got)
			}
		})
	}
}

// TestLargeAnswer: one over the limit streams through, with and without a
// length, and its key is never free again.
func TestLargeAnswer(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			large := strings.Repeat("0123456789", 20_000)
			up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/length" {
					w.Header().Set("Content-Length", fmt.Sprint(len(large)))
				}
				w.Header().Set("Trailer", "Sum")
				_, _ = io.WriteString(w, large)
				w.Header().Set("Sum", "1")
				w.Header().Set(http.TrailerPrefix+"Sudden", "2")
				w.Header().Set(http.TrailerPrefix+HeaderSettle, "release")
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), func(s *setup) { s.HTTP.MaxResponse = 1000 })
			for _, path := range []string{"/length", "/chunks"} {
				before := hits.Load()
				a := s.send(t, "POST", path, "k"+path, "x")
				want(t, a, 200, "")
				if a.body != large {
					t.Errorf("%s: %d bytes, want %d", path, len(a.body), len(large))
				}
				if path == "/chunks" && (a.Trailer.Get("Sum") != "1" || a.Trailer.Get("Sudden") != "2" || a.Trailer[HeaderSettle] != nil) {
					t.Errorf("%s: trailer %v", path, a.Trailer)
				}
				want(t, s.send(t, "POST", path, "k"+path, "x"), 410, "response_not_kept")
				if got := hits.Load() - before; got != 1 {
					t.Errorf("%s: %d hits, want 1", path, got)
				}
			}
		})
	}
}

// TestLargeAnswerCut: what has begun to stream can only be cut, and stays done.
func TestLargeAnswerCut(t *testing.T) {
	for _, head := range []string{"Content-Length: 5000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfa0\r\n"} {
		up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s%s\r\n", head, strings.Repeat("x", 4000))
			return false
		})
		s := newSidecar(t, up.url, func(s *setup) { s.HTTP.MaxResponse = 1000 })
		if a, err := s.try(t, "POST", "/", "k", "x"); err == nil {
			t.Errorf("%q: got %d with %d bytes, want a cut connection", head, a.StatusCode, len(a.body))
		}
		want(t, s.send(t, "POST", "/", "k", "x"), 410, "response_not_kept")
		if got := up.executions.Load(); got != 1 {
			t.Errorf("%q: %d executions, want 1", head, got)
		}
	}
}

// TestStreamOutlivesTheTimeout: UpstreamTimeout is for answers that are waited
// for. Another request, which runs into it meanwhile, is the clock.
func TestStreamOutlivesTheTimeout(t *testing.T) {
	next := make(chan struct{})
	up, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection goes unseen
		if r.URL.Path == "/never" {
			<-r.Context().Done() // the sidecar gives up
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			_, _ = io.WriteString(w, "data: x\n")
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	for _, scheme := range schemes {
		s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), func(s *setup) { s.UpstreamTimeout = 400 * time.Millisecond })
		for _, method := range []string{"POST", "GET"} {
			_, in := s.raw(t, method+" / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n")
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body := bufio.NewReader(res.Body)
			for i := range 2 {
				if line, err := body.ReadString('\n'); err != nil || line != "data: x\n" {
					t.Fatalf("%s %s: event %d: %q, %v", scheme, method, i, line, err)
				}
				want(t, s.send(t, "POST", "/never", fmt.Sprint(method, i), "x"), 504, "")
				next <- struct{}{}
			}
			if _, err := body.ReadByte(); err != io.EOF {
				t.Errorf("%s %s: the end: %v, want EOF", scheme, method, err)
			}
		}
	}
}

// TestFiniteEvents: server-sent events with a length are an answer like others.
func TestFiniteEvents(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: x\n\n")
	})
	s := newSidecar(t, up, nil)
	s.send(t, "POST", "/", "k", "x")
	if a := s.send(t, "POST", "/", "k", "x"); !a.replayed() || hits.Load() != 1 {
		t.Errorf("got %d, replayed %v, %d hits", a.StatusCode, a.replayed(), hits.Load())
	}
}

// TestHopByHopAnswer: what counts for one connection stays on it.
func TestHopByHopAnswer(t *testing.T) {
	up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 2\r\n"+
			"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok")
		return err == nil
	})
	s := newSidecar(t, up.url, nil)
	for _, a := range []answer{s.send(t, "POST", "/", "k", "x"), s.send(t, "POST", "/", "k", "x"), s.send(t, "GET", "/", "", "")} {
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "X-Hop"} {
			if got := a.Header[name]; got != nil {
				t.Errorf("%s: %q, want none", name, got)
			}
		}
		if got := a.Header.Get("X-End"); got != "2" {
			t.Errorf("X-End: %q, want 2", got)
		}
	}
}

// TestExactlyTheLimit: the largest answer that is kept.
func TestExactlyTheLimit(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/chunks" {
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 1000))
			})
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), func(s *setup) { s.HTTP.MaxResponse = 1000 })
			for _, path := range []string{"/length", "/chunks"} {
				want(t, s.send(t, "POST", path, "k"+path, "x"), 200, "")
				a := s.send(t, "POST", path, "k"+path, "x")
				want(t, a, 200, "")
				if !a.replayed() || len(a.body) != 1000 {
					t.Errorf("%s: replayed %v, %d bytes", path, a.replayed(), len(a.body))
				}
			}
		})
	}
}

// TestUpgrade: a request that leaves HTTP passes, unguarded, in both directions.
func TestUpgrade(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if got := r.Header.Get(HeaderFence); got != "" {
			t.Errorf("fence %q, want none", got)
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSemel-Settle: keep\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	})
	s := newSidecar(t, up, nil)
	conn, in := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nIdempotency-Key: k\r\nSemel-Fence: 5\r\n\r\n")
	a := one(t, in)
	want(t, a, 101, "")
	if a.Header[HeaderSettle] != nil {
		t.Errorf("it leaked: %v", a.Header)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if line, _ := in.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q, want echo hello", line)
	}
}

// TestIdempotentReplayedPasses: what the upstream says about its own answer is
// kept; Semel's own fields are not its to set.
func TestIdempotentReplayedPasses(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(semelhttp.HeaderReplayed, "true")
		w.Header().Set(semelhttp.HeaderStored, "false")
		w.Header().Set(HeaderAttempt, "9")
	})
	s := newSidecar(t, up, nil)
	for _, a := range []answer{s.send(t, "POST", "/", "k", "x"), s.send(t, "GET", "/", "", "")} {
		if !a.replayed() || a.Header[semelhttp.HeaderStored] != nil || a.Header[HeaderAttempt] != nil {
			t.Errorf("header %v", a.Header)
		}
	}
}

// TestClientLeavesAStream: the upstream is let go, and the outcome stands.
func TestClientLeavesAStream(t *testing.T) {
	left := make(chan struct{})
	up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		defer close(left)
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			_, err = io.WriteString(conn, "8\r\ndata: x\n\r\n")
		}
		return false
	})
	s := newSidecar(t, up.url, nil)
	conn, in := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nx")
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-left
	want(t, s.send(t, "POST", "/", "k", "x"), 410, "response_not_kept")
	if strings.Contains(s.logs.String(), "panic") {
		t.Errorf("the log:\n%s", s.logs)
	}
}
