package semelgrpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/semel-go/semel"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Kept is a whole answer of a unary method as it is kept.
type Kept struct {
	// Status is what the client saw; nil is OK.
	Status *status.Status
	// Message is the response. It is set if and only if Status is OK and NotKept is false.
	Message proto.Message
	// Header and Trailer have what the handler set, by names in lower case.
	Header, Trailer metadata.MD
	// NotKept is true when the handler ran to an answer that was too large: the outcome is
	// final, but its bytes are not there.
	NotKept bool
}

// The header blob, version 1 (docs/adr/0032). All lengths are unsigned varints.
//
//	byte    'G'
//	byte    version = 1
//	byte    flags: bit 0 = not kept; others are zero
//	uint32  CRC-32C of the body, big endian
//	varint  length of the body
//	text    full name of the body's message: length, name; empty when it is not kept
//	varint  number of header lines; for each: length, name, length, value
//	varint  number of trailer lines; likewise
//	uint32  CRC-32C of all bytes before and of the status code in four bytes, big endian
//
// Names are sorted and in lower case; lines of one name keep their order. The body is the
// response message, or google.rpc.Status when the code is not OK.
const (
	blobMark    = 'G'
	blobVersion = 1
	flagNotKept = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadBlob is wrapped by every error of [Decode].
var ErrBadBlob = errors.New("semelgrpc: damaged response")

// Encode makes the form that a store keeps. It fails when the message cannot be encoded.
func (k Kept) Encode() (semel.Response, error) {
	var (
		name  protoreflect.FullName
		flags byte
		body  []byte
		err   error
	)
	switch {
	case k.NotKept:
		flags = flagNotKept
	default:
		if name, body, err = k.body(); err != nil {
			return semel.Response{}, err
		}
	}
	b := append(make([]byte, 0, 128), blobMark, blobVersion, flags)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = appendText(b, string(name))
	b = appendLines(b, k.Header)
	b = appendLines(b, k.Trailer)
	code := k.Status.Code()
	b = binary.BigEndian.AppendUint32(b, headSum(b, int(code)))
	return semel.Response{Status: int(code), Header: b, Body: body}, nil
}

// body is the one message that tells what was answered.
func (k Kept) body() (protoreflect.FullName, []byte, error) {
	m := k.Message
	if k.Status.Code() != codes.OK {
		m = k.Status.Proto()
	}
	if m == nil {
		return "", nil, errors.New("semelgrpc: an answer with the status OK needs a message")
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return "", nil, fmt.Errorf("semelgrpc: the message cannot be encoded: %w", err)
	}
	return m.ProtoReflect().Descriptor().FullName(), body, nil
}

// headSum covers the status too, which lies outside the blob.
func headSum(head []byte, status int) uint32 {
	var code [4]byte
	binary.BigEndian.PutUint32(code[:], uint32(status)) //nolint:gosec // a code fits, and any other is no code
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, code[:])
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// appendLines writes a counted list.
func appendLines(b []byte, md metadata.MD) []byte {
	if len(md) == 0 {
		return append(b, 0)
	}
	md = lowered(md)
	lines := 0
	for _, values := range md {
		lines += len(values)
	}
	b = binary.AppendUvarint(b, uint64(lines))
	for _, name := range slices.Sorted(maps.Keys(md)) {
		for _, v := range md[name] {
			b = appendText(appendText(b, name), v)
		}
	}
	return b
}

// lowered returns md with its names in lower case, without what belongs to one sending.
func lowered(md metadata.MD) metadata.MD {
	usual := true
	for name := range md {
		usual = usual && isKeptName(name)
	}
	if usual {
		return md
	}
	out := make(metadata.MD, len(md))
	for _, name := range slices.Sorted(maps.Keys(md)) {
		if isKeptName(strings.ToLower(name)) {
			out.Append(name, md[name]...)
		}
	}
	return out
}

// isKeptName reports whether a name is one in lower case, and not of what belongs to one
// sending of an answer.
func isKeptName(name string) bool {
	return name == strings.ToLower(name) && name != MetadataReplayed && name != MetadataStored
}
