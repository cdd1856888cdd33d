package semelwatermill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
)

// The kept form, version 1 (docs/adr/0034). The body is the payloads, one behind the other, so
// that an operator reads them; the header has all else. All lengths are unsigned varints.
//
//	text    blobMark
//	byte    flags: bit 0 = not kept; others are zero
//	varint  number of messages; for each: length, UUID, number of metadata fields, for each
//	        length, name, length, value, in the order of their names, and at last the
//	        length of the payload
//	uint32  CRC-32C of the body, big endian
//	uint32  CRC-32C of all bytes before, big endian
const (
	blobMark    = "semelwatermill/1 "
	flagNotKept = 1
	sumsLength  = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode makes the form in which produced messages are kept: UUID, metadata and payload, in
// order. It is for a [semel.RecoverFunc], and for a handler that completes its claim by itself. Contexts
// and acknowledgements are not kept. A nil message is an error.
func Encode(msgs ...*message.Message) (semel.Response, error) {
	size, payloads := 0, 0
	for i, msg := range msgs {
		if msg == nil {
			return semel.Response{}, fmt.Errorf("semelwatermill: produced message %d of %d is nil", i+1, len(msgs))
		}
		size += sizeOf(msg)
		payloads += len(msg.Payload)
	}
	both := make([]byte, payloads+headSize(size-payloads))
	body, head := both[:0:payloads], newHead(both[payloads:payloads], 0, uint64(len(msgs)))
	for _, msg := range msgs {
		head = appendText(head, msg.UUID)
		head = binary.AppendUvarint(head, uint64(len(msg.Metadata)))
		if len(msg.Metadata) > 0 {
			for _, name := range slices.Sorted(maps.Keys(msg.Metadata)) {
				head = appendText(appendText(head, name), msg.Metadata[name])
			}
		}
		head = binary.AppendUvarint(head, uint64(len(msg.Payload)))
		body = append(body, msg.Payload...)
	}
	return semel.Response{Header: sum(head, body), Body: body}, nil
}

// notKept is the form of messages that were too large.
func notKept() semel.Response {
	return semel.Response{Header: sum(newHead(make([]byte, 0, headSize(0)), flagNotKept, 0), nil)}
}

// sizeOf is about how many bytes msg takes when it is kept.
func sizeOf(msg *message.Message) int {
	n := len(msg.UUID) + len(msg.Payload) + 8
	for name, value := range msg.Metadata {
		n += len(name) + len(value) + 4
	}
	return n
}

// headSize is about how long a header is, with size bytes for messages.
func headSize(size int) int { return len(blobMark) + 1 + binary.MaxVarintLen64 + size + sumsLength }

func newHead(head []byte, flags byte, n uint64) []byte {
	return binary.AppendUvarint(append(append(head, blobMark...), flags), n)
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func sum(head, body []byte) []byte {
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(body, castagnoli))
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
}

// Decode is the way back from [Encode]. Every call makes messages of its own, so that an
// acknowledgement or a change of one replay is not another's. An error wraps
// [semel.ErrDamaged], or is [ErrNotKept].
func Decode(r semel.Response) ([]*message.Message, error) {
	head, flags, err := opened(r)
	if err != nil {
		return nil, err
	}
	if flags == flagNotKept {
		return nil, ErrNotKept
	}
	in := reader{rest: head}
	var msgs []*message.Message
	body := r.Body
	for range in.number() {
		msg := message.NewMessage(in.text(), nil)
		for range in.number() {
			name := in.text()
			msg.Metadata[name] = in.text()
			if in.bad {
				break
			}
		}
		length := in.number()
		if in.bad || length > len(body) {
			return nil, damaged("a message is cut off")
		}
		msg.Payload, body = slices.Clone(body[:length]), body[length:]
		msgs = append(msgs, msg)
	}
	if in.bad || len(in.rest) > 0 || len(body) > 0 {
		return nil, damaged("the messages do not fill it")
	}
	return msgs, nil
}

// opened checks the sums, and returns what lies between the flags and them.
func opened(r semel.Response) (head []byte, flags byte, err error) {
	rest, ok := bytes.CutPrefix(r.Header, []byte(blobMark))
	if !ok || len(rest) < 1+sumsLength {
		return nil, 0, damaged(fmt.Sprintf("it was not made by this middleware (header %.20q)", r.Header))
	}
	sums := r.Header[len(r.Header)-sumsLength:]
	covered := r.Header[:len(r.Header)-4]
	if binary.BigEndian.Uint32(sums[4:]) != crc32.Checksum(covered, castagnoli) ||
		binary.BigEndian.Uint32(sums) != crc32.Checksum(r.Body, castagnoli) {
		return nil, 0, damaged("a checksum is wrong")
	}
	flags = rest[0]
	if flags > flagNotKept {
		return nil, 0, damaged("a flag is not known")
	}
	return rest[1 : len(rest)-sumsLength], flags, nil
}

func damaged(why string) error {
	return fmt.Errorf("%w: %w", semel.ErrDamaged, errors.New(why))
}

// reader reads a header. After the first mistake it returns nothing any more.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<31-1 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

func (r *reader) text() string {
	n := r.number()
	if n > len(r.rest) {
		r.rest, r.bad = nil, true
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
