package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

// A broken endpoint, and exactly the rules that it breaks.
type broken struct {
	name  string
	rules string
	make  func(t *testing.T, b *bank) http.Handler
}

// answering changes the answers of a middleware that is right.
func answering(change func(r *http.Request, w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return func(t *testing.T, b *bank) http.Handler {
		t.Helper()
		t.Helper()
		inner := guard(t, b, semelhttp.Config{})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			change(r, rec)
			write(w, rec)
		})
	}
}

func write(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// asking changes the requests to a middleware that is right.
func asking(cfg semelhttp.Config, change func(r *http.Request)) func(*testing.T, *bank) http.Handler {
	return func(t *testing.T, b *bank) http.Handler {
		t.Helper()
		t.Helper()
		inner := guard(t, b, cfg)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			inner.ServeHTTP(w, r)
		})
	}
}

func isReplay(w *httptest.ResponseRecorder) bool {
	return w.Header().Get("Idempotent-Replayed") == "true"
}

// onReplay changes replays.
func onReplay(change func(w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return answering(func(_ *http.Request, w *httptest.ResponseRecorder) {
		if isReplay(w) {
			change(w)
		}
	})
}

// onRefusal changes refusals with a status, or with any.
func onRefusal(status int, change func(r *http.Request, w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return answering(func(r *http.Request, w *httptest.ResponseRecorder) {
		if w.Header().Get("Content-Type") == "application/problem+json" && (status == 0 || w.Code == status) {
			change(r, w)
		}
	})
}

// unguarded is no idempotency at all.
func unguarded(_ *testing.T, b *bank) http.Handler { return b }

// key is the one line that a request has.
func key(r *http.Request) string { return r.Header.Get(fieldKey) }

// content reads the body of r and leaves it to be read again.
func content(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// brokenOnes break a rule each, or what hangs together.
func brokenOnes() []broken {
	return slices.Concat(brokenReplays(), brokenConflicts(), brokenKeys(), brokenWires())
}

func brokenReplays() []broken {
	return []broken{
		{"no idempotency", "concurrent-answers concurrent-effect conflict-body conflict-media conflict-query cut-before " +
			"cut-effect cut-within flight-duplicate key-ascii key-empty key-lines key-long key-longest key-missing " +
			"key-quoted key-space replay-body replay-effect replay-error replay-header replay-marker replay-no-store " +
			"upload-slow", unguarded},
		{"another status on replay", "conflict-harmless replay-error replay-status", onReplay(func(w *httptest.ResponseRecorder) { w.Code = http.StatusOK })},
		{"a field is not kept", "replay-header", onReplay(func(w *httptest.ResponseRecorder) { w.Header().Del("Etag") })},
		{"another body on replay", "concurrent-answers conflict-harmless replay-body replay-error", onReplay(func(w *httptest.ResponseRecorder) { w.Body = bytes.NewBufferString(`{"id": 0}`) })},
		{"no marker", "replay-marker", onReplay(func(w *httptest.ResponseRecorder) { w.Header().Del("Idempotent-Replayed") })},
		{"a marker that says false", "replay-unmarked", answering(func(_ *http.Request, w *httptest.ResponseRecorder) {
			if !isReplay(w) {
				w.Header().Set("Idempotent-Replayed", "false")
			}
		})},
		{"replays may be stored", "replay-no-store", onReplay(func(w *httptest.ResponseRecorder) { w.Header().Set("Cache-Control", "max-age=60") })},
		{"Age on replay", "replay-no-age", onReplay(func(w *httptest.ResponseRecorder) { w.Header().Set("Age", "7") })},
		{"the old Date on replay", "replay-date", onReplay(func(w *httptest.ResponseRecorder) {
			w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		})},
		{"a field of the first connection", "replay-hop", onReplay(func(w *httptest.ResponseRecorder) { w.Header().Set("X-Hop", "1") })},
		{"errors are decided anew", "replay-error", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return guard(t, b, semelhttp.Config{Preset: semelhttp.SuccessOnly})
		}},
		{"every answer is kept", "replay-transient", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return guard(t, b, semelhttp.Config{Preset: semelhttp.FreezeAll})
		}},
		{"known by the body", "concurrent-effect conflict-body cut-effect cut-within flight-conflict key-quoted replay-fresh scope-replay upload-half", asking(semelhttp.Config{}, func(r *http.Request) {
			if k := key(r); len(k) == 36 {
				r.Header.Set(fieldKey, fmt.Sprintf("%x", sha256.Sum256(content(r)))[:36])
			}
		})},
		{"effects of replays", "concurrent-effect cut-effect cut-within replay-effect", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return answering(func(_ *http.Request, w *httptest.ResponseRecorder) {
				if isReplay(w) {
					b.payments.Add(1)
				}
			})(t, b)
		}},
	}
}

func brokenConflicts() []broken {
	fixed := func(change func(*http.Request)) func(*testing.T, *bank) http.Handler {
		return asking(semelhttp.Config{}, change)
	}
	return []broken{
		{"a reuse is not refused", "conflict-body conflict-media conflict-query flight-conflict", onRefusal(422, func(_ *http.Request, w *httptest.ResponseRecorder) { w.Code = http.StatusOK })},
		{"the query does not count", "conflict-query", fixed(func(r *http.Request) { r.URL.RawQuery, r.RequestURI = "", r.URL.Path })},
		{"the media type does not count", "conflict-media", fixed(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })},
		{"the path does not count", "conflict-path", fixed(func(r *http.Request) { r.URL.Path, r.RequestURI = "/payments", "/payments" })},
		{"a refused reuse frees the key", "conflict-harmless", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			var freed sync.Map
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k := key(r)
				if _, ok := freed.Load(k); ok && k != "" {
					r.Header.Set(fieldKey, k+"-anew")
				}
				rec := httptest.NewRecorder()
				inner.ServeHTTP(rec, r)
				if rec.Code == http.StatusUnprocessableEntity {
					freed.Store(k, true)
				}
				write(w, rec)
			})
		}},
		{"a duplicate in flight is refused as something else", "cut-before cut-effect flight-duplicate", onRefusal(409, func(_ *http.Request, w *httptest.ResponseRecorder) { w.Code = 500 })},
		{"no time to try again", "flight-retry-after", onRefusal(409, func(_ *http.Request, w *httptest.ResponseRecorder) { w.Header().Set("Retry-After", "0") })},
		{"in flight before conflict", "flight-conflict", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			var running sync.Map
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k := key(r)
				if _, ok := running.Load(k); ok && k != "" {
					r.Body = io.NopCloser(strings.NewReader(`{"kind": "slow", "amount": 1}`))
					r.ContentLength = 29
				} else if k != "" && strings.Contains(string(content(r)), "slow") {
					running.Store(k, true)
					defer running.Delete(k)
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"look, then write", "concurrent-answers concurrent-effect cut-before cut-effect flight-duplicate", lookThenWrite},
	}
}

// lookThenWrite knows answers and not what still runs.
func lookThenWrite(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	var mu sync.Mutex
	running := make(map[string]int)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := key(r)
		time.Sleep(fast / 4)
		mu.Lock()
		running[k]++
		twice := running[k] > 1
		mu.Unlock()
		defer func() {
			mu.Lock()
			running[k]--
			mu.Unlock()
		}()
		if twice && k != "" && r.Method == http.MethodPost {
			b.ServeHTTP(w, r)
			return
		}
		time.Sleep(fast / 4)
		inner.ServeHTTP(w, r)
	})
}

func brokenKeys() []broken {
	lenient := semelhttp.Config{Optional: true}
	drop := func(bad func(string) bool) func(*http.Request) {
		return func(r *http.Request) {
			if bad(key(r)) {
				r.Header.Del(fieldKey)
			}
		}
	}
	return []broken{
		{"keys are optional", "key-missing", asking(lenient, func(*http.Request) {})},
		{"an empty key is ignored", "key-empty key-missing", asking(lenient, drop(func(k string) bool { return k == "" }))},
		{"a long key is ignored", "key-long key-missing", asking(lenient, drop(func(k string) bool { return len(k) > 255 }))},
		{"keys up to 64", "key-longest", asking(semelhttp.Config{}, func(r *http.Request) {
			if len(key(r)) > 64 {
				r.Header.Set(fieldKey, strings.Repeat("x", 300))
			}
		})},
		{"a space is ignored", "key-missing key-space", asking(lenient, drop(func(k string) bool { return strings.Contains(k, " ") }))},
		{"more than ASCII is ignored", "key-ascii key-missing", asking(lenient, drop(func(k string) bool { return strings.Contains(k, "é") }))},
		{"a control character is ignored", "key-control key-missing", asking(lenient, func(r *http.Request) { // the front has changed it
			if strings.Contains(key(r), cleaned) {
				r.Header.Del(fieldKey)
			}
		})},
		{"the first line counts", "key-lines", asking(semelhttp.Config{}, func(r *http.Request) {
			if lines := r.Header[fieldKey]; len(lines) > 1 {
				r.Header[fieldKey] = lines[:1]
			}
		})},
		{"quotes belong to the key", "key-quoted", asking(semelhttp.Config{}, func(r *http.Request) {
			r.Header[fieldKey] = slices.Clone(r.Header[fieldKey])
			for i, k := range r.Header[fieldKey] {
				r.Header[fieldKey][i] = strings.ReplaceAll(k, `"`, "'")
			}
		})},
		{"odd keys fail after they ran", "key-long key-lines key-quoted key-space", chargeAndFail},
		{"callers share keys", "scope-replay scope-silent", asking(semelhttp.Config{}, func(r *http.Request) { r.Header.Set("Authorization", "x") })},
		{"keys in refusals", "refusal-key", onRefusal(0, func(r *http.Request, w *httptest.ResponseRecorder) { w.Header().Set("X-Key", key(r)) })},
		{"refusals in a form of their own", "refusal-form", onRefusal(0, func(_ *http.Request, w *httptest.ResponseRecorder) {
			w.Header().Set("Content-Type", "application/json")
		})},
		{"refusals may be stored", "refusal-no-store", onRefusal(0, func(_ *http.Request, w *httptest.ResponseRecorder) { w.Header().Del("Cache-Control") })},
		{"refused after it ran", "refusal-effect", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return onRefusal(422, func(*http.Request, *httptest.ResponseRecorder) { b.payments.Add(1) })(t, b)
		}},
	}
}

// chargeAndFail does what it is asked under a key that it cannot write down, and then fails.
func chargeAndFail(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := key(r)
		if odd := len(r.Header[fieldKey]) > 1 || len(k) > 255 || strings.ContainsAny(k, "\" "); odd && r.Method == http.MethodPost {
			b.payments.Add(1)
			http.Error(w, "no such key", http.StatusInternalServerError)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func brokenWires() []broken {
	return []broken{
		{"GET is guarded", "safe-method", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return guard(t, b, semelhttp.Config{Optional: false, Methods: []string{"GET", "POST"}})
		}},
		{"a hang-up frees the key", "cut-before cut-effect", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			var freed sync.Map
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k := key(r)
				if n, ok := freed.Load(k); ok && k != "" {
					r.Header.Set(fieldKey, k+fmt.Sprint(n))
				}
				inner.ServeHTTP(w, r)
				if r.Context().Err() != nil {
					freed.Store(k, 1)
				}
			})
		}},
		{"half a body runs", "upload-half", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if key(r) != "" {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						b.payments.Add(1)
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"a slow body is given up", "upload-slow", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begun := time.Now()
				if key(r) != "" {
					content(r)
				}
				if time.Since(begun) > fast && r.Header.Get("Expect") == "" {
					http.Error(w, "too slow", http.StatusRequestTimeout)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"kept after it is sent", "cut-within", keepLate},
		{"a refused body stays in the connection", "early-refusal", smuggle},
		{"the body is read before the key", "expect-refusal", asking(semelhttp.Config{}, func(r *http.Request) { content(r) })},
		{"who expects is failed", "expect-refusal", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "" && key(r) == "" {
					http.Error(w, "no", http.StatusInternalServerError)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"Expect is refused", "expect-served", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "" && key(r) != "" {
					http.Error(w, "no", http.StatusExpectationFailed)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
	}
}

// keepLate forgets an answer whose client has left in the middle of it.
func keepLate(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	var gone sync.Map
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := key(r)
		if _, ok := gone.Load(k); ok && k != "" {
			r.Header.Set(fieldKey, k[:30]+"-again")
		}
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		time.Sleep(fast) // who does not wait for the answer has left by now
		here := r.Context().Err() == nil
		write(w, rec)
		_ = http.NewResponseController(w).Flush()
		if here && r.Method == http.MethodPost && rec.Code == http.StatusCreated {
			time.Sleep(fast / 2)
			if r.Context().Err() != nil {
				gone.Store(k, true)
			}
		}
	})
}

// smuggle refuses without reading, and takes the body for the next request.
func smuggle(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key(r) != "" || r.Method != http.MethodPost || r.Header.Get("Expect") != "" {
			inner.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context())))
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d x\r\n", rec.Code)
		_ = rec.Header().Write(conn)
		_, _ = fmt.Fprintf(conn, "\r\n%s", rec.Body)
		_ = conn.SetReadDeadline(time.Now().Add(10 * fast))
		if n, _ := conn.Read(make([]byte, 1)); n > 0 {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n")
		}
	})
}

// cleaned stands for a control character, which no server of net/http lets in.
const cleaned = "~"

// front puts something before the target that lets everything in.
func front(t *testing.T, target *Target) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	behind := target.URL.Host
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, behind)
		}
	}()
	for _, u := range []*url.URL{target.URL, target.OtherURL, target.Effects.URL} {
		u.Host = l.Addr().String()
	}
}

// relay hands one connection on.
func relay(conn net.Conn, behind string) {
	defer conn.Close()
	to, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(conn, to)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	chunk := make([]byte, 64<<10)
	for {
		n, err := conn.Read(chunk)
		if n > 0 {
			_, _ = to.Write(bytes.ReplaceAll(chunk[:n], []byte("\x01"), []byte(cleaned)))
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// Each rule is seen to break, and breaks alone: what is broken on purpose is found, and
// nothing else is.
func TestEachRuleBreaks(t *testing.T) {
	rows := brokenOnes()
	reports := make([]*Report, len(rows))
	errs := make([]error, len(rows))
	var all sync.WaitGroup
	turn := make(chan struct{}, 8) // a run mostly waits
	for i, row := range rows {
		b := &bank{header: hopping}
		target := targetOf(t, serve(t, b, row.make(t, b)))
		if strings.Contains(row.rules, "key-control") {
			front(t, &target)
		}
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			reports[i], errs[i] = Run(t.Context(), target, quick("ietf"))
		})
	}
	all.Wait()
	seen := make(map[string]bool)
	for i, row := range rows {
		if errs[i] != nil || !reports[i].Complete {
			t.Errorf("%s: cut short: %v", row.name, errs[i])
			continue
		}
		want, got := strings.Fields(row.rules), having(reports[i], Failed)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			tell(t, reports[i])
			t.Errorf("%s: broken are %s,\nwant %s", row.name, strings.Join(got, " "), strings.Join(want, " "))
		}
		for _, id := range got {
			seen[id] = true
		}
	}
	for _, rule := range Rules() {
		if !seen[rule.ID] && rule.Severity != Info {
			t.Errorf("%s was never seen to break", rule.ID)
		}
	}
}
