package semelhttp

import (
	"net/http"

	"github.com/semel-go/semel/problem"
)

// obErrors is OBErrorResponse1 of version 4.0. Id is the reference of the record, and
// Code, which the standard gives no values, is Semel's.
type obErrors struct {
	Code    string    `json:"Code"`
	ID      string    `json:"Id,omitempty"`
	Message string    `json:"Message"`
	Errors  []obError `json:"Errors"`
}

type obError struct {
	ErrorCode string `json:"ErrorCode"`
	Message   string `json:"Message"`
	Path      string `json:"Path,omitempty"`
}

// The codes of OBExternalStatusReason1Code that are used.
const (
	obUnexpected    = "U000" // UK.OBIE.UnexpectedError
	obFieldInvalid  = "U002" // UK.OBIE.Field.Invalid, also for what is too long
	obHeaderInvalid = "U006" // UK.OBIE.Header.Invalid
	obHeaderMissing = "U007" // UK.OBIE.Header.Missing
	obFormat        = "U010" // UK.OBIE.Resource.InvalidFormat
	obExists        = "U029" // UK.OBIE.Rules.ResourceAlreadyExists, or a state that does not allow the request
	obOther         = "U042" // UK.OBIE.OtherReason
)

func renderOpenBanking(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	const key = "x-idempotency-key"
	status, e := p.Status, obError{ErrorCode: obOther, Message: message(p)}
	switch {
	case ProblemKeyMissing.is(p):
		e.ErrorCode, e.Path = obHeaderMissing, key
	case ProblemKeyInvalid.is(p):
		e.ErrorCode, e.Path = obHeaderInvalid, key
	case ProblemKeyConflict.is(p): // the resources of the standard have no 422
		status, e.ErrorCode, e.Path = http.StatusBadRequest, obHeaderInvalid, key
	case ProblemScopeMissing.is(p):
		e.ErrorCode = obHeaderMissing
	case ProblemBodyTooLarge.is(p):
		e.ErrorCode = obFieldInvalid
	case ProblemBodyIncomplete.is(p):
		e.ErrorCode = obFormat
	case status == http.StatusConflict, status == http.StatusGone:
		e.ErrorCode = obExists
	case status >= 500:
		e.ErrorCode = obUnexpected
	}
	writeForm(w, status, obErrors{Code: p.Code, ID: refOf(p), Message: p.Title, Errors: []obError{e}})
}
