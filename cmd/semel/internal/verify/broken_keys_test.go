package verify

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

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
