package semelgrpc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/semel-go/semel"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Decode reads a kept answer, whose message must be of one of types. Everything is checked
// before anything is returned: a damaged answer is an error that wraps [ErrBadBlob], never an
// answer that lacks something.
func Decode(r semel.Response, types Types) (Kept, error) {
	blob, err := openBlob(r)
	if err != nil {
		return Kept{}, err
	}
	k := Kept{Header: blob.header, Trailer: blob.trailer, NotKept: blob.notKept}
	code := codes.Code(r.Status) //nolint:gosec // the sum has checked it
	switch {
	case blob.notKept:
		if code != codes.OK {
			k.Status = grpcstatus.New(code, "")
		}
		return k, nil
	case code == codes.OK:
		k.Message, err = openMessage(blob.message, r.Body, types)
		return k, err
	}
	k.Status, err = openStatus(blob.message, r.Body, code)
	return k, err
}

func openMessage(name protoreflect.FullName, body []byte, types Types) (proto.Message, error) {
	known, err := types.FindMessageByName(name)
	if err != nil {
		return nil, fmt.Errorf("%w: the type %s of its message: %w", ErrBadBlob, name, err)
	}
	m := known.New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: its message is no %s: %w", ErrBadBlob, name, err)
	}
	return m, nil
}

func openStatus(name protoreflect.FullName, body []byte, code codes.Code) (*grpcstatus.Status, error) {
	s := new(status.Status)
	if want := s.ProtoReflect().Descriptor().FullName(); name != want {
		return nil, fmt.Errorf("%w: its status is a %s", ErrBadBlob, name)
	}
	if err := proto.Unmarshal(body, s); err != nil {
		return nil, fmt.Errorf("%w: its status: %w", ErrBadBlob, err)
	}
	if got := codes.Code(s.GetCode()); got != code { //nolint:gosec // a negative one is another code
		return nil, fmt.Errorf("%w: its code is %d, not %d", ErrBadBlob, got, code)
	}
	return grpcstatus.FromProto(s), nil
}

// opened is a blob that was checked.
type opened struct {
	notKept         bool
	message         protoreflect.FullName
	header, trailer metadata.MD
}

// openBlob checks the mark, the version, both sums and the form of every line.
func openBlob(r semel.Response) (opened, error) {
	const fixed = 3 + 4 // mark, version, flags, sum of the body
	b := r.Header
	switch {
	case len(b) < fixed+1+1+1+1+4:
		return opened{}, fmt.Errorf("%w: %d bytes are too few", ErrBadBlob, len(b))
	case b[0] != blobMark:
		return opened{}, fmt.Errorf("%w: it is none of a gRPC method", ErrBadBlob)
	case b[1] != blobVersion:
		return opened{}, fmt.Errorf("%w: version %d, want %d", ErrBadBlob, b[1], blobVersion)
	case b[2]&^flagNotKept != 0:
		return opened{}, fmt.Errorf("%w: unknown flags %#x", ErrBadBlob, b[2])
	}
	head, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	switch {
	case headSum(head, r.Status) != sum || r.Status < 0 || r.Status > 1<<31-1:
		return opened{}, fmt.Errorf("%w: checksum", ErrBadBlob)
	case crc32.Checksum(r.Body, castagnoli) != binary.BigEndian.Uint32(b[3:]):
		return opened{}, fmt.Errorf("%w: checksum of the body", ErrBadBlob)
	}
	rest := reader{text: string(head[fixed:])}
	length := rest.number()
	o := opened{notKept: b[2] == flagNotKept, message: protoreflect.FullName(rest.string())}
	o.header, o.trailer = rest.lines(), rest.lines()
	switch {
	case rest.failed || rest.text != "":
		return opened{}, fmt.Errorf("%w: its form", ErrBadBlob)
	case length != uint64(len(r.Body)):
		return opened{}, fmt.Errorf("%w: the body has %d bytes, not %d", ErrBadBlob, len(r.Body), length)
	case o.notKept != (o.message == ""), o.notKept && len(r.Body) > 0:
		return opened{}, fmt.Errorf("%w: its message has no name", ErrBadBlob)
	}
	return o, nil
}

// reader takes one thing after another from the front of a text. After a failure it
// gives zeros.
type reader struct {
	text   string
	failed bool
}

// lines reads a counted list; nil when it is empty.
func (r *reader) lines() metadata.MD {
	count := r.number()
	if count > uint64(len(r.text))/2 { // each line takes two lengths at least
		r.failed = true
	}
	if r.failed || count == 0 {
		return nil
	}
	md := make(metadata.MD)
	last := ""
	for range count {
		name, value := r.string(), r.string()
		if name == "" || name < last || !isKeptName(name) {
			r.failed = true
			return nil
		}
		md[name] = append(md[name], value)
		last = name
	}
	return md
}

func (r *reader) string() string {
	n := r.number()
	if n > uint64(len(r.text)) {
		r.failed = true
	}
	if r.failed {
		return ""
	}
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}

// number reads an unsigned varint.
func (r *reader) number() uint64 {
	var n uint64
	for i := range min(len(r.text), binary.MaxVarintLen64) {
		c := r.text[i]
		if c < 0x80 {
			if i > 0 && c == 0 || i == binary.MaxVarintLen64-1 && c > 1 { // not the shortest form, or too large
				break
			}
			r.text = r.text[i+1:]
			return n | uint64(c)<<(7*i)
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	r.failed = true
	return 0
}
