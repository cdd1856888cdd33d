package cli

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/semelhttp"
)

// recordView is a record as --output json and jsonl print it. Names and
// meanings are stable; names may be added.
type recordView struct {
	// Slot names the record: 64 hexadecimal digits.
	Slot string `json:"slot"`
	// Ref is the reference in answers and in the log.
	Ref string `json:"ref"`
	// State is "free", "reserved" or "completed".
	State string `json:"state"`
	// Lapsed: reserved, and the lease is over.
	Lapsed bool `json:"lapsed"`
	// Deferred: the attempt has promised that it had no effect yet.
	Deferred bool `json:"deferred"`
	// NeedsDecision: lapsed, and nobody but an operator or a recovery ends it.
	NeedsDecision bool `json:"needs_decision"`
	// Status is that of the kept response; 0 without one.
	Status int `json:"status"`
	// Attempts counts the reservations, Lapses those of unknown outcome that
	// were taken over.
	Attempts int `json:"attempts"`
	Lapses   int `json:"lapses"`
	// Fence grows with every reservation of the slot.
	Fence int64 `json:"fence"`
	// Token is that of the attempt that holds or completed the slot.
	Token string `json:"token"`
	// Owner is the process of that attempt, Route the kind of its request.
	Owner string `json:"owner"`
	Route string `json:"route"`
	Scope string `json:"scope"`
	// Key is there with --reveal only.
	Key string `json:"key,omitempty"`
	// DerivedKey is what a service behind a sidecar got as Semel-Derived-Key. It is there
	// with --reveal only, and with the sidecar's secret_file: without one it may be another.
	DerivedKey string `json:"derived_key,omitempty"`
	// Fingerprint is that of the request: 64 hexadecimal digits.
	Fingerprint string `json:"fingerprint"`
	// CreatedAt and ExpiresAt are RFC 3339 in UTC. A reservation is kept beyond
	// ExpiresAt, until it is settled or resolved.
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Reason is what an operator gave who resolved the slot; "" when nobody did.
	Reason string `json:"reason"`
	// Response is there in semel records show --reveal, for completed records.
	Response *responseView `json:"response,omitempty"`
}

// responseView is a kept response.
type responseView struct {
	Status int `json:"status"`
	// NotKept: the answer was too large or streamed; only its status is known.
	NotKept bool        `json:"not_kept"`
	Header  http.Header `json:"header"`
	Trailer http.Header `json:"trailer,omitempty"`
	// BodyBytes is the length of the body.
	BodyBytes int `json:"body_bytes"`
	// Body is the body in BodyEncoding: "utf-8" as it is, or "base64".
	Body         string `json:"body"`
	BodyEncoding string `json:"body_encoding"`
}

func (o *operator) view(rec semel.Record, reveal bool) recordView {
	v := recordView{
		Slot: rec.Key.Slot().String(), Ref: o.engine.Ref(rec.Key),
		State: rec.State.String(), Lapsed: rec.Lapsed, Deferred: rec.Deferred, NeedsDecision: o.NeedsDecision(rec),
		Status:   rec.Response.Status,
		Attempts: rec.Attempts, Lapses: rec.Lapses, Fence: rec.Fence, Token: rec.Token.String(),
		Owner: rec.Owner, Route: rec.Route, Scope: rec.Key.Scope, Fingerprint: rec.Fingerprint.String(),
		CreatedAt: rec.CreatedAt.UTC(), ExpiresAt: rec.ExpiresAt.UTC(), Reason: rec.Reason,
	}
	if reveal {
		v.Key = rec.Key.ID
		if o.cfg.SecretFile != "" {
			v.DerivedKey = o.engine.DerivedKey(rec.Key, proxy.DerivedStep)
		}
	}
	return v
}

func viewResponse(k semelhttp.Kept) *responseView {
	v := &responseView{
		Status: k.Status, NotKept: k.NotKept, Header: k.Header, Trailer: k.Trailer,
		BodyBytes: len(k.Body), Body: string(k.Body), BodyEncoding: "utf-8",
	}
	if !utf8.Valid(k.Body) {
		v.Body, v.BodyEncoding = base64.StdEncoding.EncodeToString(k.Body), "base64"
	}
	return v
}

// stateOf returns the state for people: what needs a decision stands out.
func (o *operator) stateOf(rec semel.Record) string {
	switch {
	case o.NeedsDecision(rec):
		return "LAPSED"
	case rec.Lapsed:
		return "lapsed"
	}
	return rec.State.String()
}

// span prints a length of time with its two largest units; a negative one is 0s.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", max(d, 0)/time.Second)
}

// never says that time alone does not remove a reservation, which is kept until
// it is settled or resolved (I9).
const never = "never"

// expiry prints when rec is over.
func expiry(rec semel.Record, now time.Time) string {
	if rec.State == semel.StateReserved {
		return never
	}
	return untilOrAgo(rec.ExpiresAt, now)
}

// untilOrAgo prints how far t is from now.
func untilOrAgo(t, now time.Time) string {
	if t.After(now) {
		return "in " + span(t.Sub(now))
	}
	return span(now.Sub(t)) + " ago"
}
