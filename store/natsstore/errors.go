package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// ErrClosed: the store was closed.
var ErrClosed = errors.New("natsstore: the store is closed")

// SchemaError says that the stream is missing, or that the stream or a record
// was made by another version.
type SchemaError struct {
	// What is what has the version: "the stream NAME" or "a record".
	What string
	// Have is its version, 0 when it is missing or has none; Want that of this
	// program.
	Have, Want int
}

// Error names both versions and what to do.
func (e *SchemaError) Error() string {
	switch {
	case e.Have == 0:
		return fmt.Sprintf("natsstore: %s is missing or was not made by semel: migrate", e.What)
	case e.Have > e.Want:
		return fmt.Sprintf("natsstore: %s has version %d, and this program knows none after %d: use a newer program", e.What, e.Have, e.Want)
	}
	return fmt.Sprintf("natsstore: %s has version %d, and this program needs %d: migrate", e.What, e.Have, e.Want)
}

// aRecord is What of a [SchemaError].
const aRecord = "a record"

// unreadable reports whether the cause is the record of one slot.
func unreadable(err error) bool {
	version, ok := errors.AsType[*SchemaError](err)
	return ok && version.What == aRecord || errors.Is(err, semel.ErrDamaged)
}

// DamagedError says that the message of a slot is not what a step wrote. It is
// never replayed, and never taken for an absent slot. It wraps [semel.ErrDamaged].
type DamagedError struct {
	Slot semel.Slot
	// Err says what is wrong with it.
	Err error
}

// Error names the slot, which does not reveal the key.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("natsstore: the record of slot %s is damaged: %v", e.Slot, e.Err)
}

// Unwrap returns [semel.ErrDamaged] and what is wrong.
func (e *DamagedError) Unwrap() []error { return []error{semel.ErrDamaged, e.Err} }

// Codes of JetStream's errors.
const (
	codeInsufficientResources     = 10023
	codeMemoryExceeded            = 10028
	codeStorageExceeded           = 10047
	codeMessageTooLarge           = 10054
	codeWrongLastSequence         = 10071
	codeStoreFailed               = 10077
	codeWrongLastSequenceInFlight = 10164 // in a replicated stream, while another write is under way
)

// errConflict: the slot's last message is another than the one expected.
var errConflict = errors.New("natsstore: the slot changed meanwhile")

// explain adds what callers can act on. The texts of the client and the server
// name streams and limits, nothing of a record.
func explain(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("no answer from the server in time: %w", err)
	case !errors.As(err, &api):
		return err
	}
	switch code := int(api.ErrorCode); {
	case code == codeWrongLastSequence, code == codeWrongLastSequenceInFlight:
		return errConflict
	case code == codeMessageTooLarge:
		return fmt.Errorf("%w: %w", semel.ErrTooLarge, err)
	case isFull(code, api.Description):
		return fmt.Errorf("%w: %w", semel.ErrFull, err)
	}
	return err
}

// isFull tells a lack of room from other failures to store. NATS 2.11 says that
// its disk is full; newer ones say nothing, see unconfirmed.
func isFull(code int, text string) bool {
	switch code {
	case codeInsufficientResources, codeMemoryExceeded, codeStorageExceeded:
		return true
	case codeStoreFailed:
		return strings.Contains(text, "maximum") || strings.Contains(text, "no space left")
	}
	return false
}

// failed names the step that an error ended.
func failed(step string, err error) error {
	switch {
	case err == nil, errors.Is(err, semel.ErrLost), errors.Is(err, semel.ErrInFlight):
		return err
	}
	return fmt.Errorf("natsstore: %s: %w", step, err)
}
