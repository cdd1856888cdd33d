package semelhttp

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// Response fields that Semel sets.
const (
	// HeaderReplayed is "true" on a replay, and absent otherwise. Presets of APIs that
	// mark no replay, or in another way, do not set it.
	HeaderReplayed = "Idempotent-Replayed"
	// HeaderStored is "false" on a true answer that is not stored yet, and
	// absent otherwise. A retry may be refused until it is.
	HeaderStored = "Semel-Stored"
)

// retrySeconds is how long a client should wait, in seconds.
const retrySeconds = 1

var retryAfter = strconv.Itoa(retrySeconds)

// Refuse answers with a problem of Semel in the form of the preset. A status of
// 0 is the problem's own. It is for handlers that stand for another service,
// such as a proxy. With a claim in the context of r it names the claim's record
// in the member ref, see [semel.Engine.Ref].
//
// No refusal of Semel is an outcome. Unless the handler has said otherwise with
// [semel.Claim.Settle], one that says that nothing happened frees the key, and
// any other holds it.
func (m *Middleware) Refuse(w http.ResponseWriter, r *http.Request, p Problem, status int) {
	d := p.Details()
	if status != 0 {
		d.Status = status
	}
	if claim := semel.FromContext(r.Context()); claim != nil {
		d.Extra = m.reference(claim.Key())
	}
	m.render(w, r, d)
}

// refuse answers with a problem; extra are its further members.
func (m *Middleware) refuse(w http.ResponseWriter, r *http.Request, p Problem, extra map[string]any) {
	d := p.Details()
	d.Extra = extra
	m.render(w, r, d)
}

// render writes every refusal.
func (m *Middleware) render(w http.ResponseWriter, r *http.Request, d problem.Details) {
	if c := recorderOf(w); c != nil { // a handler's, or a middleware's in another
		c.refused(d)
	}
	if d.Code == ProblemOutcomeUnknown.Details().Code && m.findsOut() { // after refused, which holds the key
		d.Retryable = true
		d.Detail = "A request with this key ended without an answer and may have taken effect. It is being found out. Retry with the same key."
	}
	m.preset.unmark(w.Header())
	if m.cfg.OnRefuse != nil {
		m.cfg.OnRefuse(r, d)
	}
	switch d.Code {
	case ProblemInFlight.Details().Code, ProblemStoreUnavailable.Details().Code:
		w.Header().Set("Retry-After", retryAfter)
	case ProblemOutcomeUnknown.Details().Code:
		if d.Retryable {
			w.Header().Set("Retry-After", retryAfter)
		}
	}
	m.cfg.Render(w, r, d)
}

// findsOut reports whether a retry may find out what an attempt did whose outcome is not
// known, without an operator.
func (m *Middleware) findsOut() bool { return cmp.Or(m.cfg.Lapsed, m.engine.Lapsed()) != semel.Hold }

// sentence returns the text of an error with a capital and a full stop.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// refused notes that what is being written is a refusal.
func (c *recorder) refused(d problem.Details) {
	if _, told := c.claim.Settlement(); told {
		return
	}
	how := semel.Free
	if d.ReuseKey && !d.Retryable { // it happened, or may have
		how = semel.Unknown
		c.claim.Doubt("refused as " + d.Code)
	}
	c.claim.Settle(how)
}

// reference names the slot of a stored key to support without telling it.
func (m *Middleware) reference(key semel.Key) map[string]any {
	return map[string]any{"ref": m.engine.Ref(key)}
}

// referenceOf is reference for a key of the client's.
func (m *Middleware) referenceOf(key semel.Key) map[string]any {
	return m.reference(m.engine.StoredKey(key))
}

// refuseKeyless answers a request without a key, and names the field in which it is looked
// for: a client that sends it in another one sees that.
func (m *Middleware) refuseKeyless(w http.ResponseWriter, r *http.Request) {
	d := ProblemKeyMissing.Details()
	d.Detail = "This operation requires an idempotency key in the field " + m.cfg.Headers[0] + "."
	m.render(w, r, d)
}

// refuseKey answers a key that is none with a sentence that is written for the client.
func (m *Middleware) refuseKey(w http.ResponseWriter, r *http.Request, err error) {
	d := ProblemKeyInvalid.Details()
	d.Detail = sentence(err)
	m.render(w, r, d)
}

// refuseBody leaves it to net/http whether the connection can go on: it knows
// how much is still to come. The key has no ID when the body was to tell it.
func (m *Middleware) refuseBody(w http.ResponseWriter, r *http.Request, key semel.Key, err error) {
	extra := map[string]any{}
	if key.Validate() == nil {
		extra = m.referenceOf(key)
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		extra["max_bytes"] = large.Limit
		m.refuse(w, r, ProblemBodyTooLarge, extra)
		return
	}
	m.cfg.Logger.DebugContext(r.Context(), "a request body is incomplete", "err", err)
	m.refuse(w, r, ProblemBodyIncomplete, extra)
}

// refuseHeld answers when the slot is another's.
func (m *Middleware) refuseHeld(w http.ResponseWriter, r *http.Request, key semel.Key, out semel.Outcome) {
	m.refuse(w, r, problemOfHeld(out), m.referenceOf(key))
}

// problemOfHeld is what a slot refuses that is neither reserved nor replayed; "" for one
// that is.
func problemOfHeld(out semel.Outcome) Problem {
	switch {
	case out.Kind == semel.Conflict:
		return ProblemKeyConflict
	case out.Kind == semel.InFlight && out.Lapsed:
		return ProblemOutcomeUnknown
	case out.Kind == semel.InFlight:
		return ProblemInFlight
	}
	return ""
}

// problemOf is what a failed Begin is answered with.
func problemOf(err error) Problem {
	switch {
	case errors.Is(err, semel.ErrInvalidKey):
		return ProblemScopeMissing
	case errors.Is(err, semel.ErrDamaged):
		return ProblemRecordDamaged
	}
	return ProblemStoreUnavailable
}

// refuseFailure answers when nothing is known about the slot: fail closed. The key is
// the client's.
func (m *Middleware) refuseFailure(w http.ResponseWriter, r *http.Request, key semel.Key, err error) {
	p := problemOf(err)
	extra := m.referenceOf(key)
	switch {
	case p == ProblemScopeMissing:
		m.log(r.Context(), "the scope is not usable", err)
		extra = nil // there is no such slot
	case p == ProblemRecordDamaged:
		m.refuseDamaged(w, r, m.engine.StoredKey(key), err)
		return
	case errors.Is(err, semel.ErrKeyUnavailable):
		m.logRefused(r, m.engine.StoredKey(key), "a request is refused because the key of the kept responses is not available", err)
		d := p.Details()
		d.Detail = "The keys of kept responses are not available. Retry with the same key."
		d.Extra = extra
		m.render(w, r, d)
		return
	case !errors.Is(err, context.Cause(r.Context())): // the caller has not just left
		m.logRefused(r, m.engine.StoredKey(key), "a request is refused because the store failed", err)
	}
	m.refuse(w, r, p, extra)
}

// refuseDamaged answers when a kept response is not what was kept. Nothing runs again.
func (m *Middleware) refuseDamaged(w http.ResponseWriter, r *http.Request, stored semel.Key, err error) {
	m.cfg.Logger.ErrorContext(r.Context(), "a kept response is damaged", "ref", m.engine.Ref(stored), "err", err)
	m.refuse(w, r, ProblemRecordDamaged, m.reference(stored))
}

func (m *Middleware) log(ctx context.Context, msg string, err error) {
	m.cfg.Logger.ErrorContext(ctx, msg, "err", err) //nolint:sloglint // the callers' messages are constants
}

// logRefused tells which record and which route it is about, and more.
func (m *Middleware) logRefused(r *http.Request, stored semel.Key, msg string, err error, more ...any) {
	args := append([]any{"ref", m.engine.Ref(stored), "route", m.route(r), "err", err}, more...)
	m.cfg.Logger.ErrorContext(r.Context(), msg, args...) //nolint:sloglint // the callers' messages are constants
}

// replay answers from the kept record, if the route still authorises it.
func (m *Middleware) replay(w http.ResponseWriter, r *http.Request, rec semel.Record) {
	if m.cfg.OnReplay != nil {
		if err := m.cfg.OnReplay(r, rec); err != nil {
			m.cfg.Logger.InfoContext(r.Context(), "a replay is refused", "ref", m.engine.Ref(rec.Key), "err", err)
			m.refuse(w, r, ProblemReplayRefused, m.reference(rec.Key))
			return
		}
	}
	m.sendKept(w, r, rec, true)
}

// sendKept writes a kept response. The header is checked whole before the
// first field is set.
func (m *Middleware) sendKept(w http.ResponseWriter, r *http.Request, rec semel.Record, replayed bool) {
	kept, err := openBlob(rec.Response)
	if err != nil {
		m.refuseDamaged(w, r, rec.Key, err)
		return
	}
	if kept.notKept() {
		extra := m.reference(rec.Key)
		extra["original_status"] = rec.Response.Status
		m.refuse(w, r, ProblemResponseNotKept, extra)
		return
	}
	h := w.Header()
	delete(h, "Content-Type")
	marks := kept.header(h, 2)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // the handler wanted none: keep net/http from guessing
	}
	status := rec.Response.Status
	if replayed {
		mark := m.preset.replayed.is
		marks = append(marks, mark.value, "no-store")
		if mark.name != "" {
			h[mark.name] = marks[:1:1]
		}
		h["Cache-Control"] = marks[1:]
		status = m.preset.replayStatus(status)
	}
	trailer := kept.trailer()
	if len(trailer) > 0 {
		trailer = announce(h, r, h["Trailer"], trailer)
	}
	w.WriteHeader(status)
	if len(rec.Response.Body) > 0 {
		_, _ = w.Write(rec.Response.Body) // a client that is gone cannot be told
	}
	maps.Copy(h, trailer)
}

// answerInstead answers for an attempt that lost its slot: never with its own
// answer, but with the one that was kept, or with the truth that it is unknown.
func (m *Middleware) answerInstead(c *recorder, cause error) {
	ctx := context.WithoutCancel(c.r.Context())
	m.cfg.Logger.ErrorContext(ctx, "an attempt cannot send its answer, as it is not the one that is kept",
		"ref", m.engine.Ref(c.claim.Key()), "fence", c.claim.Fence(), "err", cause)
	c.reset()
	out, err := c.claim.Confirm(ctx)
	if err == nil && out.Kind == semel.Replay {
		m.replay(c.w, c.r, out.Record)
		return
	}
	if errors.Is(err, semel.ErrDamaged) {
		m.refuseDamaged(c.w, c.r, c.claim.Key(), err)
		return
	}
	switch {
	case err != nil:
		m.log(ctx, "the outcome of a lost attempt could not be read", err)
		if c.claim.Deferred() { // a retry will hear of it
			m.refuseCommitUnknown(c.w, c.r, c.claim.Key())
			return
		}
	case out.Kind == semel.Reserved && c.claim.Deferred(): // its transaction was rolled back after all
		c.endUnsent(ctx, c.refuseNotCommitted)
		return
	case out.Kind == semel.InFlight && c.claim.Deferred(): // nothing of this one has happened, whatever another does
		m.refuse(c.w, c.r, ProblemInFlight, m.reference(c.claim.Key()))
		return
	}
	m.refuse(c.w, c.r, ProblemOutcomeUnknown, m.reference(c.claim.Key()))
}

// declaredLength returns the Content-Length that a handler set, or -1.
func declaredLength(h http.Header) int64 {
	lines := h["Content-Length"]
	if len(lines) == 0 {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(lines[0]), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func setLength(h http.Header, n int) { h["Content-Length"] = []string{strconv.Itoa(n)} }
