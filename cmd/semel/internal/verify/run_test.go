package verify

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The run says why nothing can be said, before a rule is tried.
func TestRunThatCannotBegin(t *testing.T) {
	t.Parallel() // it mostly waits
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) })
	mux.HandleFunc("/served", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "many") })
	mux.HandleFunc("/still", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "7") })
	server := httptest.NewServer(mux)
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, row := range []struct {
		at, effects string
		want        error
		says        string
	}{
		{server.URL + "/moved", "", ErrRedirect, "307"},
		{server.URL + "/refused", "", ErrNotServed, "401 who are you?"},
		{gone.URL, "", ErrUnreachable, "refused"},
		{server.URL + "/served", server.URL + "/text", ErrCounter, "not JSON"},
		{server.URL + "/served", server.URL + "/nothing", ErrCounter, "404"},
		{server.URL + "/served", server.URL + "/still", ErrCounter, "did not move"},
		{server.URL + "/served", gone.URL, ErrUnreachable, "refused"},
	} {
		target := Target{URL: parse(t, row.at), Method: http.MethodPost}
		if row.effects != "" {
			target.Effects.URL = parse(t, row.effects)
		}
		report, err := Run(t.Context(), target, quick("ietf"))
		if !errors.Is(err, row.want) || report != nil || !strings.Contains(fmt.Sprint(err), row.says) {
			t.Errorf("%s %s: got %v, want %v that says %s", row.at, row.effects, err, row.want, row.says)
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	t.Parallel() // it mostly waits
	good := Target{URL: parse(t, "http://127.0.0.1:1/"), Method: http.MethodPost}
	for name, change := range map[string]func(*Target){
		"no URL":           func(x *Target) { x.URL = nil },
		"a safe method":    func(x *Target) { x.Method = http.MethodGet },
		"another scheme":   func(x *Target) { x.URL = parse(t, "ftp://127.0.0.1/") },
		"no host":          func(x *Target) { x.URL = parse(t, "http:///x") },
		"a user":           func(x *Target) { x.URL = parse(t, "http://alice:s3cret@127.0.0.1/") },
		"slow elsewhere":   func(x *Target) { x.SlowURL = parse(t, "http://127.0.0.2:1/") },
		"another port":     func(x *Target) { x.OtherURL = parse(t, "http://127.0.0.1:2/") },
		"a counter of ftp": func(x *Target) { x.Effects.URL = parse(t, "ftp://127.0.0.1/") },
	} {
		target := good
		change(&target)
		if _, err := Run(t.Context(), target, Config{}); err == nil || errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A run that is cut short says of each rule that it was not run, and sends no more than it may.
func TestLimits(t *testing.T) {
	t.Parallel() // it mostly waits
	var hits atomic.Int64
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		inner.ServeHTTP(w, r)
	}))
	target := targetOf(t, server)
	target.Effects = Counter{}
	cfg := quick("ietf")
	cfg.MaxRequests = 20
	report, err := Run(t.Context(), target, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if hits.Load() != 20 || report.Requests != 20 || report.Complete || report.Count(Failed) > 0 {
		t.Errorf("%d requests arrived, the report has %d, complete %v, broken %v", hits.Load(), report.Requests, report.Complete, having(report, Failed))
	}
	if last := report.Results[len(report.Results)-6]; !strings.Contains(last.Detail, "not run: "+errBudget.Error()) {
		t.Errorf("%s: %s", last.Rule.ID, last.Detail)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg = quick("ietf")
	cfg.Progress = func(done, _ int, _ string) {
		if done == 16 {
			cancel(errors.New("enough"))
		}
	}
	report, err = Run(ctx, target, cfg)
	if err != nil || report.Complete || report.Count(Failed) > 0 || !strings.Contains(resultOf(t, report, "safe-method").Detail, "not run: enough") {
		t.Errorf("a run that was stopped: %v, %+v", err, report)
	}
	cfg = quick("ietf")
	cfg.Timeout = 300 * time.Millisecond
	target.Body = `{"kind": "slow", "amount": 3}`
	begun := time.Now()
	if _, err := Run(t.Context(), target, cfg); !errors.Is(err, errTime) || time.Since(begun) > 2*time.Second {
		t.Errorf("after %v: %v, want %v", time.Since(begun), err, errTime)
	}
}

// A second request on a connection counts like any other.
func TestLimitOnOneConnection(t *testing.T) {
	t.Parallel() // it mostly waits
	var hits atomic.Int64
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		inner.ServeHTTP(w, r)
	}))
	for most, want := range map[int]error{0: errBudget, 1: errBudget, 2: nil} {
		cfg := quick("ietf").withDefaults()
		s := newSession(targetOf(t, server), cfg)
		s.wire.most = int64(most)
		hits.Store(0)
		v, err := earlyRefusal(t.Context(), s)
		if !errors.Is(err, want) || want == nil && v.status != Passed {
			t.Errorf("a limit of %d: %v: %s, %v", most, v.status, v.detail, err)
		}
		if int(hits.Load()) != most || int(s.wire.sent.Load()) != most {
			t.Errorf("a limit of %d: %d requests arrived, %d are counted", most, hits.Load(), s.wire.sent.Load())
		}
	}
}

// A server that goes away in the middle is not taken for a broken rule.
func TestServerThatGoes(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	server := serve(t, b, guard(t, b, semelhttp.Config{}))
	target := targetOf(t, server)
	cfg := quick("ietf")
	cfg.Progress = func(done, _ int, _ string) {
		if done == 18 {
			server.Close()
		}
	}
	report, err := Run(t.Context(), target, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if report.Complete || report.Count(Failed) > 0 {
		tell(t, report)
		t.Errorf("complete %v, broken %v", report.Complete, having(report, Failed))
	}
}

// Credentials are in no report, whatever the endpoint sends back, and go to no other server.
func TestSecretsStayHere(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // breaks much, and echoes all
		if r.URL.Path == "/echo" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", r.Header.Get("Authorization"))
			return
		}
		w.Header()["X-Echo"] = r.Header["Authorization"]
		w.Header().Add("Set-Cookie", "session=t0psecret")
		w.WriteHeader(http.StatusCreated)
		b.payments.Add(1)
		_, _ = fmt.Fprintf(w, "%s %s %d", strings.Repeat(".", 180), r.Header.Get("Authorization"), b.payments.Load())
	}))
	counter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the counter of another server gets the credentials")
		}
		_, _ = fmt.Fprint(w, b.payments.Load())
	}))
	defer counter.Close()
	target := targetOf(t, server)
	target.Effects = Counter{URL: parse(t, counter.URL)}
	target.URL = parse(t, server.URL+"/payments?token=in-the-query")
	report := mustRun(t, target, quick("ietf"))
	if report.Broken(Must) < 10 {
		t.Fatalf("only %v are broken", having(report, Failed))
	}
	var all bytes.Buffer
	_ = report.WriteTable(&all, nil)
	_ = report.WriteJUnit(&all, Should)
	_ = json.NewEncoder(&all).Encode(report.View())
	target.Effects.URL = parse(t, server.URL+"/echo")
	_, err := Run(t.Context(), target, quick("ietf"))
	if !errors.Is(err, ErrCounter) {
		t.Errorf("a counter that is no HTTP: %v", err)
	}
	_, _ = fmt.Fprintln(&all, err)
	for _, word := range []string{"s3cret", "alice", "Bearer bob", "t0psecret", "in-the-query"} {
		if at := strings.Index(all.String(), word); at >= 0 {
			t.Errorf("%q is in the report: …%s…", word, all.String()[max(0, at-80):at+20])
		}
	}
}

// No key is in a report or an error, however the endpoint sends it back: in a field, at the end
// of its answer where an excerpt is cut, in the body of the request, in its own spelling, in what is no HTTP.
func TestKeysStayHere(t *testing.T) {
	t.Parallel() // it mostly waits
	var sent, seen sync.Map
	b := new(bank)
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // breaks much, and echoes all
		for _, k := range r.Header[fieldKey] {
			sent.Store(k, true)
		}
		k := key(r)
		if _, again := seen.LoadOrStore(k, true); again && r.URL.Path == "/lost" || r.URL.Path == "/none" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", k)
			return
		}
		w.Header().Set("X-Echo", "key="+k)
		body := string(content(r))
		if _, order, ok := strings.Cut(body, `"order": "`); ok {
			order, _, _ = strings.Cut(order, `"`)
			sent.Store(order, true)
		}
		w.Header().Set("X-Body", body)
		w.Header().Set("X-Spelling", strconv.QuoteToASCII(k))
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = fmt.Fprintf(w, "%d %s %s", b.payments.Add(1), strings.Repeat(".", 165), k)
	}))
	var all bytes.Buffer
	for _, path := range []string{"/payments", "/lost"} {
		target := targetOf(t, server)
		target.URL = parse(t, server.URL+path)
		target.Body = `{"amount": 100, "order": "{{key}}"}`
		report := mustRun(t, target, quick("ietf"))
		if report.Broken(Must) < 10 {
			t.Fatalf("%s: only %v are broken", path, having(report, Failed))
		}
		_ = report.WriteTable(&all, nil)
		_ = report.WriteJUnit(&all, Should)
		_ = json.NewEncoder(&all).Encode(report.View())
	}
	for _, path := range []string{"/down", "/none"} {
		target := targetOf(t, server)
		target.URL, target.Effects = parse(t, server.URL+path), Counter{}
		_, err := Run(t.Context(), target, quick("ietf"))
		if !errors.Is(err, ErrNotServed) {
			t.Errorf("%s: got %v", path, err)
		}
		_, _ = fmt.Fprintln(&all, err)
	}
	for k := range sent.Range {
		k, _ := k.(string)
		k = strings.Trim(k, `"`)
		if len(k) < 36 {
			continue // none
		}
		for _, part := range []string{k[8:20], k[24:36]} { // a short form ends before, odd text too
			if at := strings.Index(all.String(), part); at >= 0 {
				t.Fatalf("%q of the key %q is in the report: …%s…", part, k, all.String()[max(0, at-80):at+20])
			}
		}
	}
	if n := len(regexp.MustCompile(`key=[0-9a-f]{8}…`).FindAllString(all.String(), -1)); n < 10 {
		t.Errorf("the begin of a key is shown %d times", n)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	mux := http.NewServeMux()
	mux.Handle("/", guard(t, b, semelhttp.Config{}))
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"payments": %d}`, b.payments.Load())
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	cfg := quick("ietf")
	if _, err := Run(t.Context(), targetOf(t, server), cfg); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	cfg.Roots = x509.NewCertPool()
	cfg.Roots.AddCert(server.Certificate())
	report := mustRun(t, targetOf(t, server), cfg)
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("broken are", failed)
	}
}

// Every operation has a body of its own where the body asks for it, and keeps it in each retry.
func TestPlaceholders(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	bodies := make(chan string, 400)
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get("Authorization") == secret && key(r) != "" {
			bodies <- key(r) + " " + string(content(r))
		}
		inner.ServeHTTP(w, r)
	}))
	target := targetOf(t, server)
	target.Body = `{"amount": {{n}}, "order": "{{key}}"}`
	report := mustRun(t, target, quick("ietf"))
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("broken are", failed)
	}
	close(bodies)
	by := make(map[string][]string)
	for line := range bodies {
		k, body, _ := strings.Cut(line, " ")
		if !slices.Contains(by[k], body) {
			by[k] = append(by[k], body)
		}
	}
	once := 0
	for _, own := range by {
		if len(own) == 1 && strings.Contains(own[0], `"amount": {`) {
			t.Errorf("a placeholder was sent: %s", own)
		}
		if len(own) == 1 {
			once++
		}
	}
	if once < 10 {
		t.Errorf("%d keys had one body", once)
	}
}
