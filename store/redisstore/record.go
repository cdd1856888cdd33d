package redisstore

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/ownerfield"
)

// recordVersion is the newest of the layouts that lua/record.lua describes. A
// program refuses records of a newer one.
const recordVersion = 2

// Offsets in the parts of a record.
const (
	// The head.
	atVersion  = 3
	atState    = 4
	atStatus   = 5
	atFence    = 9
	atCreated  = 25
	atExpires  = 33
	atAttempts = 41
	atLapses   = 45
	headSize   = 49

	// What layout 2 has after it.
	atDeferred     = 0
	atReasonLength = 1
	atReason       = 3

	// The names.
	atFingerprint = 0
	atToken       = 32
	atLengths     = 48
	atNames       = 60

	// The response.
	atSum     = 4
	atPayload = 8
)

const magic = "SML"

// nameOf is the part of a record that a reservation brings: fingerprint,
// token, key and owner, with the route in the owner's field.
func nameOf(r semel.Reservation) []byte {
	owner := ownerfield.Join(r.Owner, r.Route)
	b := make([]byte, 0, atNames+len(r.Key.Scope)+len(r.Key.ID)+len(owner))
	b = append(b, r.Fingerprint[:]...)
	b = append(b, r.Token[:]...)
	for _, s := range [...]string{r.Key.Scope, r.Key.ID, owner} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // maxOwner and the key's limits bound it
	}
	b = append(b, r.Key.Scope...)
	b = append(b, r.Key.ID...)
	return append(b, owner...)
}

// responseOf is the part of a record that a completion brings.
func responseOf(slot semel.Slot, r semel.Response) []byte {
	b := make([]byte, 0, atPayload+len(r.Header)+len(r.Body))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Header))) //nolint:gosec // maxResponse bounds it
	b = binary.BigEndian.AppendUint32(b, sumOf(slot, r.Status, len(r.Header), r.Header, r.Body))
	b = append(b, r.Header...)
	return append(b, r.Body...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf binds a response to its slot, so that a value that was changed, or was
// copied to another key, is an error and not a replay.
func sumOf(slot semel.Slot, status, header int, parts ...[]byte) uint32 {
	var room [len(slot) + 16]byte
	b := append(room[:0], slot[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(status)) //nolint:gosec // only bits matter
	b = binary.BigEndian.AppendUint64(b, uint64(header)) //nolint:gosec // only bits matter
	sum := crc32.Update(0, castagnoli, b)
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// decode reads what reserve.lua and peek.lua return: a digit that says whether
// the record is lapsed, and the record. whole is false when peek.lua cut the
// response off.
func decode(slot semel.Slot, reply string, whole bool) (semel.Record, error) {
	damaged := func(why string) (semel.Record, error) {
		return semel.Record{}, &DamagedError{Slot: slot, Reason: why}
	}
	if len(reply) < 1+headSize+atNames || reply[0] != '0' && reply[0] != '1' || !strings.HasPrefix(reply[1:], magic) {
		return damaged("it is not a record")
	}
	head, rest := reply[1:1+headSize], reply[1+headSize:]
	rec := semel.Record{
		State:     semel.State(head[atState]),
		Fence:     int64At(head, atFence),
		Attempts:  int(uint32At(head, atAttempts)),
		Lapses:    int(uint32At(head, atLapses)),
		Lapsed:    reply[0] == '1',
		CreatedAt: time.UnixMicro(int64At(head, atCreated)),
		ExpiresAt: time.UnixMicro(int64At(head, atExpires)),
	}
	ok := true
	switch version := int(head[atVersion]); version {
	case 1:
	case recordVersion:
		rest, ok = extension(&rec, rest)
	default:
		return semel.Record{}, &SchemaError{Found: version, Want: recordVersion}
	}
	if ok {
		rest, ok = names(&rec, rest)
	}
	switch {
	case rec.State > semel.StateCompleted:
		return damaged("its state is not one of three")
	case !ok:
		return damaged("its fields contradict one another")
	case rec.Key.Slot() != slot:
		return damaged("it belongs to another key")
	case rec.State != semel.StateCompleted:
		return rec, nil
	}
	rec.Response.Status = int(uint32At(head, atStatus))
	if whole && !response(&rec, slot, rest) {
		return damaged("its response is not what was stored")
	}
	return rec, nil
}

// extension reads what layout 2 says beyond layout 1, and returns what follows.
// Only a reservation is deferred, and none has a reason.
func extension(rec *semel.Record, v string) (rest string, ok bool) {
	end := atReason + (int(v[atReasonLength])<<8 | int(v[atReasonLength+1]))
	deferred := v[atDeferred] == 1
	if v[atDeferred] > 1 || end > len(v) || deferred && rec.State != semel.StateReserved ||
		end > atReason && rec.State == semel.StateReserved {
		return "", false
	}
	rec.Deferred, rec.Reason = deferred, strings.Clone(v[atReason:end])
	return v[end:], true
}

// names reads the fingerprint, the token, the key, the owner and the route, and
// returns what follows them.
func names(rec *semel.Record, v string) (rest string, ok bool) {
	if len(v) < atNames {
		return "", false
	}
	copy(rec.Fingerprint[:], v[atFingerprint:])
	copy(rec.Token[:], v[atToken:])
	rest = v[atNames:]
	for i, dst := range [...]*string{&rec.Key.Scope, &rec.Key.ID, &rec.Owner} {
		n := uint64(uint32At(v, atLengths+4*i))
		if n > uint64(len(rest)) {
			return "", false
		}
		*dst, rest = strings.Clone(rest[:n]), rest[n:]
	}
	rec.Owner, rec.Route = ownerfield.Split(rec.Owner)
	return rest, true
}

// response reads the header and the body, and reports whether their sum is right.
func response(rec *semel.Record, slot semel.Slot, v string) bool {
	if len(v) < atPayload {
		return false
	}
	header, payload := uint64(uint32At(v, 0)), []byte(v[atPayload:])
	if header > uint64(len(payload)) ||
		uint32At(v, atSum) != sumOf(slot, rec.Response.Status, int(header), payload) { //nolint:gosec // bounded by the line above
		return false
	}
	rec.Response.Header, rec.Response.Body = payload[:header:header], payload[header:]
	return true
}

func uint32At(v string, at int) uint32 {
	return uint32(v[at])<<24 | uint32(v[at+1])<<16 | uint32(v[at+2])<<8 | uint32(v[at+3])
}

func int64At(v string, at int) int64 {
	return int64(uint32At(v, at))<<32 | int64(uint32At(v, at+4))
}

// micros is a duration for a script: whole microseconds, rounded up, so that a
// lease is never ended (zero) by being short, and never negative.
func micros(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Microsecond) + 1
}

// keyOf is the key of a slot. The braces make the hexadecimal digits alone
// decide which node of a cluster has it.
func (s *Store) keyOf(slot semel.Slot) string { return s.prefix + "{" + slot.String() + "}" }
