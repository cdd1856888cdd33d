package semel

import "fmt"

// Kind is the answer to one atomic reserve.
type Kind uint8

// The outcomes. There is no zero Kind.
const (
	// Reserved: this caller, and only this one, owns the slot.
	Reserved Kind = iota + 1
	// Replay: the slot is completed; answer from the record.
	Replay
	// InFlight: another attempt holds the slot, or, with Outcome.Lapsed, held
	// it and never came back.
	InFlight
	// Conflict: the slot belongs to another request.
	Conflict
)

// String returns the name in lower case, fit for a metric label.
func (k Kind) String() string {
	switch k {
	case Reserved:
		return "reserved"
	case Replay:
		return "replay"
	case InFlight:
		return "in-flight"
	case Conflict:
		return "conflict"
	}
	return "invalid"
}

// Outcome is what [Engine.Begin] answers.
type Outcome struct {
	Kind Kind
	// Lapsed is true when Kind is InFlight and the attempt's outcome is
	// unknown: its lease is over and the policy says hold.
	Lapsed bool
	// Record is what the store holds now, whatever the kind. Its Response is
	// opened and set if and only if Kind is Replay.
	Record Record
	// Claim is set if and only if Kind is Reserved.
	Claim *Claim
}

// Err returns nil for Reserved and Replay, and a refusal that wraps
// [ErrInFlight], [ErrOutcomeUnknown] or [ErrConflict] for the others.
func (o Outcome) Err() error {
	switch o.Kind {
	case Reserved, Replay:
		return nil
	case InFlight:
		if o.Lapsed {
			return ErrOutcomeUnknown
		}
		return ErrInFlight
	case Conflict:
		return ErrConflict
	}
	return fmt.Errorf("semel: invalid outcome %d", o.Kind)
}

// verdict is what the core does next. It is finer than Kind, which is what the
// caller sees.
type verdict uint8

const (
	// runs: the slot is ours and nothing is unknown, or the policy is rerun.
	runs verdict = iota + 1
	// asks: the slot is ours, but an earlier attempt lapsed: ask the recovery hook.
	asks
	// replays: the response is there.
	replays
	// waits: another attempt runs.
	waits
	// unknown: an attempt lapsed and the policy holds it.
	unknown
	// refuses: another request owns the slot.
	refuses
	// broken: the store answered what no slot can hold after a reserve.
	broken
)

// decide is the whole state machine: from what the slot holds, what was asked
// and the policy, to what happens next. It is pure; stores decide nothing.
//
// The order matters. Ours comes first, as a repeated reserve must recognise
// itself. Conflict is judged before replay and before in-flight (I5): a client
// with a changed payload must not be told to wait, nor get another's answer.
func decide(held Record, asked Reservation, policy Policy) verdict {
	mine := held.Token == asked.Token
	switch {
	case held.State != StateReserved && held.State != StateCompleted:
		return broken
	case held.Fingerprint != asked.Fingerprint:
		if mine {
			return broken
		}
		return refuses
	case held.State == StateCompleted:
		return replays
	case mine && held.Lapses > 0 && policy != Rerun:
		return asks
	case mine:
		return runs
	case held.Lapsed && !asked.TakeOver && !(asked.TakeOverBlameless && held.Blameless()):
		return unknown
	default:
		// The lease runs, or this call lost the race to take over, or the
		// attempt's own transaction keeps it from being taken over.
		return waits
	}
}
