package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// Setting is one thing that can be set. Its name gives the name in the file
// (max_body), the flag (--max-body) and the variable (SEMEL_MAX_BODY).
type Setting struct {
	// Name is the name in the file.
	Name string
	// Arg is what a value looks like, one word for the help.
	Arg string
	// Usage is one line for the help.
	Usage string
	// Default is the text that stands when nobody sets it.
	Default string
	// Bool marks a switch: its flag needs no value.
	Bool bool
	// List marks a setting with several values: a repeated flag, a YAML list,
	// or one text with commas.
	List bool
	// Whole marks a list whose values may have commas: each text is one value.
	Whole bool
	// Values are what a shell may propose, nil when there is nothing to
	// propose. One that ends with a colon is a beginning.
	Values []string

	set    func(*Config, []string) error
	preset func(semelhttp.Config) string   // not nil when a preset may have its own default
	route  func(Config, *semelhttp.Config) // not nil when a route may differ
}

// Flag returns the name of the flag, without dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// Env returns the name of the environment variable.
func (s Setting) Env() string { return envPrefix + strings.ToUpper(s.Name) }

// PerRoute reports whether a route may have its own.
func (s Setting) PerRoute() bool { return s.route != nil }

const (
	envPrefix = "SEMEL_"
	// EnvConfig names the file, like the flag --config.
	EnvConfig = envPrefix + "CONFIG"
)

// Settings returns the table, in the order of the help.
func Settings() []Setting {
	return slices.Concat(wiring(), showing(), guarding(), finding(), lifetimes(), forwarding(), running())
}

// wiring settings say what is connected to what.
func wiring() []Setting {
	return []Setting{
		{
			Name: "upstream", Arg: "URL", Usage: "forward to this server: http://, https:// or h2c:// (required)",
			set:   one(parseUpstream, func(c *Config) **url.URL { return &c.Upstream }),
			route: func(Config, *semelhttp.Config) {}, // see Route.Upstream
		},
		{
			Name: "listen", Arg: "ADDR", Default: "127.0.0.1:8080", Usage: "serve clients on this address",
			set: one(parseAddr, func(c *Config) *string { return &c.Listen }),
		},
		{
			Name: "tls_cert", Arg: "PATH", Usage: "serve clients with TLS under this certificate, PEM with its chain; with tls_key",
			set: one(parseText, func(c *Config) *string { return &c.TLSCert }),
		},
		{
			Name: "tls_key", Arg: "PATH", Usage: "the private key of tls_cert, PEM",
			set: one(parseText, func(c *Config) *string { return &c.TLSKey }),
		},
		{
			Name: "tls_client_ca", Arg: "PATH", Usage: "refuse clients without a certificate of these authorities, PEM",
			set: one(parseText, func(c *Config) *string { return &c.TLSClientCA }),
		},
		{
			Name: "admin", Arg: "ADDR", Default: "127.0.0.1:8081",
			Usage: "serve /livez, /readyz, /metrics and /version on this address; off for none",
			set:   one(parseAdmin, func(c *Config) *string { return &c.Admin }),
		},
		{
			Name: "store", Arg: "URL", Default: "sqlite:semel.db", Usage: "keep records here: sqlite:PATH, a server (postgres://, mysql://, redis://, nats://), or memory which survives nothing",
			set: one(parseText, func(c *Config) *string { return &c.Store }),
		},
		{
			Name: "migrate", Bool: true, Default: "true", Usage: "make or upgrade the store's schema at the start",
			set: one(parseBool, func(c *Config) *bool { return &c.Migrate }),
		},
	}
}

// guarding settings say what is guarded, and how.
func guarding() []Setting {
	return []Setting{
		{
			Name: "scope", Arg: "SCOPE", Default: "header:Authorization",
			Usage:  "who the caller is: header:NAME, jwt:CLAIM (verified before), cert, cert-subject, remote, several joined by +, or global (one space for all)",
			Values: []string{"header:", "jwt:", "cert", "cert-subject", "remote", "global"},
			set:    one(ParseScope, func(c *Config) *Scope { return &c.Scope }),
			route:  func(Config, *semelhttp.Config) {}, // see Route.Scope
		},
		{
			Name: "preset", Arg: "NAME", Default: semelhttp.IETF.String(), Usage: "the API that clients know: its key, what is kept, how refusals look: " + strings.Join(presetNames(), ", "),
			Values: presetNames(),
			set:    one(parsePreset, func(c *Config) *semelhttp.Preset { return &c.Preset }),
			route:  func(c Config, h *semelhttp.Config) { h.Preset = c.Preset },
		},
		{
			Name: "settle", Arg: "RULE", List: true, Usage: "what becomes of answers with some statuses, over the preset: 404=release, 5xx=hold, 400-403=keep; repeatable",
			set:   many(parseSettle, func(c *Config) *[]semelhttp.SettleRule { return &c.Settle }),
			route: func(Config, *semelhttp.Config) {}, // see Route.Settle
		},
		{
			Name: "lapsed", Arg: "POLICY", Default: "hold", Usage: "a retry of an attempt that never ended: hold (refuse), rerun (may run twice) or recover (ask recover_url)",
			Values: []string{"hold", "rerun", "recover"},
			set:    one(parseLapsed, func(c *Config) *semel.Policy { return &c.Lapsed }),
			route:  func(c Config, h *semelhttp.Config) { h.Lapsed = c.Lapsed },
		},
		{
			Name: "recover_url", Arg: "URL", Usage: "with lapsed recover: GET this whether the operation happened; {key} in it becomes the derived key",
			set:   one(parseRecoverURL, func(c *Config) *string { return &c.RecoverURL }),
			route: func(Config, *semelhttp.Config) {}, // see Route.RecoverURL
		},
		{
			Name: "recover_timeout", Arg: "DURATION", Default: "5s", Usage: "wait for the whole answer of recover_url; then nothing is known; less than the lease",
			set: one(parsePositive, func(c *Config) *time.Duration { return &c.RecoverTimeout }),
		},
		{
			Name: "sweep", Arg: "DURATION", Default: "off", Usage: "ask recover_url this often about all that is lapsed in the store, without waiting for retries",
			set: one(parseSweep, func(c *Config) *time.Duration { return &c.Sweep }),
		},
	}
}

// finding settings say which requests are guarded, and where their keys are.
func finding() []Setting {
	return []Setting{
		{
			Name: "key_header", Arg: "NAME", Default: semelhttp.DefaultHeader, List: true, Usage: "field that carries the key; repeatable",
			set:    many(ParseToken, func(c *Config) *[]string { return &c.KeyHeaders }),
			preset: func(h semelhttp.Config) string { return strings.Join(h.Headers, ",") },
			route:  func(c Config, h *semelhttp.Config) { h.Headers = c.KeyHeaders },
		},
		{
			Name: "max_key", Arg: "NUMBER", Default: strconv.Itoa(semel.MaxKeyLen), Usage: "length of the longest key in bytes; a longer one is refused with 400",
			set:    one(parseMaxKey, func(c *Config) *int { return &c.MaxKey }),
			preset: func(h semelhttp.Config) string { return strconv.Itoa(h.MaxKey) },
			route:  func(c Config, h *semelhttp.Config) { h.MaxKey = c.MaxKey },
		},
		{
			Name: "key_query", Arg: "NAME", Usage: "parameter of the query that may carry the key too",
			set:   one(parseText, func(c *Config) *string { return &c.KeyQuery }),
			route: func(c Config, h *semelhttp.Config) { h.KeyQuery = c.KeyQuery },
		},
		{
			Name: "key_member", Arg: "POINTER", Usage: "member of a JSON body that may carry the key too, a JSON Pointer such as /request_id",
			set:   one(parsePointer, func(c *Config) *string { return &c.KeyMember }),
			route: func(c Config, h *semelhttp.Config) { h.KeyMember = c.KeyMember },
		},
		{
			Name: "optional", Bool: true, Default: "false", Usage: "let requests without a key through, unguarded",
			set:   one(parseBool, func(c *Config) *bool { return &c.Optional }),
			route: func(c Config, h *semelhttp.Config) { h.Optional = c.Optional },
		},
		{
			Name: "fail_open", Bool: true, Default: "false", Usage: "while the store fails, let requests run unguarded, and twice if they are sent twice; each is logged",
			set:   one(parseBool, func(c *Config) *bool { return &c.FailOpen }),
			route: func(Config, *semelhttp.Config) {}, // see Route.FailOpen
		},
		{
			Name: "shadow", Bool: true, Default: "false", Usage: "refuse and replay nothing: log and count what would have happened",
			set:   one(parseBool, func(c *Config) *bool { return &c.Shadow }),
			route: func(Config, *semelhttp.Config) {}, // see Route.Shadow
		},
		{
			Name: "methods", Arg: "LIST", Default: strings.Join(semelhttp.DefaultMethods(), ","), List: true, Usage: "methods that are guarded; others pass through",
			set:    many(parseMethod, func(c *Config) *[]string { return &c.Methods }),
			preset: func(h semelhttp.Config) string { return strings.Join(h.Methods, ",") },
			route:  func(c Config, h *semelhttp.Config) { h.Methods = c.Methods },
		},
		{
			Name: "max_body", Arg: "SIZE", Default: "1MiB", Usage: "largest request body; a larger one is refused with 413",
			set:   one(ParseSize, func(c *Config) *int64 { return &c.MaxBody }),
			route: func(c Config, h *semelhttp.Config) { h.MaxBody = c.MaxBody },
		},
		{
			Name: "max_response", Arg: "SIZE", Default: "1MiB", Usage: "largest response body that is kept; a retry of a larger one gets 410",
			set:   one(ParseSize, func(c *Config) *int64 { return &c.MaxResponse }),
			route: func(c Config, h *semelhttp.Config) { h.MaxResponse = c.MaxResponse },
		},
	}
}

// lifetimes settings say how long an attempt and its record live.
func lifetimes() []Setting {
	return []Setting{
		{
			Name: "lease", Arg: "DURATION", Default: "30s", Usage: "protection of a running attempt; renewed while it runs",
			set:   one(parsePositive, func(c *Config) *time.Duration { return &c.Lease }),
			route: func(c Config, h *semelhttp.Config) { h.Lease = c.Lease },
		},
		{
			Name: "margin", Arg: "DURATION", Default: "2s", Usage: "waited after a lease before the attempt counts as lapsed",
			set: one(ParseDuration, func(c *Config) *time.Duration { return &c.Margin }),
		},
		{
			Name: "max_run", Arg: "DURATION", Default: "5m", Usage: "hard cap of one attempt",
			set:   one(parsePositive, func(c *Config) *time.Duration { return &c.MaxRun }),
			route: func(c Config, h *semelhttp.Config) { h.MaxRun = c.MaxRun },
		},
		{
			Name: "retention", Arg: "DURATION", Default: "24h", Usage: "how long a kept response is replayed",
			set:    one(parsePositive, func(c *Config) *time.Duration { return &c.Retention }),
			preset: func(h semelhttp.Config) string { return textOf(h.Retention) },
			route:  func(c Config, h *semelhttp.Config) { h.Retention = c.Retention },
		},
		{
			Name: "wait", Arg: "DURATION", Default: "off", Usage: "let a duplicate of a running request wait this long for its answer, up to 10s; off refuses it at once",
			set:   one(parseWait, func(c *Config) *time.Duration { return &c.Wait }),
			route: func(c Config, h *semelhttp.Config) { h.Wait = c.Wait },
		},
		{
			Name: "max_waiters", Arg: "NUMBER", Default: "1024", Usage: "requests that may wait at once; further ones are refused at once",
			set: one(parseCount, func(c *Config) *int { return &c.MaxWaiters }),
		},
		{
			Name: "max_waiters_per_key", Arg: "NUMBER", Default: "8", Usage: "requests that may wait at once for one key",
			set: one(parseCount, func(c *Config) *int { return &c.MaxWaitersPerKey }),
		},
		{
			Name: "wait_hints", Bool: true, Default: "false", Usage: "sidecars on one store tell each other when a request ends that one waits for; on postgres://, redis:// and nats://",
			set: one(parseBool, func(c *Config) *bool { return &c.WaitHints }),
		},
	}
}

// forwarding settings say how requests travel.
func forwarding() []Setting {
	return []Setting{
		{
			Name: "upstream_timeout", Arg: "DURATION", Default: "60s", Usage: "wait for the upstream's whole answer; then the outcome is unknown",
			set: one(parsePositive, func(c *Config) *time.Duration { return &c.UpstreamTimeout }),
		},
		{
			Name: "upstream_host", Arg: "HOST", Usage: "send this Host to the upstream instead of the client's",
			set: one(parseHost, func(c *Config) *string { return &c.UpstreamHost }),
		},
		{
			Name: "upstream_ca", Arg: "PATH", Usage: "trust these authorities for an https upstream instead of the system's, PEM",
			set: one(parseText, func(c *Config) *string { return &c.UpstreamCA }),
		},
		{
			Name: "upstream_cert", Arg: "PATH", Usage: "show this certificate to an https upstream, PEM; with upstream_key",
			set: one(parseText, func(c *Config) *string { return &c.UpstreamCert }),
		},
		{
			Name: "upstream_key", Arg: "PATH", Usage: "the private key of upstream_cert, PEM",
			set: one(parseText, func(c *Config) *string { return &c.UpstreamKey }),
		},
		{
			Name: "upstream_idle", Arg: "DURATION", Default: "1s", Usage: "keep unused upstream connections for this long; less than the upstream does",
			set: one(parsePositive, func(c *Config) *time.Duration { return &c.UpstreamIdle }),
		},
		{
			Name: "trust_forwarded", Bool: true, Default: "false", Usage: "keep the client's X-Forwarded-* fields: behind a proxy that sets them",
			set: one(parseBool, func(c *Config) *bool { return &c.TrustForwarded }),
		},
		{
			Name: "read_timeout", Arg: "DURATION", Default: "60s", Usage: "time in which a client must send a guarded request",
			set: one(parsePositive, func(c *Config) *time.Duration { return &c.ReadTimeout }),
		},
		{
			Name: "drain", Arg: "DURATION", Default: "30s", Usage: "on SIGTERM, let requests in flight end for this long",
			set: one(ParseDuration, func(c *Config) *time.Duration { return &c.Drain }),
		},
	}
}

// running settings say what concerns the process.
func running() []Setting {
	return []Setting{
		{
			Name: "log_format", Arg: "FORMAT", Default: "text", Usage: "log to stderr as text or json",
			Values: []string{"text", "json"},
			set:    one(parseLogFormat, func(c *Config) *string { return &c.LogFormat }),
		},
		{
			Name: "log_level", Arg: "LEVEL", Default: "info", Usage: "log from this level: debug, info, warn, error",
			Values: []string{"debug", "info", "warn", "error"},
			set:    one(parseLogLevel, func(c *Config) *logLevel { return &c.LogLevel }),
		},
		{
			Name: "secret_file", Arg: "PATH",
			Usage: "secret behind references and derived keys, at least 16 bytes; the same in every process",
			set:   one(parseText, func(c *Config) *string { return &c.SecretFile }),
		},
		{
			Name: "hash_keys", Bool: true, Default: "false",
			Usage: "store keys and scopes as keyed hashes only; needs secret_file, and holds for new records",
			set:   one(parseBool, func(c *Config) *bool { return &c.HashKeys }),
		},
		{
			Name: "keyring_file", Arg: "PATH", Usage: "encrypt kept responses under the keys in this file, see semel keys",
			set: one(parseText, func(c *Config) *string { return &c.KeyringFile }),
		},
		{
			Name: "keyring_read_plain", Bool: true, Default: "false",
			Usage: "also read responses that were kept before there was a keyring_file",
			set:   one(parseBool, func(c *Config) *bool { return &c.KeyringReadPlain }),
		},
		{
			Name: "otlp_endpoint", Arg: "URL",
			Usage: "send traces to this OpenTelemetry collector, http://HOST:4318, as OTLP over HTTP (JSON)",
			set:   one(parseOTLP, func(c *Config) *string { return &c.OTLPEndpoint }),
		},
		{
			Name: "otlp_steps", Bool: true, Default: "false",
			Usage: "trace each step of the store as a span of its own, which costs two more a request",
			set:   one(parseBool, func(c *Config) *bool { return &c.OTLPSteps }),
		},
	}
}

// one makes the setter of a single value.
func one[T any](parse func(string) (T, error), field func(*Config) *T) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		v, err := parse(values[len(values)-1])
		if err == nil {
			*field(c) = v
		}
		return err
	}
}

// many makes the setter of a list.
func many[T any](parse func(string) (T, error), field func(*Config) *[]T) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		var list []T
		for _, text := range values {
			for part := range strings.SplitSeq(text, ",") {
				v, err := parse(strings.TrimSpace(part))
				if err != nil {
					return err
				}
				list = append(list, v)
			}
		}
		*field(c) = list
		return nil
	}
}

// whole makes the setter of a list whose values may have commas.
func whole[T any](parse func(string) (T, error), field func(*Config) *[]T) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		var list []T
		for _, text := range values {
			v, err := parse(text)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		*field(c) = list
		return nil
	}
}

func find(name string) (Setting, bool) {
	for _, s := range Settings() {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}
