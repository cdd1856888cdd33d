package semelhttp_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// wholeAnswers are handlers whose answer the middleware keeps whole.
var wholeAnswers = map[string]http.HandlerFunc{
	"nothing":  func(http.ResponseWriter, *http.Request) {},
	"error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no money", http.StatusPaymentRequired) },
	"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/receipt", http.StatusSeeOther) },
	"file": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "receipt.txt", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("receipt ", 999)))
	},
	"no content":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	"reset content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusResetContent) },
	"not modified": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"v"`)
		w.WriteHeader(http.StatusNotModified)
	},
	"large":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("large ", 999)) },
	"copied": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
	"twice": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "created")
	},
	"declared": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
	},
	"header after the body": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>")
		w.Header().Set("Content-Type", "late/type")
		w.Header().Set("X-Late", "1")
	},
	"no values": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["X-None"], h["X-Empty"] = nil, nil, []string{""}
		_, _ = io.WriteString(w, "<html>")
	},
	"names as they come": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["x-lower"], h["X-Lower"] = []string{"1", "2"}, []string{"3"}
		h["content-language"] = []string{"la"}
		_, _ = io.WriteString(w, "semel")
	},
	"coded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, "<html>")
	},
	"trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Other")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
		w.Header().Set("X-Other", "2")
	},
	"trailers by prefix": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(http.TrailerPrefix+"X-Early", "1")
		_, _ = io.WriteString(w, "body")
		w.Header().Add(http.TrailerPrefix+"X-Late", "2")
		w.Header().Add(http.TrailerPrefix+"X-Late", "3")
	},
	"a body that is too long inside": func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2))
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	},
}

// keptAnswers are handlers whose first answer net/http alone would send in
// another form, or broken; what counts is that every retry gets the same.
var keptAnswers = map[string]http.HandlerFunc{
	"no content with a length": func(w http.ResponseWriter, _ *http.Request) { // RFC 9110 section 8.6 forbids it
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusNoContent)
	},
	"trailers that are not set": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Other")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Other", "2")
	},
	"trailers announced only": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
	},
	"trailers announced twice": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Trailer", "X-Sum, X-Sum")
		w.Header().Add("Trailer", "x-sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
	},
	"lengths that disagree": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = []string{"4", "4"}
		_, _ = io.WriteString(w, "body")
	},
	"hop-by-hop fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-End", "1")
		w.Header()["age"] = nil
		_, _ = io.WriteString(w, "body")
	},
}

// sender sends a request to a server and reads the whole answer.
type sender func(*http.Request) (received, error)

// protocols are the servers that an answer must come through unchanged.
var protocols = map[string]func(*testing.T, http.Handler) sender{
	"HTTP/1.1": func(t *testing.T, h http.Handler) sender {
		t.Helper()
		return serve(t, h, nil)
	},
	"HTTP/2": func(t *testing.T, h http.Handler) sender {
		t.Helper()
		return serve(t, h, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	},
	"h2c": func(t *testing.T, h http.Handler) sender {
		t.Helper()
		return serve(t, h, func(s *httptest.Server) {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			s.Client().Transport.(*http.Transport).Protocols = s.Config.Protocols
		})
	},
	"HTTP/1.0": func(t *testing.T, h http.Handler) sender {
		t.Helper()
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return func(r *http.Request) (received, error) { return send10(s, r) }
	},
}

func serve(t *testing.T, h http.Handler, start func(*httptest.Server)) sender {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if start == nil {
		s.Start()
	} else {
		start(s)
	}
	t.Cleanup(s.Close)
	c := s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(r *http.Request) (received, error) {
		u, err := url.Parse(s.URL)
		if err != nil {
			return received{}, err
		}
		r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, ""
		res, err := c.Do(r)
		if err != nil {
			return received{}, err
		}
		return readAll(res)
	}
}

// send10 speaks HTTP/1.0, which net/http's client does not.
func send10(s *httptest.Server, r *http.Request) (received, error) {
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		return received{}, err
	}
	defer conn.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return received{}, err
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.0\r\nContent-Length: %d\r\n", r.Method, r.URL.RequestURI(), len(body))
	if err := r.Header.Write(conn); err != nil {
		return received{}, err
	}
	fmt.Fprintf(conn, "\r\n%s", body)
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return received{}, err
	}
	return readAll(res)
}

// received is what a client can tell two answers apart by.
type received struct {
	Status  int
	Length  int64
	Header  http.Header
	Trailer http.Header
	Body    string
}

func readAll(res *http.Response) (received, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	for _, name := range []string{"Date", "Idempotent-Replayed", "Connection"} { // of the sending, not of the answer
		res.Header.Del(name)
	}
	if res.Header.Get("Cache-Control") == "no-store" {
		res.Header.Del("Cache-Control")
	}
	return received{res.StatusCode, res.ContentLength, res.Header, res.Trailer, string(body)}, err
}

func receive(t *testing.T, send sender, method, key string) received {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://x/payments", strings.NewReader(`{"amount":1}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Tenant", "alice")
	r.Header.Set("Idempotency-Key", key)
	got, err := send(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func guardedBy(t *testing.T, next http.Handler, cfg semelhttp.Config) http.Handler {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("X-Tenant"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mw.Wrap(next)
}

// I3: the answer through the middleware is the handler's own, and a replay is
// the same again, whatever protocol it goes through.
func TestAnswersAreTheHandlersOwn(t *testing.T) {
	all := maps.Clone(wholeAnswers)
	maps.Copy(all, keptAnswers)
	for protocol, start := range protocols {
		for name, handler := range all {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				runs := 0
				guarded := start(t, guardedBy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					runs++
					handler(w, r)
				}), semelhttp.Config{}))
				first, again := receive(t, guarded, "POST", "k"), receive(t, guarded, "POST", "k")
				if !reflect.DeepEqual(first, again) || runs != 1 {
					t.Errorf("after %d runs:\nfirst  %+v\nreplay %+v", runs, first, again)
				}
				if keptAnswers[name] != nil {
					return
				}
				bare := receive(t, start(t, handler), "POST", "k")
				if protocol == "HTTP/1.0" { // it has no trailers, so announcing some is wrong
					bare.Header.Del("Trailer")
				}
				if first.Length >= 0 && bare.Length < 0 { // ours is whole, so its length is known
					bare.Length = first.Length
					bare.Header["Content-Length"] = first.Header["Content-Length"]
				}
				if !reflect.DeepEqual(bare, first) {
					t.Errorf("got\nguarded %+v, want the bare handler's\nbare    %+v", first, bare)
				}
			})
		}
	}
}

// RFC 9110 section 9.3.2: HEAD has the length that GET would have.
func TestHeadOfALargeAnswer(t *testing.T) {
	do := serve(t, guardedBy(t, wholeAnswers["large"], semelhttp.Config{Methods: []string{"HEAD"}}), nil)
	for range 2 {
		if got := receive(t, do, "HEAD", "k"); got.Length != 5994 || got.Body != "" {
			t.Errorf("got %+v, want a length of 5994", got)
		}
	}
}

// A gateway made of the standard library: an answer with a length is kept.
// Request trailers go through.
func TestReverseProxyInside(t *testing.T) {
	runs := 0
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs++
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/payments/1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %v", body, r.Trailer["X-Sum"])
	}))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	do := serve(t, guardedBy(t, httputil.NewSingleHostReverseProxy(target), semelhttp.Config{}), nil)
	post := func() received {
		return receive(t, func(r *http.Request) (received, error) {
			r.ContentLength, r.Trailer = -1, http.Header{"X-Sum": {"7"}}
			return do(r)
		}, "POST", "k")
	}
	first, again := post(), post()
	if !reflect.DeepEqual(first, again) || runs != 1 || first.Header.Get("Location") == "" {
		t.Errorf("after %d runs: got %+v, then %+v", runs, first, again)
	}
	if want := `{"amount":1} [7]`; first.Body != want {
		t.Errorf("got %q, want %q", first.Body, want)
	}
}

// Over HTTP/2 nobody can hijack, so asking for it changes nothing.
func TestHijackThatFails(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			panic("hijacked HTTP/2")
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "paid")
	})
	inner := guardedBy(t, handler, semelhttp.Config{})
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"plain":   func(w http.ResponseWriter) http.ResponseWriter { return w },
		"unwraps": func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{w} },
		"tries":   func(w http.ResponseWriter) http.ResponseWriter { return failing{w} },
	} {
		do := protocols["HTTP/2"](t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(wrap(w), r) }))
		first, again := receive(t, do, "POST", name), receive(t, do, "POST", name)
		if first.Status != 201 || first.Body != "paid" || !reflect.DeepEqual(first, again) {
			t.Errorf("%s: got %+v, then %+v", name, first, again)
		}
	}
}

type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

type failing struct{ http.ResponseWriter }

func (failing) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

// A body that is too large ends its request and not the connection, where the
// server can still tell where the next request begins.
func TestRefusalKeepsTheConnection(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		var ports []string
		guarded := guardedBy(t, http.HandlerFunc(pay), semelhttp.Config{MaxBody: 4})
		do := protocols[protocol](t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ports = append(ports, r.RemoteAddr)
			guarded.ServeHTTP(w, r)
		}))
		for range 3 {
			if got := receive(t, do, "POST", "k"); got.Status != 413 {
				t.Fatalf("%s: got %+v, want 413", protocol, got)
			}
		}
		if len(slices.Compact(ports)) != 1 {
			t.Errorf("%s: three requests used the connections %v, want one", protocol, ports)
		}
	}
}
