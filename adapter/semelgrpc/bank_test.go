package semelgrpc_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// bank is a service that exists as descriptors only:
//
//	message Transfer { string account = 1; int64 amount = 2; string request_id = 3;
//	                   string dedup = 4 [(bank.v1.is_key) = true]; Transfer then = 5; int64 nonce = 6; }
//	message Receipt { int64 number = 1; }
//	service Accounts { rpc Move(Transfer) returns (Receipt);
//	                   rpc Read … NO_SIDE_EFFECTS  rpc Put … IDEMPOTENT }
type bank struct {
	files  *protoregistry.Files
	types  *dynamicpb.Types
	isKey  protoreflect.ExtensionType
	in     protoreflect.MessageDescriptor
	out    protoreflect.MessageDescriptor
	number atomic.Int64
	last   atomic.Pointer[dynamicpb.Message] // request of the last run
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{files: new(protoregistry.Files)}
	if err := b.files.RegisterFile(descriptorpb.File_google_protobuf_descriptor_proto); err != nil { // the one that options are of
		t.Fatal(err)
	}
	options := b.register(t, &descriptorpb.FileDescriptorProto{
		Name: new("bank/options.proto"), Package: new("bank.v1"),
		Dependency: []string{"google/protobuf/descriptor.proto"},
		Extension: []*descriptorpb.FieldDescriptorProto{{
			Name: new("is_key"), Number: proto.Int32(50001), Extendee: new(".google.protobuf.FieldOptions"),
			Type: descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}},
	})
	b.isKey = dynamicpb.NewExtensionType(options.Extensions().Get(0))
	marked := new(descriptorpb.FieldOptions)
	marked.ProtoReflect().SetUnknown([]byte{0x88, 0xb5, 0x18, 1}) // 50001: true
	if err := (proto.UnmarshalOptions{Resolver: resolver{b.isKey}}).Unmarshal(marked.ProtoReflect().GetUnknown(), marked); err != nil {
		t.Fatal(err)
	}
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	text, whole := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64
	dedup, then := field("dedup", 4, text), field("then", 5, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	dedup.Options, then.TypeName = marked, new(".bank.v1.Transfer")
	method := func(name string, level descriptorpb.MethodOptions_IdempotencyLevel) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: &name, InputType: new(".bank.v1.Transfer"), OutputType: new(".bank.v1.Receipt"),
			Options: &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()},
		}
	}
	f := b.register(t, &descriptorpb.FileDescriptorProto{
		Name: new("bank/bank.proto"), Package: new("bank.v1"), Syntax: new("proto3"),
		Dependency: []string{"bank/options.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("Transfer"), Field: []*descriptorpb.FieldDescriptorProto{
				field("account", 1, text), field("amount", 2, whole), field("request_id", 3, text), dedup, then, field("nonce", 6, whole),
			}},
			{Name: new("Receipt"), Field: []*descriptorpb.FieldDescriptorProto{field("number", 1, whole)}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Accounts"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Move", descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN),
			method("Read", descriptorpb.MethodOptions_NO_SIDE_EFFECTS),
			method("Put", descriptorpb.MethodOptions_IDEMPOTENT),
		}}},
	})
	b.in, b.out = f.Messages().ByName("Transfer"), f.Messages().ByName("Receipt")
	b.types = dynamicpb.NewTypes(b.files)
	return b
}

// resolver knows one extension.
type resolver struct{ ext protoreflect.ExtensionType }

func (r resolver) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return r.ext, nil
}

func (r resolver) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return r.ext, nil
}

func (b *bank) register(t *testing.T, f *descriptorpb.FileDescriptorProto) protoreflect.FileDescriptor {
	t.Helper()
	fd, err := protodesc.NewFile(f, b.files)
	if err == nil {
		err = b.files.RegisterFile(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// service serves all methods alike: they number their calls.
func (b *bank) service() *grpc.ServiceDesc {
	desc := &grpc.ServiceDesc{ServiceName: "bank.v1.Accounts"}
	for _, name := range []string{"Move", "Read", "Put"} {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: name,
			Handler: func(_ any, ctx context.Context, dec func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
				req := dynamicpb.NewMessage(b.in)
				if err := dec(req); err != nil {
					return nil, err
				}
				return through(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/bank.v1.Accounts/" + name}, func(_ context.Context, req any) (any, error) {
					b.last.Store(req.(*dynamicpb.Message))
					reply := dynamicpb.NewMessage(b.out)
					reply.Set(b.out.Fields().ByName("number"), protoreflect.ValueOfInt64(b.number.Add(1)))
					return reply, nil
				})
			},
		})
	}
	return desc
}

func (b *bank) transfer(fields ...any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(b.in)
	for i := 0; i < len(fields); i += 2 {
		v := fields[i+1]
		if nested, ok := v.(*dynamicpb.Message); ok {
			v = nested.ProtoReflect()
		}
		m.Set(b.in.Fields().ByName(protoreflect.Name(fields[i].(string))), protoreflect.ValueOf(v))
	}
	return m
}

// call returns the number of the receipt.
func (b *bank) call(ctx context.Context, cc *grpc.ClientConn, method string, req proto.Message, opts ...grpc.CallOption) (int64, error) {
	reply := dynamicpb.NewMessage(b.out)
	err := cc.Invoke(ctx, "/bank.v1.Accounts/"+method, req, reply, opts...)
	return reply.Get(b.out.Fields().ByName("number")).Int(), err
}

func (b *bank) guarded(t *testing.T, change func(*semelgrpc.Config)) *grpc.ClientConn {
	t.Helper()
	cfg := semelgrpc.Config{Files: b.files, Types: b.types}
	if change != nil {
		change(&cfg)
	}
	return serve(t, b.service(), nil, newGuard(t, newEngine(t, memory(), semel.Config{}), cfg).Unary())
}

// The proto idempotency_level decides: a method without side effects is never guarded, an
// idempotent one needs no key.
func TestIdempotencyLevel(t *testing.T) {
	b := newBank(t)
	for name, tc := range map[string]struct {
		change        func(*semelgrpc.Config)
		method, key   string
		first, second int64 // the numbers of the two receipts, after the ones before
		missing       bool
	}{
		"no side effects, with a key":  {method: "Read", key: "k", first: 1, second: 2},
		"no side effects, without one": {method: "Read", first: 1, second: 2},
		"idempotent, with a key":       {method: "Put", key: "k", first: 1, second: 1},
		"idempotent, without one":      {method: "Put", first: 1, second: 2},
		"idempotent, skipped":          {change: func(c *semelgrpc.Config) { c.SkipIdempotent = true }, method: "Put", key: "k", first: 1, second: 2},
		"unknown, with a key":          {method: "Move", key: "k", first: 1, second: 1},
		"unknown, without one":         {method: "Move", missing: true},
		"optional, without one":        {change: func(c *semelgrpc.Config) { c.Optional = true }, method: "Move", first: 1, second: 2},
		"skipped by its name": {change: func(c *semelgrpc.Config) {
			c.Methods = map[string]func(*semelgrpc.Config){"/bank.v1.Accounts/Move": func(c *semelgrpc.Config) { c.Skip = true }}
		}, method: "Move", key: "k", first: 1, second: 2},
		"skipped by its service": {change: func(c *semelgrpc.Config) {
			c.Methods = map[string]func(*semelgrpc.Config){"/bank.v1.Accounts/": func(c *semelgrpc.Config) { c.Skip = true }}
		}, method: "Move", key: "k", first: 1, second: 2},
		"its name before its service": {change: func(c *semelgrpc.Config) {
			c.Methods = map[string]func(*semelgrpc.Config){
				"/bank.v1.Accounts/":     func(c *semelgrpc.Config) { c.Skip, c.Optional = true, true },
				"/bank.v1.Accounts/Move": func(c *semelgrpc.Config) { c.Skip = false },
			}
		}, method: "Move", key: "k", first: 1, second: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b.number.Store(0)
			cc := b.guarded(t, tc.change)
			first, err := b.call(as(t, tc.key), cc, tc.method, b.transfer("amount", int64(7)))
			if tc.missing {
				if semelgrpc.Reason(err) != "KEY_MISSING" {
					t.Errorf("got %v, want KEY_MISSING", err)
				}
				return
			}
			second, err2 := b.call(as(t, tc.key), cc, tc.method, b.transfer("amount", int64(7)))
			if err != nil || err2 != nil || first != tc.first || second != tc.second {
				t.Errorf("receipts %d and %d (%v, %v), want %d and %d", first, second, err, err2, tc.first, tc.second)
			}
		})
	}
}

// gRPC's own health service has no key and needs none.
func TestHealthIsNotGuarded(t *testing.T) {
	guard := newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{})
	reply, err := guard.Unary()(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/grpc.health.v1.Health/Check"},
		func(context.Context, any) (any, error) { return "serving", nil })
	if reply != "serving" || err != nil {
		t.Errorf("got %v, %v", reply, err)
	}
}

// The key may be a field of the request: by its name (AIP-155) or by an option. It is no part of
// the fingerprint, as it names the slot; the same field further down is.
func TestKeyField(t *testing.T) {
	b := newBank(t)
	for name, field := range map[string]semelgrpc.FieldFunc{
		"request_id": semelgrpc.FieldNamed("request_id"),
		"dedup":      semelgrpc.FieldMarked(b.isKey),
	} {
		t.Run(name, func(t *testing.T) {
			b.number.Store(0)
			cc := b.guarded(t, func(c *semelgrpc.Config) { c.KeyField = field })
			call := func(key string, fields ...any) (int64, string) {
				n, err := b.call(as(t, key), cc, "Move", b.transfer(fields...))
				if err != nil {
					return n, status.Code(err).String() + " " + semelgrpc.Reason(err)
				}
				return n, ""
			}
			for i, tc := range []struct {
				key    string
				fields []any
				number int64
				reason string
			}{
				{"", []any{name, "k", "amount", int64(1)}, 1, ""},
				{"", []any{name, "k", "amount", int64(1)}, 1, ""},
				{"k", []any{name, "k", "amount", int64(1)}, 1, ""},
				{"k", []any{"amount", int64(1)}, 1, ""},
				{"k", []any{"amount", int64(2)}, 0, "FailedPrecondition IDEMPOTENCY_KEY_CONFLICT"},
				{"other", []any{name, "k", "amount", int64(1)}, 0, "InvalidArgument KEY_INVALID"},
				{"", []any{name, "a b"}, 0, "InvalidArgument KEY_INVALID"},
				{"", []any{name, `"k"`}, 0, "InvalidArgument KEY_INVALID"},
				{"", []any{"amount", int64(1)}, 0, "InvalidArgument KEY_MISSING"},
				{"n", []any{"then", b.transfer(name, "x")}, 2, ""},
				{"n", []any{"then", b.transfer(name, "y")}, 0, "FailedPrecondition IDEMPOTENCY_KEY_CONFLICT"},
			} {
				if n, reason := call(tc.key, tc.fields...); reason != tc.reason || n != tc.number {
					t.Errorf("call %d: number %d, %q; want %d, %q", i, n, reason, tc.number, tc.reason)
				}
			}
		})
	}
	cc := b.guarded(t, func(c *semelgrpc.Config) { c.KeyField, c.Optional = semelgrpc.FieldNamed("amount"), true })
	if _, err := b.call(as(t, ""), cc, "Move", b.transfer()); semelgrpc.Reason(err) != "KEY_INVALID" {
		t.Errorf("a key field that is no text: %v", err)
	}
}

// What makes two calls the same can be said: a field less, a name of metadata more.
func TestFingerprintOptions(t *testing.T) {
	b := newBank(t)
	cc := b.guarded(t, func(c *semelgrpc.Config) {
		c.FingerprintOmit = []protoreflect.FullName{"bank.v1.Transfer.nonce"}
		c.FingerprintMetadata = []string{"tenant", "region"}
	})
	for i, tc := range []struct {
		req    *dynamicpb.Message
		more   []string
		reason string
	}{
		{b.transfer("nonce", int64(1)), []string{"tenant", "a"}, ""},
		{b.transfer("nonce", int64(2)), []string{"tenant", "a"}, ""},
		{b.transfer("nonce", int64(2)), []string{"tenant", "b"}, "IDEMPOTENCY_KEY_CONFLICT"},
		{b.transfer("nonce", int64(2)), []string{"region", "a"}, "IDEMPOTENCY_KEY_CONFLICT"},
		{b.transfer("nonce", int64(2)), []string{"tenant", "a", "tenant", "a"}, "IDEMPOTENCY_KEY_CONFLICT"},
		{b.transfer("nonce", int64(2)), nil, "IDEMPOTENCY_KEY_CONFLICT"},
		{b.transfer("account", "x"), []string{"tenant", "a"}, "IDEMPOTENCY_KEY_CONFLICT"},
	} {
		if _, err := b.call(as(t, "k", tc.more...), cc, "Move", tc.req); semelgrpc.Reason(err) != tc.reason {
			t.Errorf("call %d: %v, want %q", i, err, tc.reason)
		}
	}
}

// A method whose response has become another message cannot replay the old one: its client would
// read it as something else.
func TestResponseOfAnotherType(t *testing.T) {
	b := newBank(t)
	cc := b.guarded(t, nil)
	guard := newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{Files: b.files, Types: b.types})
	old := serve(t, b.service(), nil, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return guard.Unary()(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			_, _ = next(ctx, req)
			return b.transfer("account", "what it returned once"), nil
		})
	})
	_, _ = b.call(as(t, "k"), old, "Move", b.transfer())
	_, err := b.call(as(t, "k"), old, "Move", b.transfer())
	if status.Code(err) != codes.DataLoss || semelgrpc.Reason(err) != "RECORD_DAMAGED" {
		t.Errorf("got %v, want DATA_LOSS", err)
	}
	if _, err := b.call(as(t, "k"), cc, "Move", b.transfer()); err != nil {
		t.Error(err)
	}
}

// Nonsense is found by New, not by a call.
func TestNew(t *testing.T) {
	b, engine := newBank(t), newEngine(t, memory(), semel.Config{})
	method := func(name string, change func(*semelgrpc.Config)) semelgrpc.Config {
		return semelgrpc.Config{Files: b.files, Methods: map[string]func(*semelgrpc.Config){name: change}}
	}
	nothing := func(*semelgrpc.Config) {}
	for name, tc := range map[string]struct {
		cfg  semelgrpc.Config
		want string
	}{
		"fine":                     {method("/bank.v1.Accounts/Move", nothing), ""},
		"a service without a file": {method("/other.Service/Any", nothing), ""},
		"a misspelled method":      {method("/bank.v1.Accounts/Mvoe", nothing), "there is no method /bank.v1.Accounts/Mvoe"},
		"a message for a service":  {method("/bank.v1.Transfer/Move", nothing), "there is no method"},
		"no method":                {method("bank.v1.Accounts.Move", nothing), "neither"},
		"a method's own nonsense":  {method("/bank.v1.Accounts/Move", func(c *semelgrpc.Config) { c.Wait = -1 }), "must not be negative (for /bank.v1.Accounts/Move)"},
		"a binary key":             {semelgrpc.Config{Metadata: []string{"key-bin"}}, "binary"},
		"one in upper case":        {semelgrpc.Config{Metadata: []string{"Grpc-Status"}}, "no name of metadata"},
		"a name of gRPC's":         {semelgrpc.Config{Metadata: []string{"grpc-status"}}, "no name of metadata"},
		"a long wait":              {semelgrpc.Config{Wait: semel.MaxWait + 1}, "Config.Wait"},
		"no field":                 {semelgrpc.Config{FingerprintOmit: []protoreflect.FullName{"a..b"}}, "full name"},
		"a policy alone":           {semelgrpc.Config{Lapsed: semel.Recover}, "need one another"},
		"a negative size":          {semelgrpc.Config{MaxResponse: -1}, "MaxResponse"},
	} {
		_, err := semelgrpc.New(engine, semelgrpc.Global(), tc.cfg)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := semelgrpc.New(engine, nil, semelgrpc.Config{}); err == nil {
		t.Error("a guard without a scope was made")
	}
	if _, err := semelgrpc.New(nil, semelgrpc.Global(), semelgrpc.Config{}); err == nil {
		t.Error("a guard without an engine was made")
	}
}
