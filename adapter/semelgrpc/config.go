package semelgrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Defaults of [Config].
const (
	DefaultMetadata    = "idempotency-key"
	DefaultMaxResponse = 1 << 20
)

// Config is what an [Interceptor] may be told. The zero value is safe.
type Config struct {
	// Metadata are the names of the metadata that carry the key; the first is the one that
	// documentation should name. Two names with different keys in one call are refused.
	// Default idempotency-key.
	Metadata []string
	// KeyField chooses the text fields of a request message that may carry the key too, such
	// as FieldNamed("request_id") (AIP-155). Two places with different keys are refused, and
	// so is a chosen field that is no text. Default: none.
	KeyField FieldFunc
	// Optional lets calls without a key through, unguarded. Default: they are refused with
	// key-missing, unless the method has the proto idempotency_level IDEMPOTENT.
	Optional bool
	// Skip lets calls through unguarded, with and without a key; it is meant for [Config].Methods.
	// Default: only methods with the idempotency_level NO_SIDE_EFFECTS, and those of gRPC's own
	// health and channelz services.
	Skip bool
	// SkipIdempotent skips methods with the idempotency_level IDEMPOTENT too. Default: they are
	// guarded when a call has a key, because a retry of them may still answer otherwise.
	SkipIdempotent bool
	// MaxResponse is the largest response message in bytes that is kept. A larger one goes out
	// as it is, its key is never free again, and a retry is told response-not-kept. Default 1 MiB.
	MaxResponse int
	// FingerprintMetadata are names whose values make a call another one, beside the method and the
	// message. Default: none.
	FingerprintMetadata []string
	// FingerprintOmit are full names of fields that do not, such as bank.v1.Transfer.sent_at.
	// Default: all fields count, except the one with the key.
	FingerprintOmit []protoreflect.FullName
	// Settle says how what a handler returned ends the attempt. Default [Settle]. The
	// handler itself may overrule it, see [semel.Claim.Settle].
	Settle SettleFunc
	// Omit are names of response metadata that are not kept. Default none: a replay that lacks
	// one is a different answer.
	Omit []string
	// OnReplay is called before a replay, to authorise again: an error refuses it with
	// replay-refused. The record must not be changed. Default: the scope alone decides who may
	// see a kept answer.
	OnReplay func(ctx context.Context, method string, rec semel.Record) error
	// Retention, MaxRun, Lease, Lapsed, Recover and DeferEffects are those of [semel.Call]. A
	// RecoverFunc makes its response with [Kept.Encode]. Default: the engine's.
	Retention    time.Duration
	MaxRun       time.Duration
	Lease        time.Duration
	Lapsed       semel.Policy
	Recover      semel.RecoverFunc
	DeferEffects bool
	// Wait is for how long a duplicate of a call that runs waits for its answer before it is
	// refused with in-flight: up to [semel.MaxWait]. Default: it is refused at once.
	Wait time.Duration
	// Route names the call for the operator and for metrics, see [semel.Call]. Default: the full
	// name of the method.
	Route string
	// Tx runs handlers in transactions of this kind, see [Interceptor.InTx]. Default: none.
	Tx semel.Transactions
	// FailOpen is asked when the store has failed before a call could run: true lets it run
	// unguarded, its answer marked with semel-stored: false, and twice if it is sent twice. It
	// is not asked about a call that may have run. It must not stand beside Tx. Default: the call
	// is refused with store-unavailable.
	FailOpen func(ctx context.Context, method string, err error) bool
	// OnRefuse is called before each refusal, to log or count; p is in the words of HTTP. It
	// must be safe for concurrent use. Default: none.
	OnRefuse func(ctx context.Context, method string, p problem.Details)
	// Methods changes what one method may have of its own, by its full name such as
	// /bank.v1.Accounts/Transfer, or those of a service, such as /bank.v1.Accounts/. A func gets
	// the config with every default filled in. A method whose service is in Files must be
	// one of it. Default: none.
	Methods map[string]func(*Config)
	// Files finds the descriptors of methods. Default [protoregistry.GlobalFiles].
	Files Files
	// Types finds the types of kept responses. Default [protoregistry.GlobalTypes].
	Types Types
	// Logger gets what the client must not be told. Default [slog.Default].
	Logger *slog.Logger
}

// Files finds descriptors by name, as [protoregistry.Files] does.
type Files interface {
	FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error)
}

// Types finds the types of messages and extensions by name, as [protoregistry.Types] and
// dynamicpb.Types do.
type Types interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Metadata) == 0 {
		c.Metadata = []string{DefaultMetadata}
	}
	for _, names := range []struct {
		field string
		list  *[]string
	}{{"Metadata", &c.Metadata}, {"FingerprintMetadata", &c.FingerprintMetadata}, {"Omit", &c.Omit}} {
		var err error
		if *names.list, err = lowerNames(names.field, *names.list); err != nil {
			return c, err
		}
	}
	for _, name := range c.Metadata {
		if strings.HasSuffix(name, "-bin") {
			return c, fmt.Errorf("semelgrpc: Config.Metadata: %q is a name of binary values, and a key is text", name)
		}
	}
	for _, name := range c.FingerprintOmit {
		if !name.IsValid() {
			return c, fmt.Errorf("semelgrpc: Config.FingerprintOmit: %q is no full name of a field", name)
		}
	}
	if c.MaxResponse == 0 {
		c.MaxResponse = DefaultMaxResponse
	}
	if c.MaxResponse < 0 || c.Retention < 0 || c.MaxRun < 0 || c.Lease < 0 || c.Wait < 0 {
		return c, errors.New("semelgrpc: Config.MaxResponse, Retention, MaxRun, Lease and Wait must not be negative")
	}
	if c.Wait > semel.MaxWait {
		return c, fmt.Errorf("semelgrpc: Config.Wait is %v, more than %v", c.Wait, semel.MaxWait)
	}
	if c.Settle == nil {
		c.Settle = Settle
	}
	if c.Files == nil {
		c.Files = protoregistry.GlobalFiles
	}
	if c.Types == nil {
		c.Types = protoregistry.GlobalTypes
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Tx != nil && c.FailOpen != nil {
		return c, errors.New("semelgrpc: Config.Tx stands beside FailOpen: a transaction needs its store")
	}
	return c, c.checkLapsed()
}

func (c Config) checkLapsed() error {
	if c.Lapsed > semel.Recover {
		return fmt.Errorf("semelgrpc: invalid policy %d", c.Lapsed)
	}
	if (c.Lapsed == semel.Recover) != (c.Recover != nil) {
		return errors.New("semelgrpc: Config.Recover and the policy recover need one another")
	}
	return nil
}

// lowerNames returns a copy of names in lower case, as metadata has them.
func lowerNames(field string, names []string) ([]string, error) {
	names = slices.Clone(names)
	for i, name := range names {
		name = strings.ToLower(name)
		if name == "" || strings.HasPrefix(name, "grpc-") || strings.ContainsFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
		}) {
			return nil, fmt.Errorf("semelgrpc: Config.%s: %q is no name of metadata", field, name)
		}
		names[i] = name
	}
	return names, nil
}

// changed returns the config after some of Methods. Nil funcs are left out.
func (c Config) changed(changes ...func(*Config)) (Config, error) {
	c.Metadata, c.FingerprintMetadata, c.Omit = slices.Clone(c.Metadata), slices.Clone(c.FingerprintMetadata), slices.Clone(c.Omit)
	c.FingerprintOmit = slices.Clone(c.FingerprintOmit)
	for _, change := range changes {
		if change != nil {
			change(&c)
		}
	}
	c.Methods = nil
	return c.withDefaults()
}

// each returns the configs of the names in Methods.
func (c Config) each() (map[string]*Config, error) {
	all := make(map[string]*Config, len(c.Methods))
	for name := range maps.Keys(c.Methods) {
		service, method, err := splitMethod(name)
		if err != nil {
			return nil, err
		}
		if err := c.checkMethod(service, method); err != nil {
			return nil, err
		}
		var own func(*Config)
		if method != "" {
			own = c.Methods[name]
		}
		cfg, err := c.changed(c.Methods["/"+service+"/"], own)
		if err != nil {
			return nil, fmt.Errorf("%w (for %s)", err, name)
		}
		all[name] = &cfg
	}
	return all, nil
}

// checkMethod finds names that are misspelled.
func (c Config) checkMethod(service, method string) error {
	found, err := c.Files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil //nolint:nilerr // a service without a descriptor may be served all the same
	}
	d, ok := found.(protoreflect.ServiceDescriptor)
	if !ok || method != "" && d.Methods().ByName(protoreflect.Name(method)) == nil {
		return fmt.Errorf("semelgrpc: Config.Methods: there is no method /%s/%s", service, method)
	}
	return nil
}

// splitMethod reads /service/method and /service/.
func splitMethod(full string) (service, method string, err error) {
	rest, ok := strings.CutPrefix(full, "/")
	service, method, found := strings.Cut(rest, "/")
	if !ok || !found || service == "" || strings.Contains(method, "/") {
		return "", "", fmt.Errorf("semelgrpc: Config.Methods: %q is neither /service/method nor /service/", full)
	}
	return service, method, nil
}
