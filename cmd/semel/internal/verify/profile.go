package verify

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Profile is what an API promises about its keys, as data.
type Profile struct {
	// Name is that of the preset of semelhttp that keeps the promise; minimal has none, and the preset grpc no profile.
	Name string
	// Source says where the promise is written down.
	Source string
	// Header is the field that carries the key.
	Header string
	// FirstSent is a field with the time of the first try, which every try must carry; "" for none.
	FirstSent string
	// Required: a request without a key is refused.
	Required bool
	// MaxKey is the longest key in bytes; 0 when none is promised.
	MaxKey int
	// Conflict, InFlight, Missing and Invalid are the statuses of refusals: the key of
	// another request, of one that still runs, none, and one that is none. Several where
	// the source leaves it open, none where any 4xx will do.
	Conflict, InFlight, Missing, Invalid []int
	// Form of the body of refusals.
	Form Form
	// Marker and Mark are the field that marks a replay and its value; "" for none.
	Marker, Mark string
	// MarksAll: every answer has the marker, the first too.
	MarksAll bool
	// EchoesKey: answers carry the key in its field.
	EchoesKey bool
	// KeepsErrors: a final error is replayed. KeepsAll: so is one that says "try again",
	// or its key is held: it does not run again.
	KeepsErrors, KeepsAll bool
	// Replayed maps the status of a first answer to that of its replay where they differ.
	Replayed map[int]int
	// NewestState: a replay may show the resource as it is now.
	NewestState bool
}

// Form is what the body of a refusal looks like.
type Form uint8

// The forms.
const (
	FormAny     Form = iota // nothing is promised
	FormProblem             // RFC 9457
	FormStripe              // {"error": {"type": …, "message": …}}
)

const (
	fieldKey      = "Idempotency-Key"
	fieldReplayed = "Idempotent-Replayed"
)

var refusesOther = []int{http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity} // where the source does not say which

// ietf is the draft, and what Semel adds to it: the marker, the longest key.
var ietf = Profile{
	Name: "ietf", Source: "draft-ietf-httpapi-idempotency-key-header-07 section 2; Semel: problems.md, guarantees.md",
	Header: fieldKey, Required: true, MaxKey: 255,
	Conflict: []int{422}, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400},
	Form: FormProblem, Marker: fieldReplayed, Mark: "true", KeepsErrors: true,
}

// profiles are in the order in which they are listed. What a source does not
// say is not asked for.
var profiles = []Profile{
	ietf,
	{
		Name: "stripe", Source: "docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-low-level, stripe-go and stripe-ruby",
		Header: fieldKey, MaxKey: 255,
		Conflict: []int{400}, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400},
		Form: FormStripe, Marker: fieldReplayed, Mark: "true", EchoesKey: true, KeepsErrors: true,
	},
	{
		Name: "stripe-v2", Source: "docs.stripe.com/api-v2-overview: failed work is resumed; statuses and marker are not published",
		Header: fieldKey, MaxKey: 255,
		Conflict: refusesOther, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400},
		Form: FormStripe, EchoesKey: true,
	},
	{
		Name: "adyen", Source: "docs.adyen.com/development-resources/api-idempotency; the answer to another request is not published",
		Header: fieldKey, MaxKey: 64,
		Conflict: refusesOther, InFlight: []int{409, 422}, EchoesKey: true, KeepsErrors: true,
	},
	{
		Name: "paypal", Source: "github.com/paypal/api-standards, developer.paypal.com/reference/guidelines/idempotency; OpenAPI of Orders v2: a key is required with a payment source only",
		Header: "PayPal-Request-Id", MaxKey: 108,
		Conflict: []int{422}, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400, 422},
		Replayed: map[int]int{201: 200}, NewestState: true,
	},
	{
		Name: "openbanking-uk", Source: "UK Open Banking Read/Write API 4.0, payment initiation; statuses but 400 are not published",
		Header: "X-Idempotency-Key", Required: true, MaxKey: 40,
		Conflict: refusesOther, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400},
		KeepsErrors: true,
	},
	{
		Name: "oasis-repeatable", Source: "OASIS Repeatable Requests 1.0; in flight: Azure Communication Services",
		Header: "Repeatability-Request-ID", FirstSent: "Repeatability-First-Sent",
		Conflict: []int{400}, InFlight: []int{409}, Missing: []int{400}, Invalid: []int{400},
		Marker: "Repeatability-Result", Mark: "accepted", MarksAll: true,
	},
	ietf.as("success-only", "profile ietf, but errors are not kept", func(p *Profile) { p.KeepsErrors = false }),
	ietf.as("freeze-all", "profile ietf, but every answer is kept", func(p *Profile) { p.KeepsAll = true }),
	ietf.as("connect", "profile ietf, with the errors of connectrpc.com/docs/protocol; calls of Connect in JSON", func(p *Profile) {
		p.Conflict, p.Form, p.KeepsAll = []int{400}, FormAny, true
	}),
	{
		Name: "minimal", Source: "what any idempotency key must do: one effect, one answer",
		Header: fieldKey, KeepsErrors: true,
	},
}

// as is p under another name, changed.
func (p Profile) as(name, source string, change func(*Profile)) Profile {
	p.Name, p.Source = name, source
	change(&p)
	return p
}

// Profiles returns all profiles.
func Profiles() []Profile { return slices.Clone(profiles) }

// ProfileNames returns the names of all profiles.
func ProfileNames() []string {
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	return names
}

// ProfileOf finds a profile by its name.
func ProfileOf(name string) (Profile, error) {
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("verify: unknown profile %q: want %s", name, strings.Join(ProfileNames(), ", "))
}

// allows reports whether status is among wanted, or is any 4xx when none is.
func allows(wanted []int, status int) bool {
	if len(wanted) == 0 {
		return isRefusal(status)
	}
	return slices.Contains(wanted, status)
}

// say writes statuses for a person.
func say(wanted []int) string {
	if len(wanted) == 0 {
		return "a 4xx"
	}
	texts := make([]string, len(wanted))
	for i, status := range wanted {
		texts[i] = fmt.Sprint(status)
	}
	return strings.Join(texts, " or ")
}

func isSuccess(status int) bool { return status/100 == 2 }
func isRefusal(status int) bool { return status/100 == 4 }

// replayed is the status of a replay of a first answer.
func (p Profile) replayed(first int) int {
	if status, ok := p.Replayed[first]; ok {
		return status
	}
	return first
}

// tells reports whether the marker tells a replay from a first answer.
func (p Profile) tells() bool { return p.Marker != "" && !p.MarksAll }

// marked reports whether h has the marker.
func (p Profile) marked(h http.Header) bool {
	return p.Marker != "" && strings.EqualFold(h.Get(p.Marker), p.Mark)
}
