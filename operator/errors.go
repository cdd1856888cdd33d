package operator

import (
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// The sentinel errors of this package. Beside them an action fails with
// [semel.ErrInFlight] (the lease of the attempt is not over), [semel.ErrLost] (the
// record was changed since it was looked at), and what the store fails with.
var (
	// ErrNoTrail: the store keeps no trail, so nobody may act.
	ErrNoTrail = errors.New("operator: the store keeps no trail of what operators do")
	// ErrNoRecord: no record is meant. It never was, or a purge has removed it.
	ErrNoRecord = errors.New("operator: no such record")
	// ErrFree: there is nothing to resolve, as the next request runs.
	ErrFree = errors.New("operator: the record is free")
	// ErrCompleted: there is nothing to resolve, as retries get the kept response.
	ErrCompleted = errors.New("operator: the record is completed")
	// ErrReason: the reason is missing or cannot be kept.
	ErrReason = errors.New("operator: a reason of one line is required")
	// ErrSelector: it does not say which record is meant.
	ErrSelector = errors.New("operator: name a record by its slot, by its reference, or by scope and key")
	// ErrUnknown: the action goes on, or its result was lost. The record says what
	// became of it, and the trail will.
	ErrUnknown = errors.New("operator: it is not known yet what became of the action: look again")
)

// AmbiguousError: several records are meant.
type AmbiguousError struct {
	// Records are the first of them.
	Records []semel.Record
}

// Error says that more must be told.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("operator: %d records or more are meant", len(e.Records))
}

// UntrailedError: no entry could be written before an action, so it did not happen.
type UntrailedError struct {
	// Err is what the trail failed with.
	Err error
}

// Error says that nothing was done.
func (e *UntrailedError) Error() string {
	return fmt.Sprintf("operator: nothing was done, because the trail could not be written: %v", e.Err)
}

// Unwrap returns the failure of the trail.
func (e *UntrailedError) Unwrap() error { return e.Err }

// UnrecordedError: an action was tried and its result could not be added to the
// trail, where it appears as begun for ever; or it is not known whether it was added.
// Result says what became of it.
type UnrecordedError struct {
	// Begun is the ID of the entry before the action.
	Begun int64
	// Result is what became of the action; nil: it is done.
	Result error
	// Err is what the trail failed with.
	Err error
}

// Error says first what became of the action.
func (e *UnrecordedError) Error() string {
	result := "operator: it is done"
	if e.Result != nil {
		result = e.Result.Error()
	}
	return fmt.Sprintf("%s; the trail may not say so, and entry %d stand as begun for ever: %v", result, e.Begun, e.Err)
}

// Unwrap returns the result and the failure of the trail.
func (e *UnrecordedError) Unwrap() []error {
	if e.Result == nil {
		return []error{e.Err}
	}
	return []error{e.Result, e.Err}
}

// Done reports whether the action behind err has happened: err is nil, or only its
// result is missing in the trail.
func Done(err error) bool {
	if err == nil {
		return true
	}
	var u *UnrecordedError
	return errors.As(err, &u) && u.Result == nil
}
