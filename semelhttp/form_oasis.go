package semelhttp

import (
	"fmt"
	"net/http"
	"time"

	"github.com/semel-go/semel/problem"
)

// The fields of OASIS Repeatable Requests 1.0, in canonical form.
const (
	headerFirstSent = "Repeatability-First-Sent"
	headerResult    = "Repeatability-Result"
)

// renderOASIS writes problem details, since the standard has no body, and says "rejected"
// only where that is true: nothing has happened under this ID, and nothing will. Of an
// operation that happened or may have it says "accepted", and of one that should be sent
// again nothing.
func renderOASIS(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	if ProblemKeyConflict.is(p) {
		p.Status = http.StatusBadRequest
	}
	switch {
	case !p.ReuseKey, ProblemRequestTooOld.is(p): // as the standard wants it
		w.Header().Set(headerResult, "rejected")
	case !p.Retryable:
		w.Header().Set(headerResult, "accepted")
	}
	renderProblem(w, nil, p)
}

// maxSkew is how wrong the clock of a client may be, and how far those of two servers may
// be apart, where First-Sent is needed. A short retention has less.
const maxSkew = 5 * time.Minute

// checkFirstSent returns what a request is refused with that comes too late, or does not
// say when it was sent first; "" for one that may go on.
//
// It is what keeps a retry from running again after its record is gone: a request whose
// time is not ahead of the server's by more than the skew is remembered from then on for
// the retention, so one whose time is older than the retention less twice the skew, once
// for the client's clock and once for another server's, may be forgotten already.
func (m *Middleware) checkFirstSent(r *http.Request) (Problem, error) {
	if !m.preset.firstSent.is {
		return "", nil
	}
	sent, err := parseFirstSent(r.Header[headerFirstSent])
	if err != nil {
		return ProblemKeyInvalid, err
	}
	skew := min(maxSkew, m.cfg.Retention/8)
	switch age := time.Since(sent); {
	case age < -skew:
		return ProblemKeyInvalid, &KeyError{"has a Repeatability-First-Sent that is in the future"}
	case age > m.cfg.Retention-2*skew:
		return ProblemRequestTooOld, fmt.Errorf("the request was first sent %v ago", age.Round(time.Second))
	}
	return "", nil
}

// parseFirstSent reads the lines of Repeatability-First-Sent: one IMF-fixdate (RFC 9110
// section 5.6.7), and nothing that only looks like one.
func parseFirstSent(lines []string) (time.Time, error) {
	switch len(lines) {
	case 0:
		return time.Time{}, &KeyError{"needs the field Repeatability-First-Sent beside it"}
	case 1:
	default:
		return time.Time{}, &KeyError{"has more than one Repeatability-First-Sent"}
	}
	sent, err := time.Parse(http.TimeFormat, lines[0])
	if err != nil || sent.Format(http.TimeFormat) != lines[0] {
		return time.Time{}, &KeyError{"has a Repeatability-First-Sent that is not a date such as Sun, 06 Nov 1994 08:49:37 GMT"}
	}
	return sent, nil
}

// refuseFirstSent refuses a request by its First-Sent and reports whether it did.
func (m *Middleware) refuseFirstSent(w http.ResponseWriter, r *http.Request) bool {
	p, err := m.checkFirstSent(r)
	switch {
	case p == ProblemKeyInvalid:
		m.refuseKey(w, r, err)
	case p != "":
		m.refuse(w, r, p, nil)
	}
	return p != ""
}

// mayLackKey reports whether a request without a key passes unguarded. One with half of
// the fields that belong together was meant to be guarded.
func (m *Middleware) mayLackKey(r *http.Request) bool {
	return m.cfg.Optional && !(m.preset.firstSent.is && r.Header[headerFirstSent] != nil)
}
