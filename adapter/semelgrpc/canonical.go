package semelgrpc

import (
	"cmp"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The canonical form of a message, version 1: its wire format (protobuf.dev, Encoding) with
// nothing left to choose. Fields are sorted by number, entries of a map by key, both members
// of an entry are written, numbers are minimal, floats are their bits, and fields are packed
// as the descriptor has it. Unknown fields are kept as they came, behind the known one of
// their number: a process that knows a field and one that does not yet make the same bytes of
// what a usual encoder wrote.
//
// [proto.MarshalOptions].Deterministic is not enough: it promises nothing across versions and
// leaves unknown fields in the order of their arrival.

// omit holds the fields that are left out, wherever they are.
type omit map[protoreflect.FullName]bool

// appendMessage appends the canonical form of m. It leaves out what is in without, and the
// fields of keys in m itself only.
func appendMessage(b []byte, m protoreflect.Message, without omit, keys ...protoreflect.FieldDescriptor) []byte {
	fields := make([]field, 0, 8)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !without[fd.FullName()] && !slices.Contains(keys, fd) {
			fields = append(fields, field{number: fd.Number(), fd: fd, value: v})
		}
		return true
	})
	for raw := m.GetUnknown(); len(raw) > 0; {
		number, _, n := protowire.ConsumeField(raw)
		if n < 0 { // no decoder lets that in
			fields = append(fields, field{number: math.MaxInt32, raw: raw})
			break
		}
		fields = append(fields, field{number: number, raw: raw[:n]})
		raw = raw[n:]
	}
	slices.SortStableFunc(fields, func(x, y field) int { return cmp.Compare(x.number, y.number) })
	for _, f := range fields {
		if f.fd == nil {
			b = append(b, f.raw...)
			continue
		}
		b = appendField(b, f.fd, f.value, without)
	}
	return b
}

// field is a known field and its value, or an unknown one as it came.
type field struct {
	number protowire.Number
	fd     protoreflect.FieldDescriptor
	value  protoreflect.Value
	raw    []byte
}

func appendField(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value, without omit) []byte {
	switch {
	case fd.IsMap():
		return appendMap(b, fd, v.Map(), without)
	case fd.IsList() && fd.IsPacked():
		b = protowire.AppendTag(b, fd.Number(), protowire.BytesType)
		start := len(b)
		for i := range v.List().Len() {
			b = appendScalar(b, fd, v.List().Get(i))
		}
		return prefixLength(b, start)
	case fd.IsList():
		for i := range v.List().Len() {
			b = appendTagged(b, fd, v.List().Get(i), without)
		}
		return b
	}
	return appendTagged(b, fd, v, without)
}

func appendMap(b []byte, fd protoreflect.FieldDescriptor, entries protoreflect.Map, without omit) []byte {
	keys := make([]protoreflect.MapKey, 0, entries.Len())
	entries.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		b = protowire.AppendTag(b, fd.Number(), protowire.BytesType)
		start := len(b)
		b = appendTagged(b, fd.MapKey(), k.Value(), without)
		b = appendTagged(b, fd.MapValue(), entries.Get(k), without)
		b = prefixLength(b, start)
	}
	return b
}

// compareKeys orders keys of one map: they are all of one kind.
func compareKeys(x, y protoreflect.MapKey) int {
	switch a := x.Interface().(type) {
	case bool:
		switch {
		case a == y.Bool():
			return 0
		case a:
			return 1
		}
		return -1
	case int32, int64:
		return cmp.Compare(x.Int(), y.Int())
	case uint32, uint64:
		return cmp.Compare(x.Uint(), y.Uint())
	}
	return cmp.Compare(x.String(), y.String())
}

// appendTagged appends one value with its tag.
func appendTagged(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value, without omit) []byte {
	switch fd.Kind() { //nolint:exhaustive // the others are scalars
	case protoreflect.GroupKind:
		b = protowire.AppendTag(b, fd.Number(), protowire.StartGroupType)
		b = appendMessage(b, v.Message(), without)
		return protowire.AppendTag(b, fd.Number(), protowire.EndGroupType)
	case protoreflect.MessageKind:
		b = protowire.AppendTag(b, fd.Number(), protowire.BytesType)
		start := len(b)
		return prefixLength(appendMessage(b, v.Message(), without), start)
	}
	b = protowire.AppendTag(b, fd.Number(), wireType(fd.Kind()))
	return appendScalar(b, fd, v)
}

func wireType(k protoreflect.Kind) protowire.Type {
	switch k { //nolint:exhaustive // the others are varints
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind:
		return protowire.BytesType
	}
	return protowire.VarintType
}

//nolint:gosec // the wire has negative numbers as these
func appendScalar(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() { //nolint:exhaustive // messages are no scalars
	case protoreflect.BoolKind:
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		return protowire.AppendVarint(b, uint64(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return protowire.AppendVarint(b, uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(v.Int()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return protowire.AppendVarint(b, v.Uint())
	case protoreflect.Fixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Uint()))
	case protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Int()))
	case protoreflect.FloatKind:
		return protowire.AppendFixed32(b, math.Float32bits(float32(v.Float())))
	case protoreflect.Fixed64Kind:
		return protowire.AppendFixed64(b, v.Uint())
	case protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(b, uint64(v.Int()))
	case protoreflect.DoubleKind:
		return protowire.AppendFixed64(b, math.Float64bits(v.Float()))
	case protoreflect.StringKind:
		return protowire.AppendString(b, v.String())
	}
	return protowire.AppendBytes(b, v.Bytes())
}

// prefixLength puts the length of what begins at start before it.
func prefixLength(b []byte, start int) []byte {
	n := uint64(len(b) - start) //nolint:gosec // not negative
	size := protowire.SizeVarint(n)
	for range size {
		b = append(b, 0)
	}
	copy(b[start+size:], b[start:len(b)-size])
	protowire.AppendVarint(b[start:start], n)
	return b
}
