package semelhttp

import (
	"net/http"

	"github.com/semel-go/semel/problem"
)

// rpcCode is a status code of gRPC, which Connect shares under other names
// (google/rpc/code.proto).
type rpcCode uint8

const (
	rpcOK                 rpcCode = 0
	rpcCancelled          rpcCode = 1
	rpcInvalidArgument    rpcCode = 3
	rpcPermissionDenied   rpcCode = 7
	rpcResourceExhausted  rpcCode = 8
	rpcFailedPrecondition rpcCode = 9
	rpcAborted            rpcCode = 10
	rpcInternal           rpcCode = 13
	rpcUnavailable        rpcCode = 14
	rpcDataLoss           rpcCode = 15
	rpcUnauthenticated    rpcCode = 16
)

// statusClientClosed is what Connect has for a cancelled call. It is no status of HTTP's.
const statusClientClosed = 499

// rpcCodes are Connect's name and HTTP status of each code (https://connectrpc.com/docs/protocol,
// "Error Codes").
var rpcCodes = [...]struct {
	name   string
	status int
}{
	{"", http.StatusOK}, // it has no name in Connect
	{"canceled", statusClientClosed},
	{"unknown", http.StatusInternalServerError},
	{"invalid_argument", http.StatusBadRequest},
	{"deadline_exceeded", http.StatusGatewayTimeout},
	{"not_found", http.StatusNotFound},
	{"already_exists", http.StatusConflict},
	{"permission_denied", http.StatusForbidden},
	{"resource_exhausted", http.StatusTooManyRequests},
	{"failed_precondition", http.StatusBadRequest},
	{"aborted", http.StatusConflict},
	{"out_of_range", http.StatusBadRequest},
	{"unimplemented", http.StatusNotImplemented},
	{"internal", http.StatusInternalServerError},
	{"unavailable", http.StatusServiceUnavailable},
	{"data_loss", http.StatusInternalServerError},
	{"unauthenticated", http.StatusUnauthorized},
}

// rpcOf says which code a refusal has, by its problem's code. Clients retry UNAVAILABLE
// by themselves, so nothing that is final has it, and everything that is not final has
// that or ABORTED ("retry at a higher level"). What stands for a mistake of the client
// is never one of these two.
var rpcOf = map[string]rpcCode{
	"in_flight":                rpcAborted,            // another attempt has the slot: a race, which a retry ends
	"outcome_unknown":          rpcAborted,            // the same, but a retry does not end it: it has no RetryInfo
	"idempotency_key_conflict": rpcFailedPrecondition, // no retry before the client has changed something
	"key_missing":              rpcInvalidArgument,
	"key_invalid":              rpcInvalidArgument,
	"scope_missing":            rpcUnauthenticated,   // the remedy is credentials
	"body_too_large":           rpcResourceExhausted, // what gRPC's own servers say of a message over the limit
	"body_incomplete":          rpcAborted,           // nothing happened, and a retry may
	"store_unavailable":        rpcUnavailable,
	"response_not_kept":        rpcFailedPrecondition, // ALREADY_EXISTS and NOT_FOUND would tell of the operation, which may have failed
	"request_too_old":          rpcFailedPrecondition, // a new key would run it a second time, if it ran
	"upstream_unreachable":     rpcUnavailable,
	"replay_refused":           rpcPermissionDenied,
	"record_damaged":           rpcDataLoss,
	"not_committed":            rpcAborted, // what transactions say
}

func rpcCodeOf(d problem.Details) rpcCode {
	if code, ok := rpcOf[d.Code]; ok {
		return code
	}
	return rpcInternal
}

// meaning is the HTTP status that settles an answer of code as one of plain HTTP that says
// the same. CANCELLED says as little about what happened as a time-out. UNAVAILABLE and
// RESOURCE_EXHAUSTED do so too, although Connect has 503 and 429 for them: a handler passes its
// provider's error on as it is, and a client of gRPC makes them of a connection that broke, and of
// an answer that is too large, after the provider has acted.
func (c rpcCode) meaning() int {
	switch {
	case c == rpcCancelled:
		return http.StatusGatewayTimeout
	case c == rpcUnavailable, c == rpcResourceExhausted:
		return http.StatusBadGateway
	case int(c) < len(rpcCodes):
		return rpcCodes[c].status
	}
	return http.StatusInternalServerError // UNKNOWN is what clients take it for
}
