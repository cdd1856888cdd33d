package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/semel-go/semel"
)

// Report is what a run has shown.
type Report struct {
	Keys, Effects, Answers, Replays, Cuts, Undone, Overtaken int
	// Kills of app processes by the supervisor, and at the moments that matter most by
	// themselves; kills of the database's server, and breaks of the line to it.
	AppKills, Crashes, ServerKills, Breaks int
	// Unknown is how many keys of the route without a transaction of Semel's ended
	// as unknown, and UnknownDone how many of them had happened all the same.
	Unknown, UnknownDone int
	// Open is how many keys had no answer when the time was up.
	Open int
	// Refused counts other answers by status and problem.
	Refused map[string]int
	// Broken are the sentences about what must not be.
	Broken []string
}

func (r *Report) broken(format string, args ...any) {
	r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
}

// String is one line.
func (r *Report) String() string {
	var refused []string
	for _, what := range slices.Sorted(maps.Keys(r.Refused)) {
		refused = append(refused, fmt.Sprintf("%s: %d", what, r.Refused[what]))
	}
	return fmt.Sprintf("%d keys, %d effects, %d answers (%d replays), %d cut, %d told that nothing was done, %d that they lost; %d kills of apps, %d crashes, %d kills of the server, %d breaks of the line; %d unknown without a transaction (%d of them had happened), %d open; refused: %s",
		r.Keys, r.Effects, r.Answers, r.Replays, r.Cuts, r.Undone, r.Overtaken, r.AppKills, r.Crashes, r.ServerKills, r.Breaks, r.Unknown, r.UnknownDone, r.Open, strings.Join(refused, ", "))
}

// check holds what clients were told against the books.
func (r *Report) check(found *books, all []*seen) {
	effects := make(map[string][]order)
	done := make(map[string]bool) // by attempt
	for _, t := range found.transfers {
		effects[t.key] = append(effects[t.key], t.order)
		done[t.attempt] = true
	}
	r.checkBalances(found)
	r.Effects = len(found.transfers)
	r.Refused = make(map[string]int)
	known := make(map[string]bool)
	for _, s := range all {
		known[s.Key] = true
		r.Keys++
		r.Cuts += s.Cut
		r.Answers += len(s.Answers)
		for what, n := range s.Refused {
			if strings.HasPrefix(what, "200") {
				r.broken("I8: %s was told %s, which no handler says", s.Key, what)
			}
			r.Refused[what] += n
		}
		if moved := effects[s.Key]; len(moved) > 0 && moved[0] != s.Order {
			r.broken("I8: %s has moved %+v, want %+v", s.Key, moved[0], s.Order)
		}
		r.Undone += len(s.Undone)
		r.Overtaken += s.Overtaken
		if slices.ContainsFunc(s.Undone, func(attempt string) bool { return done[attempt] }) {
			r.broken("I8: a client was told that its attempt at %s has done nothing, and it has", s.Key)
		}
		r.checkKey(s, len(effects[s.Key]), found.records[s.Key])
	}
	for key := range effects {
		if !known[key] {
			r.broken("an effect of the key %s, which nobody sent", key)
		}
	}
}

// checkBalances holds each account against the transfers, and all of them against what
// there was in the beginning.
func (r *Report) checkBalances(found *books) {
	want := make(map[string]int64)
	for n := range accounts {
		want[account(n)] = balance
	}
	for _, t := range found.transfers {
		want[t.From] -= t.Amount
		want[t.To] += t.Amount
	}
	if !maps.Equal(found.balances, want) {
		r.broken("I8: the balances are %v, want %v", found.balances, want)
	}
	var sum int64
	for _, n := range found.balances {
		sum += n
	}
	if sum != accounts*balance {
		r.broken("I8: the sum of the money is %d, want %d", sum, accounts*balance)
	}
}

// checkKey judges one key: how often it happened, what its clients were told, and
// what its record says.
func (r *Report) checkKey(s *seen, effects int, rec semel.Record) {
	if effects > 1 {
		r.broken("I8: %s has %d effects", s.Key, effects)
	}
	paid := false
	for _, a := range s.Answers {
		if a.Replayed {
			r.Replays++
		}
		paid = paid || a.Status == 201
		if first := s.Answers[0]; a.Status != first.Status || a.Body != first.Body {
			r.broken("I3: %s was told %d %q and %d %q", s.Key, first.Status, first.Body, a.Status, a.Body)
		}
	}
	complete := rec.State == semel.StateCompleted && rec.Response.Status == 201
	switch {
	case paid && effects == 0:
		r.broken("I8: a client was told that %s has happened, and it has not", s.Key)
	case complete && effects == 0:
		r.broken("I8: the record of %s says that it has happened, and it has not", s.Key)
	case len(s.Answers) > 0 && !paid && effects > 0:
		r.broken("I8: %s was refused, and has happened", s.Key)
	}
	if s.Route == routePlain {
		r.checkPlain(s, effects, rec)
		return
	}
	switch {
	case effects > 0 && !complete:
		r.broken("I8: %s has happened, and its record is %s with status %d", s.Key, rec.State, rec.Response.Status)
	case s.Unknown > 0:
		r.broken("I7: the outcome of %s, in a transaction, was called unknown", s.Key)
	}
	if len(s.Answers) == 0 {
		r.Open++
	}
}

// checkPlain judges a key without a transaction of Semel's: what happened and has no
// complete record is held, and nobody was told otherwise.
func (r *Report) checkPlain(s *seen, effects int, rec semel.Record) {
	if rec.State == semel.StateReserved {
		r.Unknown++
		r.UnknownDone += effects
		return
	}
	complete := rec.State == semel.StateCompleted && rec.Response.Status == 201
	if effects > 0 && !complete {
		r.broken("I7: %s has happened, and its record is %s with status %d: a retry would run again", s.Key, rec.State, rec.Response.Status)
	}
}
