package semelhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestProblemsOnTheWire fixes what clients build on. A row may be added; no row
// may change.
func TestProblemsOnTheWire(t *testing.T) {
	want := []struct {
		problem             Problem
		status              int
		code                string
		retryable, reuseKey bool
	}{
		{ProblemInFlight, 409, "in_flight", true, true},
		{ProblemOutcomeUnknown, 409, "outcome_unknown", false, true},
		{ProblemKeyConflict, 422, "idempotency_key_conflict", false, false},
		{ProblemKeyMissing, 400, "key_missing", false, false},
		{ProblemKeyInvalid, 400, "key_invalid", false, false},
		{ProblemScopeMissing, 400, "scope_missing", false, false},
		{ProblemBodyTooLarge, 413, "body_too_large", false, false},
		{ProblemBodyIncomplete, 400, "body_incomplete", true, true},
		{ProblemStoreUnavailable, 503, "store_unavailable", true, true},
		{ProblemResponseNotKept, 410, "response_not_kept", false, true},
		{ProblemUpstreamUnreachable, 502, "upstream_unreachable", true, true},
		{ProblemReplayRefused, 403, "replay_refused", false, true},
		{ProblemRecordDamaged, 500, "record_damaged", false, true},
		{ProblemNotCommitted, 500, "not_committed", true, true},
		{ProblemRequestTooOld, 412, "request_too_old", false, true},
	}
	all := Problems()
	if len(all) != len(want) {
		t.Fatalf("got %d problems, want %d", len(all), len(want))
	}
	for i, row := range want {
		d := row.problem.Details()
		if all[i] != row.problem || d.Status != row.status || d.Code != row.code ||
			d.Retryable != row.retryable || d.ReuseKey != row.reuseKey {
			t.Errorf("%s: got %s, %+v", row.problem, all[i], d)
		}
		if got, want := d.Type, "https://github.com/semel-go/semel/blob/main/docs/problems.md#"+string(row.problem); got != want {
			t.Errorf("got type %s, want %s", got, want)
		}
	}
}

func TestProblemsAreComplete(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{2,}$`) // RFC 9457 section 3.2
	seen := map[string]bool{}
	for _, p := range Problems() {
		d := p.Details()
		if d.Title == "" || !strings.HasSuffix(d.Detail, ".") || !name.MatchString(d.Code) || seen[d.Code] {
			t.Errorf("%s: got %+v", p, d)
		}
		seen[d.Code] = true
		if d.Retryable && !d.ReuseKey {
			t.Errorf("%s: a retry must keep its key", p)
		}
		if _, err := json.Marshal(d); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownProblemIsAPlain500(t *testing.T) {
	d := Problem("invented").Details()
	if d.Status != http.StatusInternalServerError || d.Type != "" || d.Retryable || d.ReuseKey {
		t.Errorf("got %+v", d)
	}
}

// The type of a problem leads to a page that has a section about it.
func TestProblemsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Problems() {
		d := p.Details()
		for _, want := range []string{
			fmt.Sprintf("\n## %s\n\n**%d · %s.** ", p, d.Status, d.Title),
			fmt.Sprintf("| [%s](#%s) | %d | `%s` | %v | %v |\n", p, p, d.Status, d.Code, d.Retryable, d.ReuseKey),
		} {
			if !strings.Contains(string(page), want) {
				t.Errorf("docs/problems.md lacks %q", want)
			}
		}
	}
}

// L2: clients that retry 409 and 5xx by themselves are told what is final.
func TestFinalProblemsSaySo(t *testing.T) {
	for _, p := range Problems() {
		w := httptest.NewRecorder()
		renderProblem(w, nil, p.Details())
		want := "false"
		if p.Details().Retryable {
			want = ""
		}
		if got := w.Header().Get("X-Should-Retry"); got != want {
			t.Errorf("%s: X-Should-Retry %q, want %q", p, got, want)
		}
	}
}
