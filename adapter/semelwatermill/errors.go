package semelwatermill

import (
	"errors"
	"fmt"
)

// ErrNotKept: the handler has run to its end, but what it produced is larger than what is
// kept ([Config].MaxResponse, or the store's own limit). It was published after that run if
// the publisher took it, and cannot be published again.
var ErrNotKept = errors.New("semelwatermill: the produced messages are not kept")

// RefusedError says that the handler did not run for a delivery, or that what it did is not an
// outcome. The router then refuses the message. It does not contain the key.
type RefusedError struct {
	// Ref is the hash that names the slot in logs and in the console, see
	// [semel.Engine.Ref]. Empty when there is no key.
	Ref string
	// Reason wraps [semel.ErrInFlight], [semel.ErrOutcomeUnknown], [semel.ErrConflict],
	// [semel.ErrDamaged], [semel.ErrInvalidKey], [semel.ErrNotStored], [semel.ErrTooLarge] (in a
	// transaction only, which is rolled back), [ErrNotKept], [ErrNoKey] or [ErrNoScope].
	Reason error
	// Terminal is true when another delivery is refused for the same reason until somebody acts.
	Terminal bool
}

// Error tells the reason, and where to look.
func (e *RefusedError) Error() string {
	if e.Ref == "" {
		return fmt.Sprintf("semelwatermill: the message is refused: %v", e.Reason)
	}
	return fmt.Sprintf("semelwatermill: record %s: the message is refused: %v", e.Ref, e.Reason)
}

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Reason }

// Terminal reports whether err is a refusal that another delivery cannot cure. It has the form
// that Watermill's PoisonQueueWithFilter takes.
func Terminal(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Terminal
}
