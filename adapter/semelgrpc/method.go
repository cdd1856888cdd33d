package semelgrpc

import (
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// method is what is known of one method that is served.
type method struct {
	name     string
	cfg      *Config
	passes   bool // it is never guarded
	optional bool // it may be called without a key
	without  omit
	output   protoreflect.FullName     // of its response; empty when it is not known
	keys     atomic.Pointer[keyFields] // of the request that was seen last
}

// newMethod reads what the descriptor says.
func newMethod(name string, cfg *Config) *method {
	m := &method{name: name, cfg: cfg, passes: cfg.Skip, optional: cfg.Optional}
	for _, field := range cfg.FingerprintOmit {
		if m.without == nil {
			m.without = make(omit)
		}
		m.without[field] = true
	}
	d := describe(cfg.Files, name)
	if d != nil {
		m.output = d.Output().FullName()
	}
	switch levelOf(name, d) {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		m.passes = true
	case descriptorpb.MethodOptions_IDEMPOTENT:
		m.optional = true
		m.passes = m.passes || cfg.SkipIdempotent
	case descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN:
	}
	return m
}

// describe returns the descriptor of a full method name, nil when there is none.
func describe(files Files, name string) protoreflect.MethodDescriptor {
	full := strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")
	found, err := files.FindDescriptorByName(protoreflect.FullName(full))
	if err != nil {
		return nil
	}
	d, _ := found.(protoreflect.MethodDescriptor)
	return d
}

// levelOf returns a method's idempotency_level. The services by which gRPC watches itself
// declare none, and a probe has no key.
func levelOf(name string, d protoreflect.MethodDescriptor) descriptorpb.MethodOptions_IdempotencyLevel {
	if strings.HasPrefix(name, "/grpc.health.v1.Health/") || strings.HasPrefix(name, "/grpc.channelz.v1.Channelz/") {
		return descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	}
	if d == nil {
		return descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	}
	options, _ := d.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel()
}
