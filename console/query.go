package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// place is the cursor of a list in an address: microseconds since 1970, a dot, the slot.
func formatPlace(p semel.Place) string {
	if p.IsZero() {
		return ""
	}
	return strconv.FormatInt(p.CreatedAt.UnixMicro(), 10) + "." + p.Slot.String()
}

func parsePlace(text string) (semel.Place, error) {
	if text == "" {
		return semel.Place{}, nil
	}
	micros, slot, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != micros {
		return semel.Place{}, &badRequestError{"The place in the list cannot be read. Begin at its first page."}
	}
	s, err := operator.ParseSlot(slot)
	if err != nil || s.String() != slot {
		return semel.Place{}, &badRequestError{"The place in the list cannot be read. Begin at its first page."}
	}
	return semel.Place{CreatedAt: time.UnixMicro(n), Slot: s}, nil
}

// choices are the filter of a list, as they stand in its address.
type choices struct {
	State, Scope, Route, MinAge string
	States, Ages                []choice
}

type choice struct {
	Value, Text string
	Chosen      bool
}

var (
	stateChoices = []choice{
		{Value: "", Text: "any state"},
		{Value: "reserved", Text: "in flight"},
		{Value: "lapsed", Text: "lapsed"},
		{Value: "completed", Text: "completed"},
		{Value: "free", Text: "free"},
	}
	ageChoices = []choice{
		{Value: "", Text: "any age"},
		{Value: "10s", Text: "10 seconds"},
		{Value: "1m", Text: "a minute"},
		{Value: "5m", Text: "5 minutes"},
		{Value: "1h", Text: "an hour"},
		{Value: "24h", Text: "a day"},
	}
)

// maxAge bounds what somebody may type into an address.
const maxAge = 100 * 365 * 24 * time.Hour

// parseChoices reads a filter.
func parseChoices(q url.Values) (choices, semel.Filter, error) {
	c := choices{State: q.Get("state"), Scope: q.Get("scope"), Route: q.Get("route"), MinAge: q.Get("older")}
	f := semel.Filter{Scope: c.Scope, Route: c.Route}
	if len(c.Scope) > semel.MaxScopeLen || len(c.Route) > semel.MaxRouteLen || !utf8.ValidString(c.Scope+c.Route) {
		return c, f, &badRequestError{"A scope and a route have up to 255 bytes of UTF-8."}
	}
	switch c.State {
	case "":
	case "reserved":
		f.States = []semel.State{semel.StateReserved}
	case "lapsed":
		f.States, f.Lapsed = []semel.State{semel.StateReserved}, true
	case "completed":
		f.States = []semel.State{semel.StateCompleted}
	case "free":
		f.States = []semel.State{semel.StateFree}
	default:
		return c, f, &badRequestError{"There is no such state."}
	}
	if c.MinAge != "" {
		age, err := time.ParseDuration(c.MinAge)
		if err != nil || age <= 0 || age > maxAge {
			return c, f, &badRequestError{"An age is a length of time, such as 90s or 24h."}
		}
		f.MinAge = age
	}
	var err error
	f.After, err = parsePlace(q.Get("after"))
	c.States, c.Ages = chosen(stateChoices, c.State), chosen(ageChoices, c.MinAge)
	return c, f, err
}

// chosen marks one choice, and adds it if it is none of them.
func chosen(all []choice, value string) []choice {
	marked := make([]choice, 0, len(all)+1)
	found := false
	for _, one := range all {
		one.Chosen = one.Value == value
		found = found || one.Chosen
		marked = append(marked, one)
	}
	if !found {
		marked = append(marked, choice{value, value, true})
	}
	return marked
}

// next is the address of the page after this one; empty when there is none.
func next(path string, q url.Values, place semel.Place) string {
	if place.IsZero() {
		return ""
	}
	forward := url.Values{"after": {formatPlace(place)}}
	for _, name := range []string{"q", "state", "scope", "route", "older"} {
		if v := q.Get(name); v != "" {
			forward.Set(name, v)
		}
	}
	return path + "?" + forward.Encode()
}

// parseBefore reads the cursor of the trail.
func parseBefore(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, &badRequestError{"The place in the trail cannot be read. Begin at its first page."}
	}
	return n, nil
}
