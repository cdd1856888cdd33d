package semel

import "fmt"

// Sealer encrypts (and may compress) a kept response before it reaches the
// store. It is a hook on the engine and not a wrapper of a store, so that no
// capability is hidden and no plain text leaks around it.
//
// aad binds the sealed bytes to their record and field: Open must fail when it
// differs from what Seal got, so that bytes moved to another row do not open.
// Both must be safe for concurrent use and must not keep or change their
// arguments. An error of Seal means the response is not stored; an error of
// Open means the kept response is damaged, and is reported.
type Sealer interface {
	Seal(aad, plain []byte) ([]byte, error)
	Open(aad, sealed []byte) ([]byte, error)
}

// OpenResponse returns the kept response of a completed record in clear, as a replay
// would give it. The record is one that the store has, with its response
// ([Filter].Bodies). An error wraps [ErrDamaged]: the bytes were sealed under another
// key, moved from another record, or changed.
func (e *Engine) OpenResponse(rec Record) (Response, error) {
	opened, err := e.open(rec.Key, rec.Response)
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return opened, nil
}

// SealResponse returns r as it must be kept under key, which is that of a record in
// the store: for whoever writes a response past the engine, as an operator does by a
// [Resolution].
func (e *Engine) SealResponse(key Key, r Response) (Response, error) { return e.seal(key, r) }

func (e *Engine) seal(key Key, r Response) (Response, error) {
	if e.cfg.Sealer == nil {
		return r, nil
	}
	return e.convert(key, r, "seal", func(aad, b []byte) ([]byte, error) { return e.cfg.Sealer.Seal(aad, b) })
}

func (e *Engine) open(key Key, r Response) (Response, error) {
	if e.cfg.Sealer == nil {
		return r, nil
	}
	return e.convert(key, r, "open", func(aad, b []byte) ([]byte, error) { return e.cfg.Sealer.Open(aad, b) })
}

func (e *Engine) convert(key Key, r Response, verb string, f func(aad, b []byte) ([]byte, error)) (Response, error) {
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
