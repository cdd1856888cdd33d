package verify

import (
	"context"
	"slices"
)

// Severity is how much a rule counts.
type Severity uint8

// The severities.
const (
	Info   Severity = iota // worth knowing
	Should                 // a client or a cache may suffer
	Must                   // an operation may happen twice, get lost, or be seen by another
)

// String returns "info", "should" or "must".
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Should:
		return "should"
	case Must:
		return "must"
	}
	return "invalid"
}

// Rule is one thing that a client may rely on.
type Rule struct {
	// ID is stable.
	ID string
	// Title says what holds.
	Title string
	// Severity says what it means when it does not.
	Severity Severity
	// Source is where it is written.
	Source string
	// Remedy says what to change.
	Remedy string

	needs needs
	check func(context.Context, *session) (verdict, error)
}

// Group is the first word of the ID.
func (r Rule) Group() string {
	for i := range r.ID {
		if r.ID[i] == '-' {
			return r.ID[:i]
		}
	}
	return r.ID
}

// needs is what a target or a profile must have for a rule to be tried.
type needs uint16

const (
	needEffects needs = 1 << iota
	needCaller
	needURL
	needDeclined
	needTransient
	needRequired // the profile requires a key
	needMarker
	needTells // the marker is on replays alone
	needForm
	needLength // the profile has a longest key
)

// missing are the reasons to skip a rule, in the order of needs.
var missing = []struct {
	need   needs
	has    func(Target, Profile) bool
	reason string
}{
	{needEffects, func(t Target, _ Profile) bool { return t.Effects.URL != nil }, "give --effects, a URL that counts what was done"},
	{needCaller, func(t Target, _ Profile) bool { return len(t.Other) > 0 }, "give --other-header, the credentials of another caller"},
	{needURL, func(t Target, _ Profile) bool { return t.OtherURL != nil }, "give --other-url, another endpoint that takes the same request"},
	{needDeclined, func(t Target, _ Profile) bool { return t.Declined != "" }, "give --declined-body, a request that is refused for good"},
	{needTransient, func(t Target, _ Profile) bool { return t.Transient != "" }, "give --transient-body, a request that gets 503 the first time"},
	{needDeclined, func(_ Target, p Profile) bool { return p.KeepsErrors }, "the profile does not keep errors"},
	{needTransient, func(_ Target, p Profile) bool { return !p.KeepsAll }, "under the profile no answer lets the request run again"},
	{needRequired, func(_ Target, p Profile) bool { return p.Required }, "the profile does not require a key"},
	{needMarker, func(_ Target, p Profile) bool { return p.Marker != "" }, "the profile has no marker"},
	{needTells, func(_ Target, p Profile) bool { return !p.MarksAll }, "the profile marks every answer"},
	{needForm, func(_ Target, p Profile) bool { return p.Form != FormAny }, "the profile does not say what refusals look like"},
	{needLength, func(_ Target, p Profile) bool { return p.MaxKey > 0 }, "the profile promises no length"},
}

// Skipped says why the rule cannot be tried on a target under a profile, or "". That others
// cannot is only known once they are tried.
func (r Rule) Skipped(t Target, p Profile) string {
	for _, m := range missing {
		if r.needs&m.need != 0 && !m.has(t, p) {
			return m.reason
		}
	}
	return ""
}

// Rules returns all rules in the order in which they are tried.
func Rules() []Rule {
	return slices.Concat(replayRules, conflictRules, flightRules, keyRules, scopeRules, cutRules, wireRules, refusalRules, lateRules)
}
