package semel

import (
	"errors"
	"fmt"
)

// The sentinel errors of the core. Refusals are outcomes ([Kind]), not errors;
// [Outcome.Err] turns one into an error for callers who want a value.
var (
	// ErrLost: the token no longer holds the slot. Another attempt, an operator
	// or a purge came between. It is also the cause of a handler context that
	// was cancelled because its lease was lost.
	ErrLost = errors.New("semel: the reservation is lost")
	// ErrInFlight: another attempt holds the slot and its lease runs.
	ErrInFlight = errors.New("semel: another attempt is in flight")
	// ErrOutcomeUnknown: an attempt lapsed and nobody knows what it did.
	ErrOutcomeUnknown = errors.New("semel: the outcome of an earlier attempt is not known")
	// ErrConflict: the key was used before with another fingerprint.
	ErrConflict = errors.New("semel: the key was used with another request")
	// ErrNotStored: the attempt ended but its response could not be stored in
	// time. The engine goes on trying in the background.
	ErrNotStored = errors.New("semel: the response is not stored")
	// ErrSettled: the claim was completed, released or abandoned before.
	ErrSettled = errors.New("semel: the claim is settled")
	// ErrOverran: the attempt ran for longer than [Config.MaxRun]. The cause of
	// its handler's cancelled context.
	ErrOverran = errors.New("semel: the attempt ran too long")
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("semel: the engine is closed")
	// ErrInvalidKey: the key cannot name a slot.
	ErrInvalidKey = errors.New("semel: invalid key")
	// ErrDamaged: a kept response cannot be read. It is never replayed in part.
	ErrDamaged = errors.New("semel: the kept response is damaged")
	// ErrFull: a bounded store has no room for another record.
	ErrFull = errors.New("semel: the store is full")
	// ErrTooLarge: the response, or the record that it belongs to, is larger than
	// the store can keep. Nothing was written, and trying again is useless.
	ErrTooLarge = errors.New("semel: the response is too large for the store")
	// ErrTimeout: the store did not answer in time. The step may still happen.
	ErrTimeout = errors.New("semel: the store did not answer in time")
)

// StoreError is a failed step of a store. It does not contain the key.
type StoreError struct {
	Step Step
	Err  error
}

// Error names the step and the cause.
func (e *StoreError) Error() string { return fmt.Sprintf("semel: %s: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *StoreError) Unwrap() error { return e.Err }

// UnrenewedError is how a [Renewer] tells which holders it could not renew while
// it did renew, or lost, all others: their records were locked by somebody else,
// for example. They may still hold their slots.
type UnrenewedError struct {
	Tokens []Token
	Err    error
}

// Error tells the cause, and how many they are.
func (e *UnrenewedError) Error() string {
	return fmt.Sprintf("%v (leases not renewed: %d)", e.Err, len(e.Tokens))
}

// Unwrap returns the cause.
func (e *UnrenewedError) Unwrap() error { return e.Err }
