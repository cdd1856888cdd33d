package semelhttp

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/semel-go/semel/problem"
)

// renderProblem writes a refusal as problem details (RFC 9457).
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

// writeForm writes a refusal in the JSON of another API. Nobody may store it.
func writeForm(w http.ResponseWriter, status int, form any) {
	body, err := json.Marshal(form)
	if err != nil { // texts and numbers
		status, body = http.StatusInternalServerError, nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}

// message is the sentence of a refusal for people.
func message(p problem.Details) string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// refOf names the record of a refusal to those who run the service; "" when there is none.
func refOf(p problem.Details) string {
	ref, _ := p.Extra["ref"].(string)
	return ref
}

// is reports whether d is a problem of Semel by its code.
func (p Problem) is(d problem.Details) bool { return d.Code == p.Details().Code }
