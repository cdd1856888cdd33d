package proxy

import (
	"context"
	"net/http"
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
