package semelgrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"testing"

	"github.com/semel-go/semel"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// answers are one of each form.
func answers(tb testing.TB) []Kept {
	tb.Helper()
	declined, err := status.New(codes.FailedPrecondition, "declined").WithDetails(&errdetails.ErrorInfo{Reason: "NO_FUNDS"})
	if err != nil {
		tb.Fatal(err)
	}
	md := metadata.Pairs("etag", "2", "etag", "1", "raw-bin", "\x00\xff", "empty", "")
	return []Kept{
		{Message: wrapperspb.String("paid")},
		{Message: new(wrapperspb.StringValue), Header: md},
		{Message: wrapperspb.Bytes(bytes.Repeat([]byte("x"), 1000)), Trailer: md},
		{Status: declined, Header: md, Trailer: metadata.Pairs("cost", "3")},
		{Status: status.New(77, "odd")},
		{NotKept: true},
		{NotKept: true, Status: status.New(codes.Internal, "")},
	}
}

func sameKept(x, y Kept) bool {
	return proto.Equal(x.Message, y.Message) && proto.Equal(x.Status.Proto(), y.Status.Proto()) && x.NotKept == y.NotKept &&
		maps.EqualFunc(x.Header, y.Header, slices.Equal) && maps.EqualFunc(x.Trailer, y.Trailer, slices.Equal)
}

// I3: what is kept is what comes back; with one bit changed, nothing comes back.
func TestKept(t *testing.T) {
	for i, k := range answers(t) {
		r, err := k.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(r, protoregistry.GlobalTypes)
		if err != nil || !sameKept(got, k) {
			t.Errorf("answer %d: %v, %v, want %v", i, got, err, k)
		}
		if again, err := got.Encode(); err != nil || !bytes.Equal(again.Header, r.Header) || !bytes.Equal(again.Body, r.Body) {
			t.Errorf("answer %d is encoded in two ways (%v)", i, err)
		}
		for _, part := range [][]byte{r.Header, r.Body} {
			for bit := range 8 * len(part) {
				part[bit/8] ^= 1 << (bit % 8)
				if _, err := Decode(r, protoregistry.GlobalTypes); !errors.Is(err, ErrBadBlob) {
					t.Errorf("answer %d with bit %d changed: %v", i, bit, err)
				}
				part[bit/8] ^= 1 << (bit % 8)
			}
		}
		for n := range r.Header {
			if _, err := Decode(semel.Response{Status: r.Status, Header: r.Header[:n], Body: r.Body}, protoregistry.GlobalTypes); !errors.Is(err, ErrBadBlob) {
				t.Errorf("answer %d cut at %d: %v", i, n, err)
			}
		}
		r.Status++
		if _, err := Decode(r, protoregistry.GlobalTypes); !errors.Is(err, ErrBadBlob) {
			t.Errorf("answer %d with another status: %v", i, err)
		}
	}
}

// What cannot be read is an error that says why.
func TestDecodeRefuses(t *testing.T) {
	good, err := Kept{Message: wrapperspb.String("paid")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]semel.Response{
		"nothing":        {},
		"HTTP's":         {Status: 200, Header: append([]byte{1}, good.Header[1:]...), Body: good.Body},
		"no such type":   sealed(0, 0, "no.Such", nil, nil),
		"no status":      sealed(5, 0, "google.protobuf.StringValue", nil, []byte{10, 1, 'x'}),
		"another code":   sealed(5, 0, "google.rpc.Status", nil, []byte{8, 6}),
		"a bad message":  sealed(0, 0, "google.protobuf.StringValue", nil, []byte{10, 5}),
		"a bad status":   sealed(5, 0, "google.rpc.Status", nil, []byte{8}),
		"no name":        sealed(0, 0, "", nil, []byte{10, 1, 'x'}),
		"unkept bytes":   sealed(0, flagNotKept, "", nil, []byte{1}),
		"unsorted lines": sealed(0, 0, "google.protobuf.StringValue", []string{"b", "1", "a", "1"}, nil),
		"an empty name":  sealed(0, 0, "google.protobuf.StringValue", []string{"", "1"}, nil),
	} {
		if _, err := Decode(r, protoregistry.GlobalTypes); !errors.Is(err, ErrBadBlob) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sealed is a blob with good sums and whatever is inside.
func sealed(code int, flags byte, name string, lines []string, body []byte) semel.Response {
	b := []byte{blobMark, blobVersion, flags}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = appendText(b, name)
	b = binary.AppendUvarint(b, uint64(len(lines)/2))
	for _, text := range lines {
		b = appendText(b, text)
	}
	b = append(b, 0)
	return semel.Response{Status: code, Header: binary.BigEndian.AppendUint32(b, headSum(b, code)), Body: body}
}

// FuzzDecode: no bytes make it panic, and what it reads is encoded to the same blob.
func FuzzDecode(f *testing.F) {
	for _, k := range answers(f) {
		r, err := k.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Status, r.Header[7:len(r.Header)-4], r.Body, k.NotKept)
	}
	f.Fuzz(func(t *testing.T, code int, lines, body []byte, notKept bool) {
		b := []byte{blobMark, blobVersion, 0} // the sums are right: what lies behind them is tried
		if notKept {
			b[2] = flagNotKept
		}
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
		b = append(b, lines...)
		b = binary.BigEndian.AppendUint32(b, headSum(b, code))
		k, err := Decode(semel.Response{Status: code, Header: b, Body: body}, protoregistry.GlobalTypes)
		if err != nil {
			if !errors.Is(err, ErrBadBlob) {
				t.Fatal(err)
			}
			return
		}
		again, err := k.Encode()
		if err != nil {
			return // what the wire lets in and an encoder does not, such as a text that is no UTF-8
		}
		if back, err := Decode(again, protoregistry.GlobalTypes); err != nil || !sameKept(back, k) {
			t.Fatalf("%v became %v (%v)", k, back, err)
		}
		if bytes.Equal(again.Body, body) && !bytes.Equal(again.Header, b) {
			t.Fatalf("read %x, wrote %x", b, again.Header)
		}
	})
}

// Names that another handler wrote otherwise are one name, and the marks of one sending are
// not kept.
func TestKeptNames(t *testing.T) {
	r, err := Kept{
		Message: wrapperspb.String("x"),
		Header:  metadata.MD{"ETag": {"1"}, "etag": {"2"}, "Idempotent-Replayed": {"true"}, MetadataStored: {"false"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k, err := Decode(r, protoregistry.GlobalTypes)
	if want := (metadata.MD{"etag": {"1", "2"}}); err != nil || !maps.EqualFunc(k.Header, want, slices.Equal) {
		t.Errorf("got %v (%v), want %v", k.Header, err, want)
	}
	if _, err := (Kept{}).Encode(); err == nil {
		t.Error("an OK without a message is encoded")
	}
}
