package semelhttp

import (
	"net/http"
	"strconv"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// stripeError is the envelope that Stripe's client libraries know. A body of
// any other shape makes some of them retry a final refusal.
type stripeError struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func renderStripe(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	status, e := stripeForm(p)
	w.Header().Set("Stripe-Should-Retry", strconv.FormatBool(p.Retryable))
	writeForm(w, status, map[string]stripeError{"error": e})
}

func stripeForm(p problem.Details) (status int, e stripeError) {
	e = stripeError{Type: "invalid_request_error", Code: p.Code, Message: message(p)}
	switch {
	case ProblemKeyConflict.is(p):
		e.Type = "idempotency_error"
		return http.StatusBadRequest, e
	case ProblemInFlight.is(p):
		e.Code = stripeInUse
	case p.Status >= 500, ProblemOutcomeUnknown.is(p), ProblemResponseNotKept.is(p):
		e.Type = "api_error"
	}
	return p.Status, e
}

// stripeInUse is Stripe's code for a key whose request runs.
const stripeInUse = "idempotency_key_in_use"

// SettleResumed is the table of [StripeV2], where a retry drives on what failed. 2xx and
// 3xx are kept. A 4xx frees the key, as do 503 and the others that [Settle] frees: the
// handler promises that such an answer had no effect. Every other 5xx says that nobody
// knows how far the handler came, and holds the key: give the route [semel.Rerun] if its
// handler can go on where it stopped, or [semel.Recover], and a retry drives it on.
func SettleResumed(status int, header http.Header) semel.Disposition {
	switch {
	case status < 400:
		return semel.Keep
	case status < 500, Settle(status, header) == semel.Free:
		return semel.Free
	}
	return semel.Unknown
}
