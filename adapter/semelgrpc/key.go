package semelgrpc

import (
	"context"
	"strconv"
	"sync"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// KeyError says why a call's idempotency key is refused. Its text is fit for the client and
// never contains the key.
type KeyError = semelhttp.KeyError

// FieldFunc says whether a field of a request message may carry the key. It is asked once for
// each field at the top of a message, and must be safe for concurrent use.
type FieldFunc func(protoreflect.FieldDescriptor) bool

// FieldNamed chooses the field of this name, such as request_id (AIP-155).
func FieldNamed(name protoreflect.Name) FieldFunc {
	return func(fd protoreflect.FieldDescriptor) bool { return fd.Name() == name }
}

// FieldMarked chooses the fields whose option is set, and not to false: an extension of
// google.protobuf.FieldOptions, of your own or of your company. The option of AIP-155,
// (google.api.field_info).format = UUID4, is no such mark: it says what a field looks like,
// and other fields look so too.
func FieldMarked(option protoreflect.ExtensionType) FieldFunc {
	return func(fd protoreflect.FieldDescriptor) bool {
		if !proto.HasExtension(fd.Options(), option) {
			return false
		}
		set, isBool := proto.GetExtension(fd.Options(), option).(bool)
		return set || !isBool
	}
}

// keyFields are the fields of one message that may carry the key.
type keyFields struct {
	of     protoreflect.MessageDescriptor
	fields []protoreflect.FieldDescriptor
}

func findKeyFields(of protoreflect.MessageDescriptor, chosen FieldFunc) *keyFields {
	k := &keyFields{of: of}
	for i := range of.Fields().Len() {
		if fd := of.Fields().Get(i); chosen(fd) {
			k.fields = append(k.fields, fd)
		}
	}
	return k
}

// keyFieldsOf remembers the answer for the message that a method has.
func (m *method) keyFieldsOf(of protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	known := m.keys.Load()
	if known == nil || known.of != of {
		known = findKeyFields(of, m.cfg.KeyField)
		m.keys.Store(known)
	}
	return known.fields
}

// key looks for the key in the metadata and in the request. found is true with an error when
// there is one that is not valid.
func (m *method) key(ctx context.Context, req any) (id string, found bool, err error) {
	id, found, err = keyInMetadata(ctx, m.cfg.Metadata)
	message, ok := req.(proto.Message)
	if err != nil || m.cfg.KeyField == nil || !ok {
		return id, found, err
	}
	r := message.ProtoReflect()
	return keyInFields(r, m.keyFieldsOf(r.Descriptor()), id, found)
}

// keyInMetadata looks under all names, by the rules of [semelhttp.ParseKey].
func keyInMetadata(ctx context.Context, names []string) (id string, found bool, err error) {
	for _, name := range names {
		values := metadata.ValueFromIncomingContext(ctx, name)
		if len(values) == 0 {
			continue
		}
		next, err := semelhttp.ParseKey(values)
		switch {
		case err != nil:
			return "", true, err
		case found && next != id:
			return "", true, &KeyError{Reason: "differs between two names of metadata"}
		}
		id, found = next, true
	}
	return id, found, nil
}

// keyInFields adds the key of a field to what was found before.
func keyInFields(m protoreflect.Message, fields []protoreflect.FieldDescriptor, id string, found bool) (string, bool, error) {
	for _, fd := range fields {
		switch {
		case fd.Kind() != protoreflect.StringKind || fd.IsList():
			return "", true, &KeyError{Reason: "is no text in the request"}
		case !m.Has(fd):
			continue
		}
		text := m.Get(fd).String()
		next, err := semelhttp.ParseKey([]string{text})
		switch {
		case err != nil:
			return "", true, err
		case next != text: // the form of a header field
			return "", true, &KeyError{Reason: "is quoted, or has white space around it, in the request"}
		case found && next != id:
			return "", true, &KeyError{Reason: "differs between two places"}
		}
		id, found = next, true
	}
	return id, found, nil
}

// maxRoom is the largest room that is worth keeping.
const maxRoom = 64 << 10

// buffers are the room for canonical forms, which is used again.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// fingerprint is what makes a call this call: its method, its message without the key, which
// names the slot, and chosen metadata.
func (m *method) fingerprint(ctx context.Context, req proto.Message) semel.Fingerprint {
	r := req.ProtoReflect()
	var keys []protoreflect.FieldDescriptor
	if m.cfg.KeyField != nil {
		keys = m.keyFieldsOf(r.Descriptor())
	}
	room, _ := buffers.Get().(*[]byte)
	defer func() {
		if cap(*room) <= maxRoom {
			buffers.Put(room)
		}
	}()
	*room = appendMessage((*room)[:0], r, m.without, keys...)
	parts := append(make([][]byte, 0, 4), []byte("semelgrpc/1"), []byte(m.name), *room)
	for _, name := range m.cfg.FingerprintMetadata {
		values := metadata.ValueFromIncomingContext(ctx, name)
		parts = append(parts, []byte(name), strconv.AppendInt(nil, int64(len(values)), 10))
		for _, v := range values {
			parts = append(parts, []byte(v))
		}
	}
	return semel.FingerprintOf(parts...)
}
