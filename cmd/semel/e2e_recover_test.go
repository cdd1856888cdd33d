//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pay sends one payment to the sidecar.
func pay(t *testing.T, s *sidecar, key string) (status int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/pay", strings.NewReader("ten"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "alice")
	req.Header.Set("Idempotency-Key", key)
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

func wantPaid(t *testing.T, s *sidecar, key string, replayed bool) (body string) {
	t.Helper()
	status, body, header := pay(t, s, key)
	if status != http.StatusCreated || !strings.HasPrefix(body, "paid ") || header.Get("Content-Type") != "text/x-receipt" ||
		header.Get("Location") != "/operations/"+strings.TrimSpace(strings.TrimPrefix(body, "paid ")) ||
		(header.Get("Idempotent-Replayed") == "true") != replayed {
		t.Fatalf("got %d %q, %v", status, body, header)
	}
	return body
}

func wantUnknown(t *testing.T, s *sidecar, key string, want int) {
	t.Helper()
	if status, body, _ := pay(t, s, key); status != want || !strings.Contains(body, "outcome_unknown") {
		t.Fatalf("got %d %q, want %d", status, body, want)
	}
}

// TestServiceDies: a service dies before its effect, or after it and before the
// answer, and is asked once it lives again, also by a sidecar that was killed and
// started anew on the same file. There is one effect, and one answer (I1, I3).
func TestServiceDies(t *testing.T) {
	for _, dies := range []string{"before", "after"} {
		for _, killed := range []bool{false, true} {
			name := dies + " its effect"
			if killed {
				name += ", and the sidecar with it"
			}
			t.Run(name, func(t *testing.T) {
				l := newLedger(t)
				s := startSidecar(t, "http://"+l.addr, "--store", "sqlite:"+t.TempDir()+"/semel.db", "--lapsed", "recover",
					"--recover-url", "http://"+l.addr+"/operations/{key}")
				l.start(t, dies)
				wantUnknown(t, s, "k", http.StatusGatewayTimeout)
				l.stop(t)
				wantUnknown(t, s, "k", http.StatusConflict) // nobody is there to ask
				if killed {
					s.end(t, syscall.SIGKILL)
					s.start(t)
				}
				l.start(t, "")
				first := wantPaid(t, s, "k", dies == "after")
				if again := wantPaid(t, s, "k", true); again != first {
					t.Errorf("got %q, then %q", first, again)
				}
				if got := l.effects(t); got != 1 {
					t.Errorf("%d effects, want 1", got)
				}
			})
		}
	}
}

// TestSidecarDies: the sidecar is killed while the service works. Once the lease
// is over a retry asks, and gets the answer that nobody had heard.
func TestSidecarDies(t *testing.T) {
	l := newLedger(t)
	l.start(t, "never")
	s := startSidecar(t, "http://"+l.addr, "--store", "sqlite:"+t.TempDir()+"/semel.db", "--lease", "1s", "--margin", "0s",
		"--lapsed", "recover", "--recover-timeout", "900ms", "--recover-url", "http://"+l.addr+"/operations/{key}")
	go func() { // is cut off
		req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/pay", strings.NewReader("ten"))
		if err == nil {
			req.Header.Set("Authorization", "alice")
			req.Header.Set("Idempotency-Key", "k")
			if res, err := (&http.Client{Transport: &http.Transport{}}).Do(req); err == nil {
				_ = res.Body.Close()
			}
		}
	}()
	for deadline := time.Now().Add(20 * time.Second); l.effects(t) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the service did nothing")
		}
	}
	s.end(t, syscall.SIGKILL)
	s.start(t)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status, _, _ := pay(t, s, "k")
		if status == http.StatusCreated {
			break
		}
		if status != http.StatusConflict || time.Now().After(deadline) {
			t.Fatalf("got %d", status)
		}
	}
	wantPaid(t, s, "k", true)
	if got := l.effects(t); got != 1 {
		t.Errorf("%d effects, want 1", got)
	}
}

// TestSweepFindsOut: with --sweep nobody has to come back for the answer.
func TestSweepFindsOut(t *testing.T) {
	l := newLedger(t)
	s := startSidecar(t, "http://"+l.addr, "--store", "sqlite:"+t.TempDir()+"/semel.db", "--lapsed", "recover",
		"--recover-url", "http://"+l.addr+"/operations/{key}", "--sweep", "1s")
	l.start(t, "after")
	wantUnknown(t, s, "k", http.StatusGatewayTimeout)
	l.stop(t)
	l.start(t, "")
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.log.String(), "settle=keep"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the sweep settles nothing")
		}
	}
	l.stop(t) // so that no retry could find out
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _, _ := pay(t, s, "k"); status == http.StatusCreated || time.Now().After(deadline) {
			break // else the round has not ended yet
		}
	}
	wantPaid(t, s, "k", true)
}

// TestResolvedOnServers: on every server a service is asked, an operator's reason is
// kept with the record, and it is gone when the request has run (I6, L2).
func TestResolvedOnServers(t *testing.T) {
	t.Parallel()
	for kind, start := range machines {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := start(t)
			l := newLedger(t)
			s := startSidecar(t, "http://"+l.addr, "--store", m.url, "--lapsed", "recover",
				"--recover-url", "http://"+l.addr+"/operations/{key}")
			l.start(t, "after")
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
				status, body, _ := pay(t, s, "kept")
				if status == http.StatusGatewayTimeout {
					break
				}
				if status != http.StatusServiceUnavailable || time.Now().After(deadline) { // it connects
					t.Fatalf("got %d %q", status, body)
				}
			}
			l.stop(t)
			l.start(t, "before")
			wantUnknown(t, s, "freed", http.StatusGatewayTimeout)
			l.stop(t)
			first := fields(t, runSemel(t, 0, "records", "list", "--store", m.url, "--lapsed", "--limit", "1", "--output", "jsonl"))
			if strings.Contains(first["reason"].(string), "@") || first["needs_decision"] != true {
				t.Errorf("got %v", first)
			}
			l.start(t, "")
			wantPaid(t, s, "kept", true)
			work := fields(t, runSemel(t, 0, "records", "list", "--store", m.url, "--lapsed", "--output", "jsonl"))
			slot, fence := work["slot"].(string), work["fence"].(json.Number).String()
			if slot == first["slot"] {
				t.Error("the oldest was not the first")
			}
			runSemel(t, 1, "records", "release", slot, "--store", m.url, "--fence", fence+"0", "--reason", "no effect", "--yes")
			runSemel(t, 0, "records", "release", slot, "--store", m.url, "--fence", fence, "--reason", "no effect in the ledger", "--yes")
			freed := fields(t, runSemel(t, 0, "records", "show", slot, "--store", m.url, "--output", "json"))
			if reason := freed["reason"].(string); !strings.HasSuffix(reason, ": no effect in the ledger") || freed["state"] != "free" {
				t.Errorf("got %v", freed)
			}
			wantPaid(t, s, "freed", false)
			if done := fields(t, runSemel(t, 0, "records", "show", slot, "--store", m.url, "--output", "json")); done["reason"] != "" {
				t.Errorf("the reason stays: %v", done)
			}
			if got := l.effects(t); got != 2 {
				t.Errorf("%d effects, want one for each of 2 keys", got)
			}
		})
	}
}

// fields reads the first JSON object of an output, which may have hints below it.
func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	in := json.NewDecoder(strings.NewReader(text[strings.IndexByte(text, '{'):]))
	in.UseNumber()
	if err := in.Decode(&object); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return object
}
