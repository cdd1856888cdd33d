// Package config gathers the settings of the command from four places: flags,
// SEMEL_* environment variables, one YAML file and defaults, in that order of
// precedence. [Settings] is the one table behind all four; every value is text
// until [Load] parses it, so that an error names where the text came from.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/semelhttp"
)

// Config is what the command runs with. [Load] makes it; [Settings] documents
// each field under its name.
type Config struct {
	Upstream                     *url.URL
	TLSCert                      string // "" for no TLS
	TLSKey                       string
	TLSClientCA                  string
	Listen                       string
	Admin                        string // "" when the admin listener is off
	Store                        string
	Migrate                      bool
	Scope                        Scope
	Preset                       semelhttp.Preset
	Settle                       []semelhttp.SettleRule
	Lapsed                       semel.Policy
	RecoverURL                   string // "" for none; [KeyPlaceholder] stands for the derived key
	RecoverTimeout               time.Duration
	Sweep                        time.Duration // 0 when it is off
	KeyHeaders                   []string
	MaxKey                       int
	KeyQuery                     string
	KeyMember                    string
	FailOpen                     bool
	Shadow                       bool
	Optional                     bool
	Methods                      []string
	MaxBody                      int64
	MaxResponse                  int64
	Lease                        time.Duration
	Margin                       time.Duration
	MaxRun                       time.Duration
	Retention                    time.Duration
	Wait                         time.Duration // 0 when it is off
	MaxWaiters                   int
	MaxWaitersPerKey             int
	WaitHints                    bool
	UpstreamTimeout              time.Duration
	UpstreamHost                 string
	UpstreamCA                   string
	UpstreamCert                 string
	UpstreamKey                  string
	UpstreamIdle                 time.Duration
	TrustForwarded               bool
	ReadTimeout                  time.Duration
	Drain                        time.Duration
	LogFormat                    string
	LogLevel                     slog.Level
	SecretFile                   string
	HashKeys                     bool
	Console                      bool           // the pages for operators, for everybody who reaches admin
	ConsoleTokens                string         // the file of those who may sign in to them; "" for none
	ConsoleUserHeader            string         // the field of a proxy that signs people in; "" for none
	ConsoleUserFrom              []netip.Prefix // where that proxy is
	ConsoleWriters               []string       // who of its users may act
	ConsoleHosts, ConsoleOrigins []string
	ConsoleName                  string
	// KeyringFile has the keys of kept responses; "" keeps them in clear.
	KeyringFile      string
	KeyringReadPlain bool
	OTLPEndpoint     string // "" when only the OTEL_ variables count
	OTLPSteps        bool   // a span for each step of the store
	// Routes come from the file only.
	Routes []Route

	origin map[string]Source
	texts  map[string][]string // of each setting, as they were written
}

// leastLease is the least lease of the engine, see [semel.Config].
const leastLease = time.Second

// CheckProxy reports what keeps the proxy from starting with c although each
// value by itself is right.
func (c Config) CheckProxy() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, &ValueError{Setting: name, Source: c.origin[name], Err: fmt.Errorf(format, args...)})
	}
	if c.Upstream == nil {
		errs = append(errs, ErrNoUpstream)
	} else {
		c.checkUpstream(c.Upstream, func(format string, args ...any) { bad("upstream", format, args...) })
	}
	if c.Lease < leastLease {
		bad("lease", "%v is less than %v", c.Lease, leastLease)
	}
	if c.MaxRun < c.Lease {
		bad("max_run", "%v is less than the lease of %v from %v", c.MaxRun, c.Lease, c.origin["lease"])
	}
	if c.Retention < c.MaxRun {
		bad("retention", "%v is less than the max_run of %v from %v", c.Retention, c.MaxRun, c.origin["max_run"])
	}
	if c.Admin == c.Listen && !anyPort(c.Listen) {
		bad("admin", "%s is the address of listen too", c.Admin)
	}
	if kind, _, _ := strings.Cut(c.Store, ":"); c.WaitHints && (kind == "sqlite" || kind == "mysql") {
		bad("wait_hints", "a store of kind %q carries no hints: leave it out, or use postgres://, redis:// or nats://", kind)
	}
	if c.Scope.needsCert() && c.TLSClientCA == "" {
		bad("scope", "%w", ErrNoTLS)
	}
	if err := keyFields(c.KeyHeaders); err != nil {
		bad("key_header", "%w", err)
	}
	return errors.Join(slices.Concat(errs, c.checkConsole(), c.checkTLS(), c.checkRoutes(), c.checkRecovery())...)
}

// keyFields refuses fields that cannot carry a key to the upstream.
func keyFields(names []string) error {
	if err := proxy.CheckKeys(names); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "proxy: "))
	}
	return nil
}

// checkUpstream refuses an upstream that is the proxy itself.
func (c Config) checkUpstream(to *url.URL, bad func(format string, args ...any)) {
	for _, own := range []struct{ name, addr string }{{"listen", c.Listen}, {"admin", c.Admin}} {
		if reaches(to, own.addr) {
			bad("%v is the address of %s from %v: %w", to, own.name, c.origin[own.name], ErrItself)
		}
	}
}

// checkTLS finds files of which one is missing, and those that nothing would use.
func (c Config) checkTLS() []error {
	var errs []error
	bad := func(name, text string) {
		errs = append(errs, &ValueError{Setting: name, Source: c.origin[name], Err: errors.New(text)})
	}
	https := c.Upstream != nil && c.Upstream.Scheme == "https"
	for _, r := range c.Routes {
		https = https || r.Upstream != nil && r.Upstream.Scheme == "https"
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad(given(c.TLSCert, "tls_cert", "tls_key"), "tls_cert and tls_key need one another")
	}
	if (c.UpstreamCert == "") != (c.UpstreamKey == "") {
		bad(given(c.UpstreamCert, "upstream_cert", "upstream_key"), "upstream_cert and upstream_key need one another")
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		bad("tls_client_ca", "it needs TLS: give tls_cert and tls_key")
	}
	for _, file := range []struct{ name, path string }{{"upstream_ca", c.UpstreamCA}, {"upstream_cert", c.UpstreamCert}} {
		if file.path != "" && !https && c.Upstream != nil {
			bad(file.name, "no upstream is https")
		}
	}
	return errs
}

// given returns the name of the one that is set.
func given(first, name, other string) string {
	if first != "" {
		return name
	}
	return other
}

// ErrNoTLS says that the proxy cannot see client certificates.
var ErrNoTLS = errors.New("the proxy sees no client certificates: cert and cert-subject need tls_client_ca")

// ErrNoUpstream says that nothing tells the proxy where to forward.
var ErrNoUpstream = errors.New("upstream: no server to forward to")

// ErrItself says that the proxy would forward to itself.
var ErrItself = errors.New("the proxy would forward to itself")

// ValueError is a value that cannot be used.
type ValueError struct {
	Setting string // its name in the file
	Source  Source
	Err     error
}

// Error names the source, the setting and the reason.
func (e *ValueError) Error() string {
	if e.Source.kind != fromFlag && e.Source.kind != fromEnv {
		return fmt.Sprintf("%v: %s: %v", e.Source, e.Setting, e.Err)
	}
	return fmt.Sprintf("%v: %v", e.Source, e.Err) // a flag or a variable names the setting
}

// Where names a setting for an error that comes up later: "--listen",
// "SEMEL_LISTEN", "semel.yaml:7: listen", or "listen" for the default.
func (c Config) Where(name string) string {
	switch source := c.origin[name]; source.kind {
	case fromEnv, fromFlag:
		return source.name
	case fromFile:
		return source.String() + ": " + name
	case fromDefault, fromPreset:
	}
	return name
}

// Unwrap returns the reason.
func (e *ValueError) Unwrap() error { return e.Err }

// Source says where a value came from.
type Source struct {
	kind sourceKind
	name string // the flag, the variable or the file
	line int
}

type sourceKind uint8

const (
	fromDefault sourceKind = iota // the zero Source
	fromPreset
	fromFile
	fromEnv
	fromFlag
)

// String returns "--lease", "SEMEL_LEASE", "semel.yaml:7", "the preset paypal" or "the default".
func (s Source) String() string {
	switch s.kind {
	case fromFile:
		return fmt.Sprintf("%s:%d", s.name, s.line)
	case fromEnv, fromFlag:
		return s.name
	case fromPreset:
		return "the preset " + s.name
	case fromDefault:
	}
	return "the default"
}
