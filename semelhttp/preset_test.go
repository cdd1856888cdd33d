package semelhttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// Stripe's client libraries decide by status, type and Stripe-Should-Retry:
// nothing final may look as if another try would help.
func TestStripeFormOfEachProblem(t *testing.T) {
	want := map[semelhttp.Problem]string{
		semelhttp.ProblemInFlight:            "409 invalid_request_error idempotency_key_in_use true",
		semelhttp.ProblemOutcomeUnknown:      "409 api_error outcome_unknown false",
		semelhttp.ProblemKeyConflict:         "400 idempotency_error idempotency_key_conflict false",
		semelhttp.ProblemKeyMissing:          "400 invalid_request_error key_missing false",
		semelhttp.ProblemKeyInvalid:          "400 invalid_request_error key_invalid false",
		semelhttp.ProblemScopeMissing:        "400 invalid_request_error scope_missing false",
		semelhttp.ProblemBodyTooLarge:        "413 invalid_request_error body_too_large false",
		semelhttp.ProblemBodyIncomplete:      "400 invalid_request_error body_incomplete true",
		semelhttp.ProblemStoreUnavailable:    "503 api_error store_unavailable true",
		semelhttp.ProblemResponseNotKept:     "410 api_error response_not_kept false",
		semelhttp.ProblemUpstreamUnreachable: "502 api_error upstream_unreachable true",
		semelhttp.ProblemReplayRefused:       "403 invalid_request_error replay_refused false",
		semelhttp.ProblemRecordDamaged:       "500 api_error record_damaged false",
		semelhttp.ProblemNotCommitted:        "500 api_error not_committed true",
		semelhttp.ProblemRequestTooOld:       "412 invalid_request_error request_too_old false",
	}
	mw := nestedMiddleware(t, semelhttp.Config{Preset: semelhttp.Stripe})
	for _, p := range semelhttp.Problems() {
		w := httptest.NewRecorder()
		mw.Refuse(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), p, 0)
		var body struct {
			Error struct{ Type, Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		h, e := w.Header(), body.Error
		got := fmt.Sprintln(w.Code, e.Type, e.Code, h.Get("Stripe-Should-Retry"))
		if got != want[p]+"\n" || e.Message == "" || h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %s%v %s, want %s", p, got, h, w.Body, want[p])
		}
		if again := h.Get("Retry-After"); (again == "1") != (p == semelhttp.ProblemInFlight || p == semelhttp.ProblemStoreUnavailable) {
			t.Errorf("%s: got Retry-After %q", p, again)
		}
	}
}
