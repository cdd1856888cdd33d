package semelcrash

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/semel-go/semel/problem"
)

// Answer is what a client got: a whole response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// String returns the status line, and the code of a problem.
func (a Answer) String() string {
	text := fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
	if code := a.code(); code != "" {
		text += " (" + code + ")"
	}
	return text
}

// equal reports whether a client cannot tell one from the other.
func (a Answer) equal(b Answer) bool { return a.Status == b.Status && bytes.Equal(a.Body, b.Body) }

// code is the code of problem details (RFC 9457), or of an error in the form of a preset
// of semelhttp: Stripe's, Adyen's, PayPal's or Open Banking UK's.
func (a Answer) code() string {
	if p, err := problem.Parse(a.Header.Get("Content-Type"), a.Body); err == nil {
		return p.Code
	}
	var form struct {
		Error     struct{ Code string }
		ErrorCode string                   // Adyen
		Details   []struct{ Issue string } // PayPal, in capitals
		Code      string                   // Open Banking UK, beside Errors
		Errors    []struct{ ErrorCode string }
	}
	switch {
	case a.Status < 400 || json.Unmarshal(a.Body, &form) != nil:
		return ""
	case len(form.Details) > 0:
		return strings.ToLower(form.Details[0].Issue)
	case len(form.Errors) > 0:
		return form.Code
	}
	return cmp.Or(form.Error.Code, form.ErrorCode)
}

// Told is what an answer tells a client.
type Told uint8

// What a client may be told.
const (
	// Again: nothing is final; ask again with the same key.
	Again Told = iota
	// Done: the request was done, and this is its answer.
	Done
	// Unknown: nobody knows whether it was done; it is refused until somebody does.
	Unknown
	// Failed: it was refused, or it failed, for good.
	Failed
)

// String returns "again", "done", "unknown" or "failed".
func (t Told) String() string {
	switch t {
	case Again:
		return "again"
	case Done:
		return "done"
	case Unknown:
		return "unknown"
	case Failed:
		return "failed"
	}
	return "invalid"
}

// Judge reads an answer of semelhttp, with any preset, and of most other
// services. Done is any status below 400, and a 410 that says that only the answer
// was not kept. Unknown is a 409 with the code outcome_unknown. Again is what says
// so itself (Stripe-Should-Retry, transient-error, retryable in a problem), what has a Retry-After,
// and 425, 429, 502, 503 and 504. Everything else is Failed.
func Judge(a Answer) Told {
	code := a.code()
	switch {
	case a.Status < 400, a.Status == http.StatusGone && code == codeNotKept:
		return Done
	case a.Status == http.StatusConflict && code == "outcome_unknown":
		return Unknown
	case a.Header.Get("Retry-After") != "", a.Header.Get("Stripe-Should-Retry") == "true", a.Header.Get("Transient-Error") == "true":
		return Again
	}
	if p, err := problem.Parse(a.Header.Get("Content-Type"), a.Body); err == nil && p.Retryable {
		return Again
	}
	switch a.Status {
	case http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Again
	}
	return Failed
}

// codeNotKept is told instead of an answer that was too large to keep.
const codeNotKept = "response_not_kept"
