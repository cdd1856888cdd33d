package semelhttp

import (
	"net/http"
	"strings"

	"github.com/semel-go/semel/problem"
)

// paypalError is PayPal's error. debug_id is the reference of the record, which the
// people who run the service can look up; it is empty when there is none.
type paypalError struct {
	Name    string         `json:"name"`
	Message string         `json:"message"`
	DebugID string         `json:"debug_id"`
	Details []paypalDetail `json:"details,omitempty"`
}

type paypalDetail struct {
	Field       string `json:"field,omitempty"`
	Location    string `json:"location,omitempty"`
	Issue       string `json:"issue"`
	Description string `json:"description"`
}

// paypalInProgress is PayPal's issue for a request that runs.
const paypalInProgress = "PREVIOUS_REQUEST_IN_PROGRESS"

// renderPayPal uses PayPal's names and, where it has one, its issue. What PayPal has no
// issue for has Semel's code in capitals.
func renderPayPal(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	detail := paypalDetail{Issue: strings.ToUpper(p.Code), Description: message(p)}
	switch {
	case ProblemInFlight.is(p):
		detail.Issue = paypalInProgress
	case ProblemKeyMissing.is(p):
		detail.Issue = "PAYPAL_REQUEST_ID_REQUIRED"
		detail.Field, detail.Location = "PayPal-Request-Id", "header"
	case ProblemKeyInvalid.is(p):
		detail.Issue = "INVALID_PARAMETER_SYNTAX"
		detail.Field, detail.Location = "PayPal-Request-Id", "header"
	}
	e := paypalError{DebugID: refOf(p), Details: []paypalDetail{detail}}
	e.Name, e.Message = paypalName(p.Status)
	writeForm(w, p.Status, e)
}

// paypalName returns PayPal's name for a status, and the sentence that goes with it.
func paypalName(status int) (name, message string) {
	switch status {
	case http.StatusForbidden:
		return "NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."
	case http.StatusConflict, http.StatusGone:
		return "RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."
	case http.StatusUnprocessableEntity:
		return "UNPROCESSABLE_ENTITY", "The requested action could not be performed, semantically incorrect, or failed business validation."
	case http.StatusServiceUnavailable:
		return "SERVICE_UNAVAILABLE", "Service Unavailable."
	}
	if status >= 500 {
		return "INTERNAL_SERVER_ERROR", "An internal server error occurred."
	}
	return "INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."
}
