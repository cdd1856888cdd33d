package redisstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

// The sentinel errors of the package.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("redisstore: the store is closed")
	// ErrNotReplicated: the step is done on the server, but fewer replicas than
	// [Config.Replicas] confirmed it in time, or the server did not sync its log.
	ErrNotReplicated = errors.New("the write is not confirmed")
	// ErrReadOnly: the server is a replica and takes no writes.
	ErrReadOnly = errors.New("the server is a read-only replica")
)

var (
	errClient   = errors.New("redisstore: the client must be a *redis.Client or a *redis.ClusterClient")
	errTimeouts = errors.New("redisstore: the client must have a ReadTimeout and a WriteTimeout: a server that falls silent would hold up every step for ever")
)

// DamagedError says that the value at a slot's key is not a record, or not the
// one that was stored. It is never replayed and never overwritten. It wraps
// [semel.ErrDamaged].
type DamagedError struct {
	// Slot does not reveal the key.
	Slot semel.Slot
	// Reason says what is wrong, without the value.
	Reason string
}

// Error names the slot and the reason.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the value of slot %s is damaged: %s", e.Slot, e.Reason)
}

// Unwrap returns [semel.ErrDamaged].
func (e *DamagedError) Unwrap() error { return semel.ErrDamaged }

// SchemaError says that a record has a layout that this program cannot read.
// It is left as it is.
type SchemaError struct {
	// Found is the record's version, Want the newest that this program reads.
	Found, Want int
}

// Error names both versions and who wrote the record.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("a record has layout version %d, and this program reads 1 to %d: another version of Semel wrote it",
		e.Found, e.Want)
}

// explain names the step, and adds what callers can act on.
func explain(name string, slot semel.Slot, err error) error {
	switch text := ""; {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotReplicated), errors.Is(err, ErrClosed):
	case redis.IsOOMError(err), strings.Contains(err.Error(), "OOM command not allowed"):
		return fmt.Errorf("redisstore: %s: %w: %w", name, semel.ErrFull, err)
	case redis.HasErrorPrefix(err, "MISCONF"), strings.Contains(err.Error(), "-MISCONF"):
		return fmt.Errorf("redisstore: %s: the server refuses writes because it cannot save them: %w", name, full(err))
	case redis.IsReadOnlyError(err), strings.Contains(err.Error(), "-READONLY"):
		return fmt.Errorf("redisstore: %s: %w: %w", name, ErrReadOnly, err)
	case redis.HasErrorPrefix(err, "SEMEL version "):
		e := &SchemaError{Want: recordVersion}
		_, _ = fmt.Sscanf(err.Error(), "SEMEL version %d", &e.Found)
		return fmt.Errorf("redisstore: %s: %w", name, e)
	case redis.HasErrorPrefix(err, "SEMEL "):
		return fmt.Errorf("redisstore: %s: %w", name, &DamagedError{Slot: slot, Reason: "it is not a record"})
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return fmt.Errorf("redisstore: %s: %w", name, &DamagedError{Slot: slot, Reason: "its type is not string"})
	default:
		// Redis quotes the arguments of a command that it does not know.
		const quote = ", with args beginning with: "
		if text, _, _ = strings.Cut(err.Error(), quote); text != err.Error() {
			return fmt.Errorf("redisstore: %s: %w", name, errors.New(text))
		}
	}
	return fmt.Errorf("redisstore: %s: %w", name, err)
}

// full adds [semel.ErrFull] when the disk is.
func full(err error) error {
	if strings.Contains(err.Error(), "No space left") {
		return fmt.Errorf("%w: %w", semel.ErrFull, err)
	}
	return err
}
