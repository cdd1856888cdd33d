package proxy

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
)

// Fields between the sidecar and the upstream. Every field whose name begins
// with "Semel-" is the sidecar's: a client's are not passed on.
const (
	// HeaderAttempt counts the attempts of the slot, this one included.
	HeaderAttempt = "Semel-Attempt"
	// HeaderFence orders the attempts of the slot: write it beside your effect
	// and refuse a smaller one, see [semel.Claim.Fence].
	HeaderFence = "Semel-Fence"
	// HeaderDerivedKey names the operation in every attempt, and when a lapsed
	// one is asked about: keep it beside the effect, and find that by it. It is
	// [semel.Claim.DerivedKey] of the step "upstream".
	HeaderDerivedKey = "Semel-Derived-Key"
	// HeaderSettle is what the upstream may answer, as a header or a trailer
	// field: "keep" the answer as the outcome, "release" the key because
	// nothing happened, or "hold" it because the outcome is not known. It
	// overrules the preset. Anything else is logged and holds.
	HeaderSettle = "Semel-Settle"
	// HeaderStatus is what the service may answer beside "keep" when it is asked
	// about a lapsed attempt: the status that the operation had.
	HeaderStatus = "Semel-Status"
	// HeaderVia names the sidecars that a request has passed. One that finds
	// itself there is its own upstream and refuses. Of the fields of Semel it
	// is the only one that passes. It is not the standard Via, for which some
	// servers switch their compression off.
	HeaderVia = "Semel-Via"
)

// DerivedStep is the step of the keys in [HeaderDerivedKey]. It never changes: services
// have the keys that follow from it on record.
const DerivedStep = "upstream"

// takeSettle removes Semel's own fields from an answer and returns the lines of
// HeaderSettle. Idempotent-Replayed stays: an upstream that says so tells the
// truth about its own answer.
func takeSettle(h http.Header) []string {
	wish := h[HeaderSettle]
	for name := range h {
		if ours(name) {
			delete(h, name)
		}
	}
	return wish
}

// settleBy tells the claim what the upstream wishes.
func (x *exchange) settleBy(ctx context.Context, wish []string) {
	if len(wish) == 0 {
		return
	}
	how, ok := parseSettle(wish)
	if !ok {
		x.log(ctx, "the upstream's Semel-Settle is not keep, release or hold; the key is held", nil)
		x.claim.Doubt("the upstream's Semel-Settle is malformed")
	}
	if how == semel.Unknown {
		x.claim.Doubt("the upstream said hold")
	}
	x.claim.Settle(how)
}

// parseSettle reads lines that must all say the same.
func parseSettle(lines []string) (semel.Disposition, bool) {
	for _, line := range lines[1:] {
		if !strings.EqualFold(strings.TrimSpace(line), strings.TrimSpace(lines[0])) {
			return semel.Unknown, false
		}
	}
	for _, d := range []semel.Disposition{semel.Unknown, semel.Keep, semel.Free} {
		if strings.EqualFold(strings.TrimSpace(lines[0]), d.String()) {
			return d, true
		}
	}
	return semel.Unknown, false
}

// settleGRPC settles a failed gRPC call as the HTTP status of the same meaning:
// on the wire every gRPC answer is 200, and its status comes at the end.
func (x *exchange) settleGRPC(res *http.Response) {
	if _, told := x.claim.Settlement(); told || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc") {
		return
	}
	text := res.Trailer.Get("Grpc-Status")
	if text == "" { // an answer without a message has it in front
		text = res.Header.Get("Grpc-Status")
	}
	code, err := strconv.Atoi(text)
	switch {
	case err != nil || text == "":
		x.claim.Doubt("the gRPC call has no status")
		x.claim.Settle(semel.Unknown) // the call did not end
	case code != 0:
		how := x.settle(httpStatus(code), res.Header)
		if how == semel.Unknown {
			x.claim.Doubt("gRPC status " + strconv.Itoa(code) + " by the settle table")
		}
		x.claim.Settle(how)
	}
}

// httpStatus follows google/rpc/code.proto, except for CANCELLED, which says
// nothing about what happened.
func httpStatus(grpc int) int {
	switch grpc {
	case 1, 4: // CANCELLED, DEADLINE_EXCEEDED
		return http.StatusGatewayTimeout
	case 3, 9, 11: // INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE
		return http.StatusBadRequest
	case 5: // NOT_FOUND
		return http.StatusNotFound
	case 6, 10: // ALREADY_EXISTS, ABORTED
		return http.StatusConflict
	case 7: // PERMISSION_DENIED
		return http.StatusForbidden
	case 8: // RESOURCE_EXHAUSTED
		return http.StatusTooManyRequests
	case 12: // UNIMPLEMENTED
		return http.StatusNotImplemented
	case 14: // UNAVAILABLE
		return http.StatusServiceUnavailable
	case 16: // UNAUTHENTICATED
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}
