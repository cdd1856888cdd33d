package semelhttp

import (
	"net/http"

	"github.com/semel-go/semel/problem"
)

// Problem names a kind of refusal. It is the last part of the problem type's
// URI and never changes its meaning.
type Problem string

// The problems, and what a client should do about each. The member retryable
// says whether the same request may succeed later; reuse_key says that every
// later try must carry the same key, because a new one may run a second time.
const (
	// ProblemInFlight (409): an earlier try with this key still runs. Send the
	// same request with the same key again after Retry-After.
	ProblemInFlight Problem = "in-flight"
	// ProblemOutcomeUnknown (409, and 504 for the try itself): a try ended
	// without telling what it did; it may have happened. Never take a new key.
	// Ask for the state of the operation, or ask the service; the same key
	// answers once it is resolved.
	ProblemOutcomeUnknown Problem = "outcome-unknown"
	// ProblemKeyConflict (422): the key belongs to another request. It is a
	// mistake in the client. Make sure which of the two is meant; if this one
	// is a new operation, send it with a new key.
	ProblemKeyConflict Problem = "key-conflict"
	// ProblemKeyMissing (400): the operation needs a key. Nothing happened.
	// Send the request with one.
	ProblemKeyMissing Problem = "key-missing"
	// ProblemKeyInvalid (400): the key has the wrong form. Nothing happened.
	// Send the request with 1 to 255 visible ASCII characters in one line.
	ProblemKeyInvalid Problem = "key-invalid"
	// ProblemScopeMissing (400): the request does not say who sends it.
	// Nothing happened. Send the request with credentials.
	ProblemScopeMissing Problem = "scope-missing"
	// ProblemBodyTooLarge (413): the request body is over the limit. Nothing
	// happened. Send less.
	ProblemBodyTooLarge Problem = "body-too-large"
	// ProblemBodyIncomplete (400): the connection gave less than the whole
	// body. Nothing happened. Send the same request with the same key again.
	ProblemBodyIncomplete Problem = "body-incomplete"
	// ProblemStoreUnavailable (503): the service cannot say whether the key was
	// used before, so it does not run; or it cannot say whether the request, which
	// ran in a transaction, was committed; or the key of encrypted answers is not at
	// hand. Send the same request with the same key again after Retry-After.
	ProblemStoreUnavailable Problem = "store-unavailable"
	// ProblemResponseNotKept (410): the operation was done, and its answer was
	// too large or was streamed. Never take a new key. Read the result where
	// the service keeps it.
	ProblemResponseNotKept Problem = "response-not-kept"
	// ProblemUpstreamUnreachable (502): the request was not passed on. Nothing
	// happened. Send the same request with the same key again.
	ProblemUpstreamUnreachable Problem = "upstream-unreachable"
	// ProblemReplayRefused (403): the operation was done, and this caller may no
	// longer see its answer. Never take a new key. Ask for the permission.
	ProblemReplayRefused Problem = "replay-refused"
	// ProblemRecordDamaged (500): the operation was done, and its kept answer
	// cannot be read. Never take a new key. Ask the service.
	ProblemRecordDamaged Problem = "record-damaged"
	// ProblemNotCommitted (500): the request ran in a transaction that was not
	// committed. Nothing happened. It may be a mistake in the service; sending the
	// same request with the same key again does no harm, and no good when retryable is
	// false: the service is not set up for the request then.
	ProblemNotCommitted Problem = "not-committed"
	// ProblemRequestTooOld (412): the request was first sent so long ago that it may be
	// forgotten; it may have happened. Never take a new key. Ask for the state of the
	// operation. Only where requests say when they were sent first, see [OASISRepeatable].
	ProblemRequestTooOld Problem = "request-too-old"
)

// problemType is the page that describes each problem under its name
// (RFC 9457 section 3.1.1: resolving the type should help a person).
const problemType = "https://github.com/semel-go/semel/blob/main/docs/problems.md#"

type problemRow struct {
	problem             Problem
	status              int
	code                string
	retryable, reuseKey bool
	title, detail       string
}

// problems is the one table that says what a refusal looks like on the wire. A
// row where the operation happened, or may have, has reuseKey.
var problems = []problemRow{
	{
		ProblemInFlight, http.StatusConflict, "in_flight", true, true,
		"A request with this idempotency key is in flight",
		"An earlier request with this key is still running. Retry with the same key.",
	},
	{
		ProblemOutcomeUnknown, http.StatusConflict, "outcome_unknown", false, true,
		"The outcome of the request is not known",
		"A request with this key ended without an answer and may have taken effect. Do not retry with a new key.",
	},
	{
		ProblemKeyConflict, http.StatusUnprocessableEntity, "idempotency_key_conflict", false, false,
		"The idempotency key was used with another request",
		"This key was sent before with a different method, path, query, media type or body.",
	},
	{
		ProblemKeyMissing, http.StatusBadRequest, "key_missing", false, false,
		"The idempotency key is missing",
		"This operation requires an idempotency key.",
	},
	{
		ProblemKeyInvalid, http.StatusBadRequest, "key_invalid", false, false,
		"The idempotency key is not valid",
		"A key is 1 to 255 visible ASCII characters in one header line, bare or as a quoted string.",
	},
	{
		ProblemScopeMissing, http.StatusBadRequest, "scope_missing", false, false,
		"The caller is not known",
		"An idempotency key counts for one caller only, and this request does not say who that is.",
	},
	{
		ProblemBodyTooLarge, http.StatusRequestEntityTooLarge, "body_too_large", false, false,
		"The request body is too large",
		"The body of a request with an idempotency key is read whole and is limited.",
	},
	{
		ProblemBodyIncomplete, http.StatusBadRequest, "body_incomplete", true, true,
		"The request body is incomplete",
		"The body ended early. Nothing was done. Retry with the same key.",
	},
	{
		ProblemStoreUnavailable, http.StatusServiceUnavailable, "store_unavailable", true, true,
		"Idempotency keys cannot be checked",
		"Nothing was done, because it is not known whether this key was used before. Retry with the same key.",
	},
	{
		ProblemResponseNotKept, http.StatusGone, "response_not_kept", false, true,
		"The response was not kept",
		"The operation was done, but its response cannot be repeated. Do not retry with a new key.",
	},
	{
		ProblemUpstreamUnreachable, http.StatusBadGateway, "upstream_unreachable", true, true,
		"The upstream service cannot be reached",
		"The request was not passed on. Retry with the same key.",
	},
	{
		ProblemReplayRefused, http.StatusForbidden, "replay_refused", false, true,
		"The kept response is not for this caller",
		"The operation was done, but this caller may not see its response. Do not retry with a new key.",
	},
	{
		ProblemRecordDamaged, http.StatusInternalServerError, "record_damaged", false, true,
		"The kept response is damaged",
		"The operation was done, but its response cannot be read. Do not retry with a new key.",
	},
	{
		ProblemNotCommitted, http.StatusInternalServerError, "not_committed", true, true,
		"The operation was not committed",
		"Everything was rolled back. Nothing was done. Retry with the same key.",
	},
	{
		ProblemRequestTooOld, http.StatusPreconditionFailed, "request_too_old", false, true,
		"The request was first sent too long ago",
		"It is not known any more whether it was done. It was not done now. Do not retry with a new key.",
	},
}

// Problems returns all problems in the order of their documentation.
func Problems() []Problem {
	all := make([]Problem, len(problems))
	for i, row := range problems {
		all[i] = row.problem
	}
	return all
}

// Details returns what is sent for p. A Problem that this package does not know
// is a plain 500 without a type.
func (p Problem) Details() problem.Details {
	for _, row := range problems {
		if row.problem == p {
			return problem.Details{
				Type: problemType + string(p), Title: row.title, Status: row.status, Detail: row.detail,
				Code: row.code, Retryable: row.retryable, ReuseKey: row.reuseKey,
			}
		}
	}
	return problem.Details{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)}
}
