package console

import (
	"strconv"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// row is a record in a table.
type row struct {
	Slot, Short, Ref string
	State            state
	Status           string
	Attempts, Fence  string
	Age              string
	Created          moment
	Expires          string
	Owner            datum
	Route            datum
	Scope            datum
}

// state is how a record stands, for people.
type state struct {
	Class, Text string
	// Decide is true when somebody must say what happened.
	Decide bool
}

func stateOf(desk *operator.Desk, rec semel.Record) state {
	switch {
	case desk.NeedsDecision(rec):
		return state{"lapsed", "Outcome unknown", true}
	case rec.Lapsed:
		return state{"idle", "Lapsed, no effect", false}
	case rec.State == semel.StateReserved:
		return state{"running", "In flight", false}
	case rec.State == semel.StateCompleted:
		return state{"completed", "Completed", false}
	}
	return state{"idle", "Free", false}
}

func (c *Console) rows(desk *operator.Desk, records []semel.Record, now time.Time) []row {
	rows := make([]row, 0, len(records))
	for _, rec := range records {
		slot := rec.Key.Slot().String()
		r := row{
			Slot: slot, Short: slot[:12], Ref: desk.Ref(rec), State: stateOf(desk, rec),
			Attempts: strconv.Itoa(rec.Attempts), Fence: strconv.FormatInt(rec.Fence, 10),
			Age: span(now.Sub(rec.CreatedAt)), Created: momentOf(rec.CreatedAt, now), Expires: expiry(rec, now),
			Owner: clip(rec.Owner, shortText), Route: clip(rec.Route, shortText), Scope: clip(rec.Key.Scope, shortText),
		}
		if rec.Response.Status != 0 {
			r.Status = strconv.Itoa(rec.Response.Status)
		}
		rows = append(rows, r)
	}
	return rows
}

// expiry is when time alone removes the record. A reservation is kept until it is
// settled or resolved (I9).
func expiry(rec semel.Record, now time.Time) string {
	if rec.State == semel.StateReserved {
		return "never"
	}
	return momentOf(rec.ExpiresAt, now).Ago
}

// auditRow is an entry of the trail, or both entries of an action.
type auditRow struct {
	ID     int64
	At     moment
	Actor  datum
	Action string
	Slot   string
	Short  string
	Fence  string
	Reason datum
	Result datum
	Class  string // "done", "refused" or "begun"
}

// auditRows puts the two entries of an action into one row where both are there.
func auditRows(entries []semel.AuditEntry, now time.Time) []auditRow {
	results := make(map[int64]semel.AuditEntry)
	begun := make(map[int64]bool)
	for _, e := range entries {
		if e.Begun != 0 {
			results[e.Begun] = e
		} else {
			begun[e.ID] = true
		}
	}
	var rows []auditRow
	for _, e := range entries {
		if e.Begun != 0 && begun[e.Begun] {
			continue
		}
		r := auditRow{
			ID: e.ID, At: momentOf(e.At, now), Actor: clip(e.Actor, shortText), Action: clip(string(e.Action), shortText).Shown,
			Reason: clip(e.Reason, longText), Result: clip(e.Result, longText), Class: "refused",
		}
		if e.Key != (semel.Key{}) {
			r.Slot = e.Key.Slot().String()
			r.Short = r.Slot[:12]
		}
		if e.Fence != 0 {
			r.Fence = strconv.FormatInt(e.Fence, 10)
		}
		result, ok := e, e.Begun != 0
		if !ok {
			result, ok = results[e.ID]
		}
		switch {
		case !ok:
			r.Result, r.Class = datum{Shown: "begun; how it ended is not recorded"}, "begun"
		case result.Result == semel.AuditDone:
			r.Result, r.Class = datum{Shown: "done"}, "done"
		default:
			r.Result = clip(result.Result, longText)
		}
		rows = append(rows, r)
	}
	return rows
}
