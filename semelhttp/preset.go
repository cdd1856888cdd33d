package semelhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/semel-go/semel/problem"
)

// Preset changes what is kept and how refusals look, together.
type Preset uint8

// The presets.
const (
	// IETF follows draft-ietf-httpapi-idempotency-key-header-07: problem
	// details, 400, 409, 422. It keeps what [Settle] says. The default.
	IETF Preset = iota
	// Stripe answers in Stripe's error envelope with its statuses (400 for
	// another request under the same key) and Stripe-Should-Retry, so that
	// Stripe's client libraries give their typed errors and do not retry what
	// is final. It keeps what [Settle] says.
	Stripe
	// SuccessOnly is IETF, but keeps what [SettleSuccess] says.
	SuccessOnly
	// FreezeAll is IETF, but keeps every whole answer.
	FreezeAll
	// Connect answers calls of Connect, gRPC-Web and gRPC in the form of their protocol,
	// which the media type tells, and everything else in Connect's. It keeps what
	// [SettleRPC] says. See docs/rpc.md.
	Connect
	// GRPC is Connect, but answers what is no call with problem details.
	GRPC
)

var presetNames = [...]string{
	IETF: "ietf", Stripe: "stripe", SuccessOnly: "success-only", FreezeAll: "freeze-all",
	Connect: "connect", GRPC: "grpc",
}

// String returns "ietf", "stripe", "success-only", "freeze-all", "connect" or "grpc".
func (p Preset) String() string {
	if int(p) < len(presetNames) {
		return presetNames[p]
	}
	return "invalid"
}

// ParsePreset reads what [Preset.String] writes.
func ParsePreset(s string) (Preset, error) {
	for i, name := range presetNames {
		if s == name {
			return Preset(i), nil
		}
	}
	return 0, fmt.Errorf("semelhttp: unknown preset %q: want ietf, stripe, success-only, freeze-all, connect or grpc", s)
}

// Settle returns the table of the preset, nil for one that is none.
func (p Preset) Settle() SettleFunc {
	switch p {
	case IETF, Stripe:
		return Settle
	case SuccessOnly:
		return SettleSuccess
	case FreezeAll:
		return SettleAll
	case Connect, GRPC:
		return SettleRPC
	}
	return nil
}

func (p Preset) render() RenderFunc {
	switch p {
	case Stripe:
		return renderStripe
	case Connect:
		return renderConnect
	case GRPC:
		return renderGRPC
	case IETF, SuccessOnly, FreezeAll:
	}
	return renderProblem
}

func renderProblem(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	tellFinal(w.Header(), p)
	p.Write(w)
}

// headerShouldRetry is "false" on refusals that are final. Most clients retry 409 and 5xx
// whatever the body says; those that Stainless makes, of many APIs, obey this.
const headerShouldRetry = "X-Should-Retry"

func tellFinal(h http.Header, p problem.Details) {
	if !p.Retryable {
		h.Set(headerShouldRetry, "false")
	}
}

// stripeError is the envelope that Stripe's client libraries know. A body of
// any other shape makes some of them retry a final refusal.
type stripeError struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func renderStripe(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	status, e := stripeForm(p)
	body, err := json.Marshal(map[string]stripeError{"error": e})
	if err != nil { // three strings
		status, body = http.StatusInternalServerError, nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Stripe-Should-Retry", strconv.FormatBool(p.Retryable))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}

func stripeForm(p problem.Details) (status int, e stripeError) {
	e = stripeError{Type: "invalid_request_error", Code: p.Code, Message: p.Title}
	if p.Detail != "" {
		e.Message = p.Detail
	}
	switch {
	case p.Code == ProblemKeyConflict.Details().Code:
		e.Type = "idempotency_error"
		return http.StatusBadRequest, e
	case p.Code == ProblemInFlight.Details().Code:
		e.Code = "idempotency_key_in_use"
	case p.Status >= 500, p.Code == ProblemOutcomeUnknown.Details().Code, p.Code == ProblemResponseNotKept.Details().Code:
		e.Type = "api_error"
	}
	return p.Status, e
}
