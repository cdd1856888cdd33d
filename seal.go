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
