package semelgrpc

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// everything is a message with a field of each kind, once, in a list, packed and not, and in
// maps; it has itself as a member. known is how many of them the descriptor has: a
// process of an older release has fewer.
func everything(tb testing.TB, known int) protoreflect.MessageDescriptor {
	tb.Helper()
	type T = descriptorpb.FieldDescriptorProto
	kinds := []descriptorpb.FieldDescriptorProto_Type{
		descriptorpb.FieldDescriptorProto_TYPE_BOOL, descriptorpb.FieldDescriptorProto_TYPE_INT32, descriptorpb.FieldDescriptorProto_TYPE_SINT32,
		descriptorpb.FieldDescriptorProto_TYPE_UINT32, descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_TYPE_SINT64,
		descriptorpb.FieldDescriptorProto_TYPE_UINT64, descriptorpb.FieldDescriptorProto_TYPE_SFIXED32, descriptorpb.FieldDescriptorProto_TYPE_FIXED32,
		descriptorpb.FieldDescriptorProto_TYPE_FLOAT, descriptorpb.FieldDescriptorProto_TYPE_SFIXED64, descriptorpb.FieldDescriptorProto_TYPE_FIXED64,
		descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_ENUM,
		descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_GROUP,
	}
	named := func(f *T, kind descriptorpb.FieldDescriptorProto_Type) *T {
		f.Type = kind.Enum()
		switch kind { //nolint:exhaustive // the others need no name
		case descriptorpb.FieldDescriptorProto_TYPE_ENUM:
			f.TypeName = new(".t.Color")
		case descriptorpb.FieldDescriptorProto_TYPE_MESSAGE:
			f.TypeName = new(".t.All")
		case descriptorpb.FieldDescriptorProto_TYPE_GROUP:
			f.TypeName = new(".t.All.R")
		}
		return f
	}
	label := func(l descriptorpb.FieldDescriptorProto_Label) *descriptorpb.FieldDescriptorProto_Label {
		return l.Enum()
	}
	one, many := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	group := &descriptorpb.DescriptorProto{Name: new("R"), Field: []*T{
		{Name: new("a"), Number: proto.Int32(1), Label: label(one), Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()},
	}}
	all := &descriptorpb.DescriptorProto{Name: new("All"), NestedType: []*descriptorpb.DescriptorProto{group}}
	for i, kind := range kinds {
		n := int32(i)
		name := string('a' + rune(i))
		all.Field = append(all.Field, named(&T{Name: new(name), Number: new(100 - n), Label: label(one)}, kind))
		if kind == descriptorpb.FieldDescriptorProto_TYPE_GROUP {
			continue
		}
		list := named(&T{Name: new(name + "s"), Number: new(101 + n), Label: label(many)}, kind)
		switch kind { //nolint:exhaustive // the others may be packed
		case descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_STRING:
		default:
			list.Options = &descriptorpb.FieldOptions{Packed: new(i%2 == 0)}
		}
		all.Field = append(all.Field, list)
	}
	for i, keyKind := range []descriptorpb.FieldDescriptorProto_Type{
		descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_SINT32,
		descriptorpb.FieldDescriptorProto_TYPE_FIXED64, descriptorpb.FieldDescriptorProto_TYPE_BOOL,
	} {
		entry := "M" + string('a'+rune(i)) + "Entry"
		all.NestedType = append(all.NestedType, &descriptorpb.DescriptorProto{
			Name: &entry, Options: &descriptorpb.MessageOptions{MapEntry: new(true)},
			Field: []*T{
				named(&T{Name: new("key"), Number: proto.Int32(1), Label: label(one)}, keyKind),
				named(&T{Name: new("value"), Number: proto.Int32(2), Label: label(one)}, kinds[12+i]),
			},
		})
		all.Field = append(all.Field, &T{
			Name: new("m" + string('a'+rune(i))), Number: new(200 + int32(i)), Label: label(many),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: new(".t.All." + entry),
		})
	}
	if known < len(all.Field) {
		all.Field = all.Field[:known]
		all.NestedType = all.NestedType[:1]
	}
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("all.proto"), Package: new("t"), Syntax: new("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{all},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: new("Color"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: new("RED"), Number: proto.Int32(0)}, {Name: new("BLUE"), Number: proto.Int32(-1)},
		}}},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return fd.Messages().Get(0)
}

// read is nil for bytes that are no message.
func read(md protoreflect.MessageDescriptor, wire []byte) *dynamicpb.Message {
	m := dynamicpb.NewMessage(md)
	if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, m) != nil {
		return nil
	}
	return m
}

// seeds are messages with everything in them.
func seeds(tb testing.TB, md protoreflect.MessageDescriptor) [][]byte {
	tb.Helper()
	var wire [][]byte
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		m := dynamicpb.NewMessage(md)
		fillAny(rnd, m, 2)
		b, err := proto.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		wire = append(wire, b)
	}
	return append(wire, nil, []byte("\x08"), protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5))
}

// fillAny sets about half of the fields.
func fillAny(rnd *rand.Rand, m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if rnd.IntN(3) > 0 || depth == 0 {
			continue
		}
		switch {
		case fd.IsMap():
			for range rnd.IntN(5) {
				k := anyValue(rnd, fd.MapKey(), protoreflect.Value{}, depth)
				m.Mutable(fd).Map().Set(k.MapKey(), anyValue(rnd, fd.MapValue(), m.Mutable(fd).Map().NewValue(), depth))
			}
		case fd.IsList():
			for range rnd.IntN(4) {
				m.Mutable(fd).List().Append(anyValue(rnd, fd, m.Mutable(fd).List().NewElement(), depth))
			}
		default:
			m.Set(fd, anyValue(rnd, fd, m.NewField(fd), depth))
		}
	}
}

func anyValue(rnd *rand.Rand, fd protoreflect.FieldDescriptor, fresh protoreflect.Value, depth int) protoreflect.Value {
	n := rnd.Int64() >> rnd.IntN(64)
	switch fd.Kind() { //nolint:exhaustive // messages follow
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(-(n & 1)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-n)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 3)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 3)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string('a' + rune(n&15)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{byte(n)}, int(n&0xff)))
	}
	fillAny(rnd, fresh.Message(), depth-1)
	return fresh
}

// hasOddFloats reports whether m has a NaN or a negative zero, for which proto.Equal is not
// equality of bits, or what cannot be compared, in any depth.
func hasOddFloats(m protoreflect.Message) bool {
	odd := false
	look := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch fd.Kind() { //nolint:exhaustive // the others are no floats
		case protoreflect.FloatKind, protoreflect.DoubleKind:
			odd = odd || math.IsNaN(v.Float()) || v.Float() == 0
		case protoreflect.MessageKind, protoreflect.GroupKind:
			odd = odd || hasOddFloats(v.Message())
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				look(fd.MapValue(), v)
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				look(fd, v.List().Get(i))
			}
		default:
			look(fd, v)
		}
		return true
	})
	return odd
}

// FuzzCanonical: two messages are equal exactly when their canonical forms are; the form
// is a message with the same content; and the order of arrival does not matter.
func FuzzCanonical(f *testing.F) {
	md := everything(f, 100)
	wires := seeds(f, md)
	for i, wire := range wires {
		f.Add(wire, wires[(i+1)%len(wires)])
		f.Add(wire, wire)
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		x, y := read(md, one), read(md, other)
		if x == nil || y == nil {
			return
		}
		a, b := appendMessage(nil, x, nil), appendMessage(nil, y, nil)
		if !hasOddFloats(x) && proto.Equal(x, y) != bytes.Equal(a, b) {
			t.Fatalf("equal: %t\n%v\n%x\n%v\n%x", proto.Equal(x, y), x, a, y, b)
		}
		again := read(md, a)
		if again == nil || !bytes.Equal(appendMessage(nil, again, nil), a) {
			t.Fatalf("the form of %v is %x, that of what it says is another", x, a)
		}
		if !hasOddFloats(x) && !proto.Equal(again, x) {
			t.Fatalf("%v\nbecame\n%v", x, again)
		}
		merged := read(md, append(bytes.Clone(one), other...)) // known and unknown, in another order
		reversed := read(md, reverseFields(append(bytes.Clone(one), other...)))
		if merged != nil && reversed != nil && !hasOddFloats(merged) && proto.Equal(merged, reversed) !=
			bytes.Equal(appendMessage(nil, merged, nil), appendMessage(nil, reversed, nil)) {
			t.Fatal("the order of arrival matters")
		}
	})
}

// reverseFields moves whole numbers of fields, so that those of one number keep their order.
func reverseFields(wire []byte) []byte {
	runs := map[protowire.Number][]byte{}
	var order []protowire.Number
	for len(wire) > 0 {
		number, _, n := protowire.ConsumeField(wire)
		if n < 0 {
			return nil
		}
		if runs[number] == nil {
			order = append([]protowire.Number{number}, order...)
		}
		runs[number] = append(runs[number], wire[:n]...)
		wire = wire[n:]
	}
	var out []byte
	for _, number := range order {
		out = append(out, runs[number]...)
	}
	return out
}

// A process of an older release does not know all fields. What a usual encoder has written has
// the same form there, so a retry that meets it is no conflict.
func TestCanonicalAcrossReleases(t *testing.T) {
	md := everything(t, 100)
	m := dynamicpb.NewMessage(md)
	rnd := rand.New(rand.NewPCG(3, 4))
	scalars := 0
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); fd.Message() == nil && !fd.IsList() {
			m.Set(fd, anyValue(rnd, fd, protoreflect.Value{}, 1))
			scalars++
		}
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := appendMessage(nil, m, nil)
	for known := range 25 {
		old := read(everything(t, known+1), wire)
		if old == nil {
			t.Fatal("not read")
		}
		if got := appendMessage(nil, old, nil); !bytes.Equal(got, want) {
			t.Fatalf("with %d fields known\n%x\nwant\n%x", known+1, got, want)
		}
	}
	if scalars < 15 {
		t.Errorf("%d fields were tried", scalars)
	}
}

// Maps, whose order Go makes random, have one form; so have fields that arrive in any order.
func TestCanonicalIsOne(t *testing.T) {
	md := everything(t, 100)
	for _, wire := range seeds(t, md) {
		m := read(md, wire)
		if m == nil {
			continue
		}
		want := appendMessage(nil, m, nil)
		for range 20 {
			if got := appendMessage(nil, read(md, wire), nil); !bytes.Equal(got, want) {
				t.Fatalf("%x and %x", got, want)
			}
		}
		if got := appendMessage(nil, read(md, reverseFields(wire)), nil); !bytes.Equal(got, want) {
			t.Fatalf("reversed: %x and %x", got, want)
		}
	}
}

// Floats that are equal to Go, and are not the same, are two.
func TestCanonicalFloats(t *testing.T) {
	md := everything(t, 100)
	fd := md.Fields().ByName("m") // double
	form := func(f float64) string {
		m := dynamicpb.NewMessage(md)
		m.Set(fd, protoreflect.ValueOfFloat64(f))
		return string(appendMessage(nil, m, nil))
	}
	if form(0) == form(math.Copysign(0, -1)) {
		t.Error("0 and -0 have one form")
	}
	if first, second := form(math.NaN()), form(math.NaN()); first != second {
		t.Error("a NaN is not itself")
	}
}
