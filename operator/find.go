package operator

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/semel-go/semel"
)

// Selector says which record is meant, in one of three ways.
type Selector struct {
	// Slot is the beginning of the slot, in hexadecimal digits.
	Slot string
	// Ref is the reference in answers and logs. Finding by it reads all records.
	Ref string
	// Scope and Key are what the client sent; both are needed.
	Scope, Key string
}

// MaxAmbiguous is how many records an [AmbiguousError] has.
const MaxAmbiguous = 10

// RefLen is how many hexadecimal digits a reference has.
const RefLen = 12

// Find returns the record that s names. It fails with [ErrSelector], [ErrNoRecord]
// or an [*AmbiguousError].
func (d *Desk) Find(ctx context.Context, s Selector) (semel.Record, error) {
	filter, err := d.filter(s)
	if err != nil {
		return semel.Record{}, err
	}
	ref := strings.ToLower(strings.TrimSpace(s.Ref))
	var found []semel.Record
	for rec, err := range d.Each(ctx, filter) {
		if err != nil {
			return semel.Record{}, err
		}
		if ref != "" && d.engine.Ref(rec.Key) != ref {
			continue
		}
		if found = append(found, rec); len(found) == MaxAmbiguous {
			break
		}
	}
	switch len(found) {
	case 0:
		return semel.Record{}, ErrNoRecord
	case 1:
		return found[0], nil
	}
	return semel.Record{}, &AmbiguousError{found}
}

// MaxRefs is how many records [Desk.FindRef] looks at.
const MaxRefs = 1_000

// FindRef is Find by a reference among the youngest [MaxRefs] records behind a place, so
// that it takes about as long however many there are. With [ErrNoRecord] it returns the
// place to go on behind: zero when all have been looked at.
func (d *Desk) FindRef(ctx context.Context, ref string, after semel.Place) (rec semel.Record, next semel.Place, err error) {
	filter, err := d.filter(Selector{Ref: ref})
	if err != nil {
		return semel.Record{}, semel.Place{}, err
	}
	ref = strings.ToLower(strings.TrimSpace(ref))
	filter.After, filter.Limit = after, MaxRefs
	looked := 0
	for rec, err := range d.Each(ctx, filter) {
		if err != nil {
			return semel.Record{}, semel.Place{}, err
		}
		if d.engine.Ref(rec.Key) == ref {
			return rec, semel.Place{}, nil
		}
		if looked++; looked == MaxRefs {
			next = rec.Place()
		}
	}
	return semel.Record{}, next, ErrNoRecord
}

func (d *Desk) filter(s Selector) (semel.Filter, error) {
	slot := strings.ToLower(strings.TrimSpace(s.Slot))
	ways := 0
	for _, given := range []bool{slot != "", s.Ref != "", s.Scope != "" || s.Key != ""} {
		if given {
			ways++
		}
	}
	const hexDigits = "0123456789abcdef"
	ref := strings.ToLower(strings.TrimSpace(s.Ref))
	switch {
	case ways != 1:
		return semel.Filter{}, ErrSelector
	case len(slot) > hex.EncodedLen(len(semel.Slot{})) || strings.Trim(slot, hexDigits) != "":
		return semel.Filter{}, fmt.Errorf("%w: a slot has up to %d hexadecimal digits", ErrSelector, hex.EncodedLen(len(semel.Slot{})))
	case s.Ref != "":
		if len(ref) != RefLen || strings.Trim(ref, hexDigits) != "" {
			return semel.Filter{}, fmt.Errorf("%w: a reference has %d hexadecimal digits", ErrSelector, RefLen)
		}
		return semel.Filter{}, nil
	case slot != "":
		return semel.Filter{Slot: slot, Limit: MaxAmbiguous}, nil
	}
	key := semel.Key{Scope: s.Scope, ID: s.Key}
	if err := key.Validate(); err != nil {
		return semel.Filter{}, fmt.Errorf("%w: %w", ErrSelector, err)
	}
	key = d.Stored(s.Scope, s.Key)
	return semel.Filter{Scope: key.Scope, ID: key.ID, Limit: 1}, nil
}

// Stored returns the key that the store has for what a client sent, see
// [semel.Engine.StoredKey]: its Scope is what all records of that scope have.
func (d *Desk) Stored(scope, id string) semel.Key {
	return d.engine.StoredKey(semel.Key{Scope: scope, ID: id})
}

// Hashes reports whether the store has keyed hashes in place of keys and scopes. Then no
// record shows what a client sent, and a key is found together with its scope only.
func (d *Desk) Hashes() bool { return d.Stored("a", "a") != semel.Key{Scope: "a", ID: "a"} }

// ParseSlot reads the 64 hexadecimal digits that [semel.Slot.String] writes.
func ParseSlot(text string) (semel.Slot, error) {
	var slot semel.Slot
	if len(text) != hex.EncodedLen(len(slot)) {
		return slot, fmt.Errorf("%w: a slot has %d hexadecimal digits", ErrSelector, hex.EncodedLen(len(slot)))
	}
	if _, err := hex.Decode(slot[:], []byte(text)); err != nil {
		return semel.Slot{}, fmt.Errorf("%w: a slot has hexadecimal digits only", ErrSelector)
	}
	return slot, nil
}

// At returns the record in a slot, or [ErrNoRecord].
func (d *Desk) At(ctx context.Context, slot semel.Slot) (semel.Record, error) {
	return d.Find(ctx, Selector{Slot: slot.String()})
}
