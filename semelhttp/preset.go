package semelhttp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Preset is the contract of a known API: which requests carry a key and where, what is
// kept and for how long, and how refusals and replays look. docs/presets.md has each with
// its sources. Every field of [Config] that is set wins over it.
//
// Under every preset a guarded request needs its key unless Config.Optional is set, also
// where the API itself lets it run without one.
type Preset uint8

// The presets.
const (
	// IETF follows draft-ietf-httpapi-idempotency-key-header-07: problem
	// details, 400, 409, 422. It keeps what [Settle] says. The default.
	IETF Preset = iota
	// Stripe is Stripe's API v1: its error envelope with its statuses (400 for
	// another request under the same key) and Stripe-Should-Retry, so that
	// Stripe's client libraries give their typed errors and do not retry what
	// is final. It keeps what [Settle] says.
	Stripe
	// SuccessOnly is IETF, but keeps what [SettleSuccess] says.
	SuccessOnly
	// FreezeAll is IETF, but keeps every whole answer.
	FreezeAll
	// StripeV2 is Stripe's API v2: as Stripe, for 30 days, but a failure is not the
	// outcome, see [SettleResumed].
	StripeV2
	// Adyen answers with Adyen's errors and transient-error, and gives the key back in
	// the answer. Keys have up to 64 bytes and 7 days. It keeps what [SettleAdyen] says.
	Adyen
	// PayPal takes its keys from PayPal-Request-Id, answers with PayPal's errors, and
	// repeats 201 as 200. Keys have up to 108 bytes and 45 days.
	PayPal
	// OpenBankingUK follows the Read/Write API 4.0 of Open Banking UK: keys of up to 40
	// bytes in x-idempotency-key, OBErrorResponse1.
	OpenBankingUK
	// OASISRepeatable follows Repeatable Requests 1.0 of OASIS, which OData and Azure
	// use: a key in Repeatability-Request-ID with the time in Repeatability-First-Sent,
	// after which a request that may be forgotten is refused and not run again.
	OASISRepeatable
	// Connect answers calls of Connect, gRPC-Web and gRPC in the form of their protocol,
	// which the media type tells, and everything else in Connect's. It keeps what
	// [SettleRPC] says. See docs/rpc.md.
	Connect
	// GRPC is Connect, but answers what is no call with problem details.
	GRPC
)

// Presets returns all presets.
func Presets() []Preset {
	all := make([]Preset, len(presets))
	for i := range presets {
		all[i] = Preset(i)
	}
	return all
}

// String returns the name, such as "ietf" or "openbanking-uk".
func (p Preset) String() string {
	if row := p.row(); row != nil {
		return row.name
	}
	return "invalid"
}

// ParsePreset reads what [Preset.String] writes.
func ParsePreset(s string) (Preset, error) {
	names := make([]string, len(presets))
	for i := range presets {
		if names[i] = presets[i].name; names[i] == s {
			return Preset(i), nil
		}
	}
	last := len(names) - 1
	return 0, fmt.Errorf("semelhttp: unknown preset %q: want %s or %s", s, strings.Join(names[:last], ", "), names[last])
}

// Settle returns the table of the preset, nil for one that is none.
func (p Preset) Settle() SettleFunc {
	if row := p.row(); row != nil {
		return row.settle.is
	}
	return nil
}

// row returns nil for a preset that is none.
func (p Preset) row() *presetRow {
	if int(p) < len(presets) {
		return &presets[p]
	}
	return nil
}

// WithPreset returns c with what it leaves to its preset filled in: Headers, Methods,
// MaxKey, Settle, Render, and Retention where the preset has its own. [New] does so by
// itself. An invalid preset fills in nothing.
func (c Config) WithPreset() Config {
	row := c.Preset.row()
	if row == nil {
		return c
	}
	if len(c.Headers) == 0 {
		for _, name := range row.headers.is {
			c.Headers = append(c.Headers, http.CanonicalHeaderKey(name))
		}
	}
	if len(c.Methods) == 0 {
		c.Methods = slices.Clone(row.methods.is)
	}
	if c.MaxKey == 0 {
		c.MaxKey = row.maxKey.is
	}
	if c.Retention == 0 {
		c.Retention = row.retention.is
	}
	if c.Settle == nil {
		c.Settle = row.settle.is
	}
	if c.Render == nil {
		c.Render = row.render.is
	}
	return c
}

// presetRow is one preset as data.
type presetRow struct {
	name      string
	headers   cell[[]string]      // the fields of the key, as the API writes them
	maxKey    cell[int]           // bytes
	methods   cell[[]string]      // that are guarded
	demands   cell[bool]          // whether the API itself refuses a request without a key; Semel does
	retention cell[time.Duration] // 0 for the engine's
	settle    cell[SettleFunc]    // what is kept
	render    cell[RenderFunc]    // how refusals look
	replayed  cell[field]         // set on a replay
	accepted  cell[field]         // set on every answer of the operation, the first included
	echo      cell[string]        // the field that gives the key back with an answer of the operation
	created   cell[int]           // the status of a replay whose kept status is 201; 0 for 201
	firstSent cell[bool]          // whether Repeatability-First-Sent is needed
}

// cell is one thing of a preset, with what says so.
type cell[T any] struct {
	is   T
	from string
}

// field is a response field with its value; none without a name.
type field struct{ name, value string }

// mark sets the fields of an answer of the operation. They belong to the request at hand,
// and are set before the handler runs, so they are not kept.
func (p *presetRow) mark(h http.Header, id string) {
	if name := p.echo.is; name != "" {
		h[name] = []string{id}
	}
	if f := p.accepted.is; f.name != "" {
		h[f.name] = []string{f.value}
	}
}

// unmark takes them away again for a refusal.
func (p *presetRow) unmark(h http.Header) {
	delete(h, p.echo.is)
	delete(h, p.accepted.is.name)
}

// replayStatus is the status of a replay.
func (p *presetRow) replayStatus(kept int) int {
	if kept == http.StatusCreated && p.created.is != 0 {
		return p.created.is
	}
	return kept
}
