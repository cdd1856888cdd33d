package semelhttp

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Attempts tells how a call of [Transport.RoundTrip] went.
type Attempts struct {
	// Count is how many times the request was sent, at least 1.
	Count int
	// Replayed is true when the response is the kept answer of an earlier try.
	// With Count 1 that try belonged to an earlier call, or http.Transport
	// resent the request by itself; so a replay alone is no sign of misuse.
	Replayed bool
	// Key is the key that was sent, unquoted if this Transport quoted it. It is
	// as sensitive as a credential and is not printed.
	Key string `json:"-"`
}

// String returns a text such as "2 attempts, replayed".
func (a Attempts) String() string {
	text := strconv.Itoa(a.Count) + " attempts"
	if a.Replayed {
		text += ", replayed"
	}
	return text
}

// Format implements [fmt.Formatter], so that no verb prints the key.
func (a Attempts) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, a.String()) }

type attemptsContext struct{}

// AttemptsFrom returns what is known about resp, which a [Transport] returned.
// It reads the context of resp.Request, so it works on what [http.Client.Do]
// returns. It returns false when the request had no key.
func AttemptsFrom(resp *http.Response) (Attempts, bool) {
	if resp == nil || resp.Request == nil {
		return Attempts{}, false
	}
	a, ok := resp.Request.Context().Value(attemptsContext{}).(*Attempts)
	if !ok {
		return Attempts{}, false
	}
	return *a, true
}
