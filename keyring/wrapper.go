package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/semel-go/semel"
)

// Wrapper is a key service: it encrypts keys under master keys that never leave it.
// It is safe for concurrent use. Its calls return when ctx ends.
type Wrapper interface {
	// Primary returns the id of the master key to wrap under now, in the form of
	// [Key].ID. It does no I/O. What the service itself calls the key is the
	// Wrapper's business.
	Primary() string
	// Wrap encrypts dataKey, 32 bytes, under the master key id. It keeps neither. What it
	// returns has 1 to 4096 bytes.
	Wrap(ctx context.Context, id string, dataKey []byte) (wrapped []byte, err error)
	// Unwrap is the reverse. An error that wraps [ErrDamaged] says that wrapped was not
	// made under id, one that wraps [ErrUnknownKey] that there is no such master key.
	// Any other says that nobody knows now.
	Unwrap(ctx context.Context, id string, wrapped []byte) (dataKey []byte, err error)
}

// Defaults of [WrappedConfig].
const (
	DefaultTimeout = 2 * time.Second
	DefaultMaxAge  = time.Hour
	DefaultMaxUses = 1 << 20
	DefaultMaxKeys = 1000
)

// WrappedConfig is what a [Wrapped] keyring may be told. The zero value is right for most.
type WrappedConfig struct {
	// Timeout bounds each call of the key service, and how long a Seal or an Open waits
	// for one. Default 2 s. A Seal that fails leaves an outcome unknown, so it
	// should be well under semel.Config.CompleteTimeout.
	Timeout time.Duration
	// MaxAge is how long a data key seals, and how long one that was unwrapped opens
	// without asking the service again. Default 1 h. From three quarters of it on
	// the next data key is asked for, so a service that is down for less than
	// the rest is not noticed.
	MaxAge time.Duration
	// MaxUses is how many fields a data key seals: two for each response. Default 2²⁰.
	MaxUses int
	// MaxKeys is how many unwrapped keys are held in memory at most. Default 1000. Each
	// process makes one for each MaxAge.
	MaxKeys int
	// Old also opens what a keyring without a key service has sealed. Default: nothing.
	Old *Keyring
	// AcceptPlain as in [Config].
	AcceptPlain bool
	// Logger gets what nobody else is told: that the next data key is not to be had
	// yet. Default [slog.Default].
	Logger *slog.Logger
}

func (c WrappedConfig) withDefaults() (WrappedConfig, error) {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.MaxAge = cmp.Or(c.MaxAge, DefaultMaxAge)
	c.MaxUses = cmp.Or(c.MaxUses, DefaultMaxUses)
	c.MaxKeys = cmp.Or(c.MaxKeys, DefaultMaxKeys)
	if c.Timeout < 0 || c.MaxAge < 0 || c.MaxUses < 0 || c.MaxKeys < 0 {
		return c, errors.New("keyring: WrappedConfig needs Timeout, MaxAge, MaxUses and MaxKeys above 0")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// errNoReturn is what others hear who wait for a call of the key service that panics.
var errNoReturn = fmt.Errorf("%w: the key service did not return", semel.ErrKeyUnavailable)

// wrap makes a fresh data key under the master key id.
func (w *Wrapped) wrap(id string) (*dataKey, error) {
	ctx, cancel := w.limit()
	defer cancel()
	if !validID(id) {
		return nil, fmt.Errorf("keyring: the key service names a master key that is not 1 to %d of a-z, 0-9 and -", MaxIDLen)
	}
	secret := NewKey(id).Secret
	m, err := newMaster(secret)
	if err != nil {
		return nil, err
	}
	wrapped, err := w.service.Wrap(ctx, id, secret)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", semel.ErrKeyUnavailable, err)
	case len(wrapped) == 0 || len(wrapped) > maxWrapped:
		return nil, fmt.Errorf("keyring: the key service returned a wrapped key of %d bytes, not 1 to %d", len(wrapped), maxWrapped)
	}
	return &dataKey{master: m, id: id, head: head(id, wrapped), made: time.Now()}, nil
}

// unwrap gets the data key of e from the service.
func (w *Wrapped) unwrap(e envelope) (*master, error) {
	ctx, cancel := w.limit()
	defer cancel()
	secret, err := w.service.Unwrap(ctx, e.id, e.wrapped)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, fmt.Errorf("%w: %q", err, e.id)
	case errors.Is(err, ErrDamaged):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", semel.ErrKeyUnavailable, err)
	case len(secret) != keySize:
		return nil, fmt.Errorf("%w: a data key of %d bytes", ErrDamaged, len(secret))
	}
	return newMaster(secret)
}

// limit is the context of a call of the service: a Sealer gets none.
func (w *Wrapped) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), w.cfg.Timeout) //nolint:forbidigo // a Sealer gets no context
}
