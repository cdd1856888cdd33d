package semel

import "time"

// State says what a slot holds.
type State uint8

// The states of a slot. A lapsed reservation is not a state of its own: it is
// StateReserved whose lease is over, see [Record.Lapsed].
const (
	// StateFree: nobody holds the slot. A released slot stays behind as a
	// tombstone in this state, so that its fence keeps growing.
	StateFree State = iota
	// StateReserved: one attempt holds the slot.
	StateReserved
	// StateCompleted: the response is kept until ExpiresAt.
	StateCompleted
)

// String returns "free", "reserved" or "completed".
func (s State) String() string {
	switch s {
	case StateFree:
		return "free"
	case StateReserved:
		return "reserved"
	case StateCompleted:
		return "completed"
	}
	return "invalid"
}

// Response is what a completed attempt answered. The bytes are opaque to the
// core and to stores; transports encode and decode them. A nil and an empty
// slice are the same value. Nobody may change the bytes after handing them over.
type Response struct {
	// Status is the transport's status code, so that an operator can read it
	// (for HTTP 100 to 599; 0 when there was none).
	Status int
	// Header is the transport's versioned header blob.
	Header []byte
	// Body is the payload.
	Body []byte
}

// Record is what a slot holds, as the store saw it in one atomic step.
type Record struct {
	// Key is the stored one, see [Engine.StoredKey].
	Key         Key
	State       State
	Fingerprint Fingerprint
	// Token of the attempt that holds the slot, or that completed it.
	Token Token
	// Fence grows strictly with every reservation of the slot, across release
	// and purge (invariant I6). It is the larger of the last fence plus one and
	// the store's clock in microseconds since 1970, or a number of the store's
	// own that grows by itself.
	Fence int64
	// Attempts counts the reservations since the slot was last empty; 1 for the
	// first. A slot whose retention is over counts as empty.
	Attempts int
	// Lapses counts the earlier attempts of this reservation whose outcome is
	// not known: each was taken over after its lease ended. 0 after a release,
	// an expiry or a purge.
	Lapses int
	// Deferred is true while a reserved slot's attempt has promised that it has
	// had no effect yet, see [Reservation].
	Deferred bool
	// Lapsed is true when the state is reserved and, by the store's clock, the
	// lease and the margin of the asking reservation are over.
	Lapsed bool
	// Owner names the process of the attempt, for the operator.
	Owner string
	// Route names the kind of request, for the operator. See [Call].
	Route string
	// CreatedAt and ExpiresAt are the store's clock at the reservation, and when
	// the retention ends. For people; no decision in the core reads them.
	CreatedAt, ExpiresAt time.Time
	// Reason is what the operator gave who resolved the slot, see [Resolution].
	// Empty once the slot is reserved again.
	Reason string
	// Response is set when State is StateCompleted.
	Response Response
}

// Blameless reports whether nothing can have happened under the reservation: its
// attempt has promised not to have begun, and none before it is unknown.
// When it lapses it may be taken over whatever the policy.
func (r *Record) Blameless() bool {
	return r.State == StateReserved && r.Deferred && r.Lapses == 0
}

// Place returns where the record stands in the order of a list.
func (r *Record) Place() Place { return Place{r.CreatedAt, r.Key.Slot()} }

// Reservation asks for a slot. Durations cross this interface, never instants:
// only the store's clock decides what is over.
type Reservation struct {
	Key         Key
	Fingerprint Fingerprint
	Token       Token
	// Lease protects the attempt, from the store's now. More than zero.
	Lease time.Duration
	// Margin is added to a lease before another attempt may call it lapsed.
	Margin time.Duration
	// Retention is how long the slot is remembered, from the store's now.
	Retention time.Duration
	// TakeOver lets this reservation replace a lapsed one that has the same
	// fingerprint. Without it a lapsed reservation stays as it is.
	TakeOver bool
	// TakeOverBlameless is TakeOver for a lapsed reservation that is
	// [Record.Blameless] only. TakeOver includes it.
	TakeOverBlameless bool
	// Deferred promises that the attempt has no effect before it says so by
	// [EffectBeginner], or only such as commit together with its completion. A
	// store that does not keep it must answer with a record that is not Deferred.
	Deferred bool
	// Owner names this process, for the operator. May be empty.
	Owner string
	// Route names the kind of request, for the operator: up to [MaxRouteLen]
	// bytes. May be empty.
	Route string
}

// Completion ends an attempt with the response to keep.
type Completion struct {
	Key      Key
	Token    Token
	Response Response
	// Retention applies anew only when the lease had ended before this
	// completion came; otherwise the expiry fixed at the reservation stands.
	// An expiry never moves to an earlier time.
	Retention time.Duration
}

// Holder names one attempt: a slot and the token it should be held by.
type Holder struct {
	Key   Key
	Token Token
}

// Resolution is an operator's answer for a lapsed reservation.
type Resolution struct {
	Key Key
	// Fence must be the fence of the record the operator looked at.
	Fence int64
	// Margin as in [Reservation].
	Margin time.Duration
	// Response is kept as the outcome; nil says that nothing happened and
	// frees the slot.
	Response *Response
	// Retention counts from the resolution.
	Retention time.Duration
	// Reason says who resolved it and why, for the record: up to
	// [MaxReasonLen] bytes. May be empty.
	Reason string
}

// MaxReasonLen is the longest [Resolution].Reason in bytes.
const MaxReasonLen = 1024

// MaxRouteLen is the longest [Reservation].Route in bytes.
const MaxRouteLen = 255

// Filter chooses records for a [Lister]. The zero Filter chooses all.
type Filter struct {
	// Scope and ID, when not empty, must be equal to the key's.
	Scope, ID string
	// Slot, when not empty, is a prefix of the slot's hexadecimal form.
	Slot string
	// States, when not empty, lists the wanted states.
	States []State
	// Lapsed wants only reservations whose lease and Margin are over.
	Lapsed bool
	Margin time.Duration
	// Route, when not empty, must be equal to the record's.
	Route string
	// MinAge and MaxAge, when more than zero, bound how long ago, by the store's
	// clock, the slot was reserved.
	MinAge, MaxAge time.Duration
	// After, when not zero, wants only what comes behind that place: the next page
	// after the record that stands there, whether it still does or not.
	After Place
	// Bodies loads Response.Header and Response.Body too; without it only
	// Response.Status is set.
	Bodies bool
	// Limit stops after that many records; 0 means no limit.
	Limit int
}

// Place is a place in the order of a list: the youngest slot first, and of two that
// are as old the one with the larger Slot. CreatedAt counts in whole microseconds.
type Place struct {
	CreatedAt time.Time
	Slot      Slot
}

// IsZero reports whether p is no place, so that a list begins at the youngest.
func (p Place) IsZero() bool { return p.CreatedAt.IsZero() }

// Grade says what a store survives, in the letters of docs/guarantees.md.
type Grade struct {
	// Letter is "A" (survives failover), "B" (one durable node) or "C" (may
	// lose acknowledged records).
	Letter string
	// Survives is one sentence for the log and the operator.
	Survives string
}
