package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/semel-go/semel"
)

// Kind says which step of a store was called.
type Kind uint8

// The steps. Look is a List of one key.
const (
	Reserve Kind = iota
	Complete
	Release
	Renew
	Resolve
	Look
)

// String returns the name of the step.
func (k Kind) String() string {
	return [...]string{"reserve", "complete", "release", "renew", "resolve", "look"}[k]
}

// Digest stands for a response: two are equal only if every byte is.
type Digest string

// DigestOf returns the digest of r.
func DigestOf(r semel.Response) Digest {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d/%d/%d/", r.Status, len(r.Header), len(r.Body))
	_, _ = h.Write(r.Header)
	_, _ = h.Write(r.Body)
	return Digest(hex.EncodeToString(h.Sum(nil)[:8]))
}

// Call is what was asked of one slot.
type Call struct {
	Kind Kind
	Key  semel.Key
	At   int64 // nanoseconds since the history began, before the store was called
	// Slack and Grace as in [Load].
	Slack, Grace time.Duration
	Token        semel.Token
	Print        semel.Fingerprint
	TakeOver     bool
	// Lease, Margin and Retention as in [semel.Reservation].
	Lease, Margin, Retention time.Duration
	// Fence is what an operator looked at; Free that he says nothing happened.
	Fence int64
	Free  bool
	// Response is what a Complete or a Resolve wants to be kept.
	Response Digest
	lost     int // numbers the lost steps of a key
}

// String tells the call in one line, for the picture of a history.
func (c Call) String() string {
	s := fmt.Sprintf("%v %.8s", c.Kind, c.Token)
	switch c.Kind {
	case Reserve:
		s += fmt.Sprintf(" request %x lease %v margin %v", c.Print[:2], c.Lease, c.Margin)
		if c.TakeOver {
			s += " taking over"
		}
	case Renew:
		s += fmt.Sprintf(" lease %v", c.Lease)
	case Resolve:
		s = fmt.Sprintf("resolve fence %d free %t response %.8s", c.Fence, c.Free, c.Response)
	case Complete:
		s += fmt.Sprintf(" response %.8s", c.Response)
	case Release, Look:
	}
	return s
}

// Answer is what came back.
type Answer struct {
	At int64 // nanoseconds since the history began, after the store had answered
	// Unknown: the answer was lost. The step happened at any time after the
	// call, the future included, or never.
	Unknown bool
	// Refusal is nil, [semel.ErrLost] or [semel.ErrInFlight].
	Refusal error
	// Held is what a Reserve or a Look saw, without the response's bytes.
	Held semel.Record
	// None: a Look saw nothing.
	None     bool
	Response Digest
	// again is how often the driver may have sent the step besides; each is a lost
	// step beside this one.
	again int
}

// mine reports whether the record is the reservation that c asked for.
func (a Answer) mine(c Call) bool {
	return !a.None && a.Held.State == semel.StateReserved && a.Held.Token == c.Token
}

// String tells the answer in one line, for the picture of a history.
func (a Answer) String() string {
	switch {
	case a.Unknown:
		return "lost"
	case a.Refusal != nil:
		return a.Refusal.Error()
	case a.None:
		return "nothing"
	case a.Held.Fence == 0:
		return "done"
	}
	r := a.Held
	s := fmt.Sprintf("%v by %.8s, request %x, fence %d, attempts %d, lapses %d", r.State, r.Token, r.Fingerprint[:2], r.Fence, r.Attempts, r.Lapses)
	if r.Lapsed {
		s += ", lapsed"
	}
	if a.Response != "" {
		s += fmt.Sprintf(", response %.8s", a.Response)
	}
	return s
}

// History records what workers called and heard. It is safe for concurrent use.
type History struct {
	begun time.Time
	wall  time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
	// took is how long the history is, set by how much the machine's clock was set
	// meanwhile.
	took, set time.Duration
}

// NewHistory begins one now.
func NewHistory() *History {
	now := time.Now()
	return &History{begun: now, wall: now.Round(0)}
}

// now is the clock of the history: monotonic nanoseconds since it began.
func (h *History) now() int64 { return int64(time.Since(h.begun)) }

// Add records one finished step of worker.
func (h *History) Add(worker int, c Call, a Answer) {
	op := porcupine.Operation{ClientId: worker, Input: c, Call: c.At, Output: a, Return: a.At}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// End ends the history.
func (h *History) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took = time.Duration(h.now())
	h.set = time.Since(h.wall) - h.took
}

// parts returns an ended history as one for each key.
func (h *History) parts() ([][]porcupine.Operation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set.Abs() > time.Millisecond+h.took/2000 { // clocks are slewed by up to one in 2000
		return nil, fmt.Errorf("the machine's clock was set by %v during the run: run it again", h.set)
	}
	parts := bySlot(h.ops)
	for _, ops := range parts {
		lost := 0
		for i, op := range ops {
			if c := as[Call](op.Input); as[Answer](op.Output).Unknown {
				c.lost = lost
				ops[i].Input, ops[i].Return = c, op.Call
				lost++
			}
		}
		if lost > maxLost {
			return nil, fmt.Errorf("one key has %d lost answers, more than %d", lost, maxLost)
		}
	}
	return parts, nil
}
