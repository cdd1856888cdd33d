package semelhttp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// Defaults of [Config].
const (
	DefaultHeader      = "Idempotency-Key"
	DefaultMaxBody     = 1 << 20
	DefaultMaxResponse = 1 << 20
)

// DefaultMethods are the methods that are guarded when Config.Methods is empty and the
// preset has none of its own.
// Safe methods need no key (RFC 9110 section 9.2.1).
func DefaultMethods() []string {
	return []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
}

// Config is what a [Middleware] may be told. The zero value is safe.
type Config struct {
	// Preset is the contract of an API that clients know, see [Preset]. It says what
	// Headers, MaxKey, Methods, Settle and Render are where they are not set, and for some
	// presets Retention. Default IETF.
	Preset Preset
	// Headers are the names of the field that carries the key; the first is
	// the one that documentation should name. Two names with different keys in
	// one request are refused. Default: the preset's, mostly Idempotency-Key.
	Headers []string
	// MaxKey is the length of the longest key in bytes, from 1 to 255; a longer one is
	// refused with key-invalid. Default: the preset's, mostly 255.
	MaxKey int
	// KeyQuery names a parameter of the query that may carry the key too, as it is. Two
	// places with different keys are refused. Default: none.
	KeyQuery string
	// KeyMember is a JSON Pointer (RFC 6901) to a member of the body that may carry the
	// key too, such as "/request_id" (AIP-155), if the body is JSON by its media type. The
	// scope is then asked for, and the body read, before it is known whether there is a
	// key. A member that is no text, and a body that names it twice, are refused.
	// Default: none.
	KeyMember string
	// Optional lets requests without a key through, unguarded. Default: they
	// are refused with key-missing.
	Optional bool
	// Methods that are guarded; others pass through. Default: the preset's, mostly POST,
	// PUT, PATCH and DELETE.
	Methods []string
	// MaxBody is the largest request body in bytes; a larger one is refused
	// with body-too-large. The body is read whole, because the fingerprint
	// needs it. Default 1 MiB.
	MaxBody int64
	// MaxResponse is the largest response body in bytes that is kept. A larger
	// one goes out as it is, its key is never free again, and a retry is told
	// response-not-kept. Default 1 MiB.
	MaxResponse int64
	// Fingerprint chooses what makes two requests the same. Default: method,
	// path, query, media type and body bytes.
	Fingerprint Fingerprint
	// Settle says how an answer of the handler ends the attempt. Default: the
	// preset's. The handler itself may overrule it, see [semel.Claim.Settle].
	Settle SettleFunc
	// Omit lists response fields that are not kept although they are
	// end-to-end, such as Set-Cookie. Default none: a replay that lacks a
	// field is a different answer.
	Omit []string
	// OnReplay is called before a replay, to authorise again: an error refuses
	// it with replay-refused. The record must not be changed. Default: the
	// scope alone decides who may see a kept answer.
	OnReplay func(r *http.Request, rec semel.Record) error
	// Retention, MaxRun, Lease, Lapsed and Recover belong to the route, see [semel.Call].
	// Default: the engine's, and for Retention the preset's if it has one.
	Retention time.Duration
	MaxRun    time.Duration
	Lease     time.Duration
	Lapsed    semel.Policy
	Recover   semel.RecoverFunc
	// Wait is for how long a duplicate of a request that runs waits for its answer before
	// it is refused with in-flight: up to [semel.MaxWait], and for less when its client
	// leaves or too many wait, see [semel.Config]. Its body is kept meanwhile. It has no effect in shadow mode.
	// Default: it is refused at once.
	Wait time.Duration
	// DeferEffects promises that the route's handlers have no effect before
	// [semel.Claim.BeginEffects], or only in a transaction of [CompleteIn]. Default:
	// a handler may have effects from its first line on. See [semel.Call].
	DeferEffects bool
	// Route names the route for the operator and for metrics, see [semel.Call]. Default:
	// the pattern of the [http.ServeMux] around the middleware, if there is one.
	Route string
	// Tx runs the route's handlers in transactions of this kind, see
	// [Middleware.InTx]. Default: none.
	Tx semel.Transactions
	// FailOpen is asked when the store has failed before a request could run: true lets
	// it run unguarded, its answer marked with Semel-Stored: false, and twice if it
	// is sent twice. It is not asked about a request that may have run, such as one
	// whose record is damaged. Default: the request is refused with store-unavailable. It
	// must not stand beside Tx, whose store is the handler's database.
	FailOpen func(r *http.Request, err error) bool
	// Shadow, when it is set, refuses and replays nothing: every request reaches the
	// handler, and this is called before that with what would have happened. Records are
	// kept in scopes of their own, which no guarded request meets. The first request of
	// a key is answered when its answer is stored. It must be safe for concurrent use. It
	// must not stand beside Tx. Default: none.
	Shadow func(r *http.Request, would Shadowed)
	// OnRefuse is called before each refusal of the middleware, to log or count. p is what
	// the client will see, in Semel's own words. It must be safe for concurrent use.
	// Default: none.
	OnRefuse func(r *http.Request, p problem.Details)
	// Render writes a refusal. Default: the preset's. It must write p.Status, or
	// what has its meaning in a form of its own.
	Render RenderFunc
	// Logger gets what the client must not be told. Default [slog.Default].
	Logger *slog.Logger
}

// RenderFunc writes a refusal of Semel. Retry-After is set in w's header already.
type RenderFunc func(w http.ResponseWriter, r *http.Request, p problem.Details)

// checked returns c with every default but those of its preset.
func (c Config) checked() (Config, error) {
	if c.Preset.row() == nil {
		return c, fmt.Errorf("semelhttp: invalid preset %d", c.Preset)
	}
	var err error
	if len(c.Methods) > 0 {
		if c.Methods, err = checkMethods("Config", c.Methods); err != nil {
			return c, err
		}
	}
	if c.Headers, err = canonicalNames("Headers", c.Headers); err != nil {
		return c, err
	}
	if c.Omit, err = canonicalNames("Omit", c.Omit); err != nil {
		return c, err
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxResponse == 0 {
		c.MaxResponse = DefaultMaxResponse
	}
	if c.MaxBody < 0 || c.MaxResponse < 0 || c.Retention < 0 || c.MaxRun < 0 || c.Lease < 0 || c.Wait < 0 {
		return c, errors.New("semelhttp: Config.MaxBody, MaxResponse, Retention, MaxRun, Lease and Wait must not be negative")
	}
	if c.MaxKey < 0 || c.MaxKey > semel.MaxKeyLen {
		return c, fmt.Errorf("semelhttp: Config.MaxKey is %d, not from 1 to %d", c.MaxKey, semel.MaxKeyLen)
	}
	if c.Wait > semel.MaxWait {
		return c, fmt.Errorf("semelhttp: Config.Wait is %v, more than %v", c.Wait, semel.MaxWait)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Tx != nil && (c.FailOpen != nil || c.Shadow != nil) {
		return c, errors.New("semelhttp: Config.Tx stands beside FailOpen or Shadow: a transaction needs its store")
	}
	return c, c.checkLapsed()
}

func (c Config) checkLapsed() error {
	if c.Lapsed > semel.Recover {
		return fmt.Errorf("semelhttp: invalid policy %d", c.Lapsed)
	}
	if (c.Lapsed == semel.Recover) != (c.Recover != nil) {
		return errors.New("semelhttp: Config.Recover and the policy recover need one another")
	}
	return nil
}

// checkMethods returns a copy of methods, or the default ones. Methods are
// case-sensitive (RFC 9110 section 9.1), so "post" would guard nothing.
func checkMethods(where string, methods []string) ([]string, error) {
	if len(methods) == 0 {
		return DefaultMethods(), nil
	}
	for _, m := range methods {
		if !isToken(m) || m != strings.ToUpper(m) {
			return nil, fmt.Errorf("semelhttp: %s.Methods: %q is not a method: they are written in upper case", where, m)
		}
	}
	return slices.Clone(methods), nil
}

// canonicalNames returns a copy of names in canonical form.
func canonicalNames(field string, names []string) ([]string, error) {
	names = slices.Clone(names)
	for i, n := range names {
		if !isToken(n) {
			return nil, fmt.Errorf("semelhttp: Config.%s: %q is not a field name", field, n)
		}
		names[i] = http.CanonicalHeaderKey(n)
	}
	return names, nil
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r < 0x7f && r > ' ') || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
	}) < 0
}
