package cli

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	operators "github.com/semel-go/semel/operator"
)

// deed is a list with keys as the trail tells of it: the reason that was given, and behind
// it what was chosen, so that whoever reads the trail can tell what was shown. The words are
// those of the flags. What a person writes cannot take its place: it is always the last.
func (o *operator) deed(l *listing) (operators.Deed, error) {
	chosen := " [" + o.chosen(l) + "]"
	reason := strings.TrimSpace(l.reveal.reason)
	if room := semel.MaxAuditLen - len(chosen); len(reason) > room {
		return operators.Deed{}, wrong("make it shorter", "--reason: it has %d bytes, more than %d beside what is listed", len(reason), room)
	}
	return operators.Deed{Action: semel.ActionReveal, Reason: reason + chosen}, nil
}

// chosen writes the filter of l on one line.
func (o *operator) chosen(l *listing) string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	quoted := func(name, value string) {
		if value != "" {
			add(name, strconv.Quote(value))
		}
	}
	if l.lapsed {
		words = append(words, "lapsed")
	}
	add("state", strings.Join(l.states, ","))
	quoted("scope", o.trailScope(l.scope))
	quoted("route", l.route)
	add("older-than", l.older)
	add("newer-than", l.newer)
	add("after", l.after)
	add("limit", strconv.Itoa(l.limit))
	return strings.Join(words, " ")
}

// trailScope is a scope as the trail may have it: where scopes are stored as hashes, one
// that was given by its true name is hashed too.
func (o *operator) trailScope(scope string) string {
	if digest, err := hex.DecodeString(scope); scope == "" || !o.Hashes() || err == nil && len(digest) == len(semel.Slot{}) {
		return scope
	}
	return o.Stored(scope, "").Scope
}
