package natsstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/ownerfield"
)

// encodingVersion is the newest version of the value of a message that this
// program reads. A newer one is never guessed at.
const encodingVersion = 2

// magic begins every value.
const magic = "SML"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The ways in which a value is not ours to read.
var (
	errForeign  = errors.New("the value was not written by semel")
	errChecksum = errors.New("the checksum is wrong")
	errShape    = errors.New("the fields contradict one another")
)

// version is the oldest one that can say the row: a program that knows no other
// reads what it can.
func (w *row) version() byte {
	if w.deferred || w.leaseEnd != 0 || w.reason != "" {
		return encodingVersion
	}
	return 1
}

// encode writes the row as the value of a message: magic, version, the fields
// in order, in version 2 those that it adds, and a CRC-32C of all that. Numbers
// are varints, texts have their length in front. The route is in the owner's field.
func (w *row) encode() []byte {
	owner := ownerfield.Join(w.owner, w.route)
	b := make([]byte, 0, 208+len(w.key.Scope)+len(w.key.ID)+len(owner)+len(w.reason)+len(w.response.Header)+len(w.response.Body))
	b = append(b, magic...)
	b = append(b, w.version(), byte(w.state))
	b = append(b, w.fingerprint[:]...)
	b = append(b, w.token[:]...)
	for _, n := range [...]int64{
		w.fence, int64(w.attempts), int64(w.lapses), w.created, int64(w.age), int64(w.lease), w.expires, int64(w.keep),
		int64(w.response.Status),
	} {
		b = binary.AppendVarint(b, n)
	}
	b = appendText(b, w.key.Scope)
	b = appendText(b, w.key.ID)
	b = appendText(b, owner)
	b = appendText(b, w.response.Header)
	b = appendText(b, w.response.Body)
	if w.version() > 1 {
		deferred := byte(0)
		if w.deferred {
			deferred = 1
		}
		b = appendText(binary.AppendVarint(append(b, deferred), w.leaseEnd), w.reason)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendText[T string | []byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// decode reads a value. The response's bytes are those of the value.
func decode(value []byte) (row, error) {
	if len(value) < len(magic)+1+4 || string(value[:len(magic)]) != magic {
		return row{}, errForeign
	}
	version := int(value[len(magic)])
	if version < 1 || version > encodingVersion {
		return row{}, &SchemaError{What: aRecord, Have: version, Want: encodingVersion}
	}
	body, sum := value[:len(value)-4], binary.BigEndian.Uint32(value[len(value)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return row{}, errChecksum
	}
	r := reader{rest: body[len(magic)+1:]}
	var w row
	w.state = semel.State(r.take(1)[0])
	copy(w.fingerprint[:], r.take(len(w.fingerprint)))
	copy(w.token[:], r.take(len(w.token)))
	w.fence = r.integer()
	w.attempts, w.lapses = r.small(), r.small()
	w.created, w.age = r.integer(), time.Duration(r.integer())
	w.lease, w.expires, w.keep = time.Duration(r.integer()), r.integer(), time.Duration(r.integer())
	w.response.Status = r.small()
	w.key.Scope, w.key.ID = string(r.text()), string(r.text())
	w.owner, w.route = ownerfield.Split(string(r.text()))
	w.response.Header, w.response.Body = r.text(), r.text()
	if version > 1 {
		w.deferred, w.leaseEnd, w.reason = r.flag(), r.integer(), string(r.text())
	}
	if r.short || len(r.rest) != 0 || !w.possible() {
		return row{}, errShape
	}
	return w, nil
}

// possible reports whether some step could have written the row.
func (w *row) possible() bool {
	switch w.state {
	case semel.StateFree, semel.StateCompleted:
		if w.fence == 0 { // it tells that of an earlier message
			return false
		}
		if w.deferred || w.leaseEnd != 0 {
			return false
		}
	case semel.StateReserved:
		if w.token == (semel.Token{}) || w.reason != "" || w.leaseEnd != 0 && w.lease == 0 {
			return false
		}
	default:
		return false
	}
	if w.state != semel.StateCompleted && (w.response.Status != 0 || len(w.response.Header)+len(w.response.Body) > 0) {
		return false
	}
	return w.key.Validate() == nil && w.fence >= 0 && w.attempts >= 1 && w.lapses >= 0 && w.lapses < w.attempts &&
		w.created >= 0 && w.expires >= 0 && w.age >= 0 && w.lease >= 0 && w.leaseEnd >= 0
}

// reader takes a value apart and remembers whether it was too short.
type reader struct {
	rest  []byte
	short bool
}

// none is what a reader gives when there is nothing left.
var none [64]byte

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return none[:n]
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) integer() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// flag is a byte that says yes (1) or no (0).
func (r *reader) flag() bool {
	b := r.take(1)[0]
	r.short = r.short || b > 1
	return b == 1
}

// small is an integer of 32 bits.
func (r *reader) small() int {
	n := r.integer()
	if n < math.MinInt32 || n > math.MaxInt32 {
		r.short = true
		return 0
	}
	return int(n)
}

func (r *reader) text() []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) { //nolint:gosec // not negative
		r.short, r.rest = true, nil
		return nil
	}
	r.rest = r.rest[size:]
	return r.take(int(n)) //nolint:gosec // no more than there is
}
