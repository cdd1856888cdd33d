package semelhttp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
)

// Kept is a whole HTTP response as it is kept.
type Kept struct {
	// Status is a final status code; 0 for a hijacked connection.
	Status int
	// Header has the end-to-end fields in canonical form.
	Header http.Header
	// Trailer has the trailer fields; nil without any.
	Trailer http.Header
	// Body is the content.
	Body []byte
	// NotKept is true when the handler ran to an answer that was too large,
	// streamed or hijacked: the outcome is final, but its bytes are not there.
	NotKept bool
}

// The header blob, version 1 (docs/adr/0008). All lengths are unsigned varints.
//
//	byte    version = 1
//	byte    flags: bit 0 = not kept; others are zero
//	uint32  CRC-32C of the body, big endian
//	varint  length of the body
//	varint  number of header lines; for each: length, name, length, value
//	varint  number of trailer lines; likewise
//	uint32  CRC-32C of all bytes before and of the status, both big endian; the
//	        status has two bytes
//
// Names are sorted and canonical, unless the handler wrote them otherwise; lines
// of one name keep their order.
const (
	blobVersion = 1
	flagNotKept = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadBlob is wrapped by every error of [Decode].
var ErrBadBlob = errors.New("semelhttp: damaged response header")

// Encode makes the form that a store keeps. Hop-by-hop fields, Date, Age and
// Content-Length are left out; Content-Length is made anew from the body.
func (k Kept) Encode() (semel.Response, error) {
	if !final(k.Status) && !(k.NotKept && k.Status == 0) {
		return semel.Response{}, fmt.Errorf("semelhttp: status %d is not a final one", k.Status)
	}
	s := getScratch()
	defer s.free()
	for name, values := range k.Header {
		name = http.CanonicalHeaderKey(name)
		s.header[name] = append(slices.Clip(s.header[name]), values...)
	}
	trailer := ownTrailer(k.Trailer)
	body := k.Body
	if !bodyAllowed(k.Status) {
		body = nil
	}
	flags, length := byte(0), contentLength(k.Status, len(body), trailer)
	if k.NotKept {
		flags, length, body = flagNotKept, -1, nil
	}
	blob := s.encode(k.Status, flags, length, body, trailer, nil)
	return semel.Response{Status: k.Status, Header: bytes.Clone(blob), Body: bytes.Clone(body)}, nil
}

func final(status int) bool { return status >= 200 && status <= 999 }

// contentLength is what a replay declares: nothing when there can be no body,
// or when trailers need chunks.
func contentLength(status, n int, trailer http.Header) int {
	if !bodyAllowed(status) || len(trailer) > 0 {
		return -1
	}
	return n
}

// encode writes the blob for s.header without what s.outer had already, into
// s.blob, which it returns. A length of -1 leaves out Content-Length.
func (s *scratch) encode(status int, flags byte, length int, body []byte, trailer http.Header, omit []string) []byte {
	s.names = s.names[:0]
	lines := 0
	if length >= 0 {
		lines++
		s.names = append(s.names, "Content-Length")
	}
	for name, values := range s.header {
		if !endToEnd(name, s.header["Connection"]) || slices.Contains(omit, name) {
			continue
		}
		if sameLines(s.outer[name], values) && name != "Content-Type" { // which describes the body, whoever set it
			continue
		}
		s.names = append(s.names, name)
		lines += len(values)
	}
	slices.Sort(s.names)

	b := append(s.blob[:0], blobVersion, flags)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = binary.AppendUvarint(b, uint64(lines))
	for _, name := range s.names {
		if name == "Content-Length" {
			b = appendLength(b, name, length)
			continue
		}
		for _, v := range s.header[name] {
			b = appendLine(b, name, v)
		}
	}
	b = appendTrailer(b, trailer)
	b = binary.BigEndian.AppendUint32(b, headSum(b, status))
	s.blob = b
	return b
}

// headSum covers the status too, which lies outside the blob.
func headSum(head []byte, status int) uint32 {
	sum := ^crc32.Checksum(head, castagnoli)
	for _, b := range [2]byte{byte(status >> 8), byte(status)} { //nolint:gosec // a final status fits
		sum = castagnoli[(sum^uint32(b))&0xff] ^ sum>>8 // crc32.Update would allocate
	}
	return ^sum
}

func appendTrailer(b []byte, trailer http.Header) []byte {
	if len(trailer) == 0 {
		return append(b, 0)
	}
	names := make([]string, 0, len(trailer))
	lines := 0
	for name, values := range trailer {
		names = append(names, name)
		lines += len(values)
	}
	slices.Sort(names)
	b = binary.AppendUvarint(b, uint64(lines))
	for _, name := range names {
		for _, v := range trailer[name] {
			b = appendLine(b, name, v)
		}
	}
	return b
}

func appendLine(b []byte, name, value string) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// appendLength is appendLine for a number.
func appendLength(b []byte, name string, n int) []byte {
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], int64(n), 10)
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// endToEnd reports whether a field may be kept (RFC 9110 section 7.6.1, RFC
// 9111 section 3.1). connection has the lines of the field Connection, which
// can name more. Date, Age and Semel-Stored belong to the moment of sending; the
// length follows from the body.
func endToEnd(name string, connection []string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Trailer",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
		"Date", "Age", "Content-Length", HeaderStored:
		return false
	}
	if strings.HasPrefix(name, http.TrailerPrefix) {
		return false
	}
	return !lists(connection, func(option string) bool { return strings.EqualFold(option, name) })
}

// sameLines reports whether the handler left a field as it found it.
func sameLines(outer, now []string) bool { return outer != nil && slices.Equal(outer, now) }

// bodyAllowed follows RFC 9110 sections 6.4.1, 15.3.5 and 15.4.5.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
