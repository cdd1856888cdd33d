package semel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sealer encrypts (and may compress) a kept response before it reaches the
// store. It is a hook on the engine and not a wrapper of a store, so that no
// capability is hidden and no plain text leaks around it.
//
// aad binds the sealed bytes to their record and field: Open must fail when it
// differs from what Seal got, so that bytes moved to another row do not open.
// Both must be safe for concurrent use and must not keep or change their
// arguments. An error of Seal means the response is not stored; an error of
// Open means the kept response is damaged, and is reported, unless it wraps
// [ErrKeyUnavailable].
//
// There is no context: what asks a key service must have a time-out of its own. Package
// keyring has Sealers.
type Sealer interface {
	Seal(aad, plain []byte) ([]byte, error)
	Open(aad, sealed []byte) ([]byte, error)
}

// ErrKeyUnavailable: a [Sealer] cannot have the key now, as the service that has it does
// not answer. Nothing is damaged; the same call may succeed later.
var ErrKeyUnavailable = errors.New("semel: the key of the kept responses is not available")

// Preparer is a [Sealer] that may be unable to seal for a while.
type Preparer interface {
	// Prepare says why a response could not be sealed now. The engine asks when an attempt
	// has its slot and has not run: with an error it gives the slot back and fails, as
	// the answer of what it would run could not be kept.
	Prepare() error
}

// PlainReader is a [Sealer] that also reads what was kept before it was there.
type PlainReader interface {
	// Plain reports whether a response with this header, as it is stored, was kept
	// in clear. Header and body are then read as they are, and Open is not called. A
	// header that Seal made is never plain: a record must not be half sealed.
	Plain(header []byte) bool
}

// Rewrapper is a [Sealer] whose keys change.
type Rewrapper interface {
	// Rewrap returns sealed under the key that seals now, and whether that is another
	// one than before. Errors are those of Open and Seal.
	Rewrap(aad, sealed []byte) (fresh []byte, changed bool, err error)
}

// OpenResponse returns the kept response of a completed record in clear, as a replay
// would give it. The record is one that the store has, with its response
// ([Filter].Bodies). An error wraps [ErrDamaged] (the bytes were sealed under another
// key, moved from another record, or changed) or [ErrKeyUnavailable].
func (e *Engine) OpenResponse(ctx context.Context, rec Record) (Response, error) {
	return e.open(ctx, rec)
}

// SealResponse returns r as it must be kept under key, which is that of a record in
// the store: for whoever writes a response past the engine, as an operator does by a
// [Resolution].
func (e *Engine) SealResponse(ctx context.Context, key Key, r Response) (Response, error) {
	return e.seal(ctx, key, "", r)
}

func (e *Engine) seal(ctx context.Context, key Key, route string, r Response) (sealed Response, err error) {
	if e.cfg.Sealer == nil {
		return r, nil
	}
	_, end := e.observe(ctx, Op{Step: StepSeal, Route: route, key: key})
	defer func() { end(Event{Count: 1, Err: err}) }()
	err = errNoReturn
	return convert(key, r, "seal", e.cfg.Sealer.Seal)
}

// open reads the response that a record keeps. An error wraps [ErrDamaged], unless the
// response may be sound. It names the record, as whoever logs the error has not always
// the key.
func (e *Engine) open(ctx context.Context, held Record) (opened Response, err error) {
	if e.cfg.Sealer == nil || e.isPlain(held.Response) {
		return held.Response, nil
	}
	_, end := e.observe(ctx, Op{Step: StepOpen, Route: held.Route, key: held.Key})
	defer func() { end(Event{Count: 1, Err: err}) }()
	err = errNoReturn
	opened, err = convert(held.Key, held.Response, "open", e.cfg.Sealer.Open)
	if err != nil && !errors.Is(err, ErrKeyUnavailable) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		err = fmt.Errorf("%w (ref %s)", err, e.Ref(held.Key))
	}
	return opened, err
}

// prepare fails closed before anything has happened. It also does when it took so long that
// nothing is left of the lease that counts from start.
func (e *Engine) prepare(start time.Time, lease time.Duration) error {
	preparer, ok := e.cfg.Sealer.(Preparer)
	if !ok {
		return nil
	}
	if err := preparer.Prepare(); err != nil {
		return fmt.Errorf("semel: an answer could not be sealed: %w", err)
	}
	if elapsed(start, time.Now())+tick(lease) >= lease {
		return fmt.Errorf("semel: the sealer took too long: %w", ErrKeyUnavailable)
	}
	return nil
}

func (e *Engine) isPlain(r Response) bool {
	reader, ok := e.cfg.Sealer.(PlainReader)
	return ok && reader.Plain(r.Header)
}

// Rewrap seals the kept response of held, as a store listed it with its body, under the
// key that seals now, and reports whether that changes anything: if it does, the store
// should keep it instead. A response that was kept in clear, and may be read so, is sealed.
// Errors are the Sealer's. It fails when the Sealer is no [Rewrapper].
func (e *Engine) Rewrap(ctx context.Context, held Record) (fresh Response, changed bool, err error) {
	rewrapper, ok := e.cfg.Sealer.(Rewrapper)
	switch {
	case !ok:
		return Response{}, false, errors.New("semel: the sealer has no keys that change")
	case held.State != StateCompleted:
		return held.Response, false, nil
	case e.isPlain(held.Response):
		fresh, err = e.seal(ctx, held.Key, held.Route, held.Response)
		return fresh, err == nil, err
	}
	fresh, err = convert(held.Key, held.Response, "rewrap", func(aad, sealed []byte) ([]byte, error) {
		out, another, err := rewrapper.Rewrap(aad, sealed)
		changed = changed || another
		return out, err
	})
	if err != nil {
		return Response{}, false, err
	}
	return fresh, changed, nil
}

// convert puts both fields through f, empty ones too.
func convert(key Key, r Response, verb string, f func(aad, b []byte) ([]byte, error)) (Response, error) {
	slot := key.Slot()
	for _, field := range []struct {
		name  string
		bytes *[]byte
	}{{"header", &r.Header}, {"body", &r.Body}} {
		out, err := f(sealAAD(slot, field.name, r.Status), *field.bytes)
		if err != nil {
			return Response{}, fmt.Errorf("semel: %s the kept %s: %w", verb, field.name, err)
		}
		*field.bytes = out
	}
	return r, nil
}

// sealAAD binds a field to its slot and to the status that stands beside it in clear.
func sealAAD(slot Slot, field string, status int) []byte {
	b := appendPrefixed(nil, "semel/1")
	b = append(b, slot[:]...)
	b = appendPrefixed(b, field)
	return appendPrefixed(b, fmt.Sprint(status))
}
