package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// recordView is one record.
type recordView struct {
	row
	Lead        string // what it means, in a sentence or two
	Token       string
	Fingerprint string
	Lapses      int
	Deferred    bool
	Reason      datum
	Expiry      moment
	Kept        bool // there is a response to reveal
	Timeline    []event
	Trail       []auditRow
	TrailError  string
	CannotAct   string
	Resolve     *resolveForm // nil when there is nothing to resolve
	Reveal      revealForm
	Revealed    *revealedView
}

// event is a line of the timeline.
type event struct {
	At          moment
	Class       string
	Title, Note string
	Reason      datum
	order       time.Time
}

// trailOfRecord is how many entries of the trail stand with a record.
const trailOfRecord = 40

func (c *Console) record(ctx context.Context, v *visit) (page, error) {
	rec, err := c.recordOf(ctx, v)
	if err != nil {
		return page{}, err
	}
	return c.recordPage(ctx, v, rec), nil
}

// recordOf reads the record that the address names.
func (c *Console) recordOf(ctx context.Context, v *visit) (semel.Record, error) {
	slot, err := operator.ParseSlot(v.PathValue("slot"))
	if err != nil {
		return semel.Record{}, err
	}
	return v.desk.At(ctx, slot)
}

func (c *Console) recordPage(ctx context.Context, v *visit, rec semel.Record) page {
	trail, err := v.desk.Trail(ctx, semel.AuditFilter{Key: rec.Key, Limit: trailOfRecord})
	view := viewRecord(c, v, rec, trail.Entries)
	if err != nil && !errors.Is(err, operator.ErrNoTrail) {
		view.TrailError = clip(err.Error(), longText).Shown
	}
	return page{status: http.StatusOK, name: "record", title: "Record " + view.Short, body: &view}
}

func viewRecord(c *Console, v *visit, rec semel.Record, trail []semel.AuditEntry) recordView {
	view := recordView{
		row:  c.rows(v.desk, []semel.Record{rec}, v.now)[0],
		Lead: lead(v.desk, rec), Token: rec.Token.String(), Fingerprint: rec.Fingerprint.String(), Lapses: rec.Lapses, Deferred: rec.Deferred,
		Reason: clip(rec.Reason, longText), Expiry: momentOf(rec.ExpiresAt, v.now), Kept: rec.State == semel.StateCompleted,
		Trail: auditRows(trail, v.now), Timeline: timeline(v.desk, rec, trail, v.now), CannotAct: cannotAct(v),
	}
	if rec.Lapsed {
		view.Resolve = &resolveForm{Status: "201", Type: "application/json"}
	}
	return view
}

// lead says what the record means for a client and for the operator.
func lead(desk *operator.Desk, rec semel.Record) string {
	switch {
	case desk.NeedsDecision(rec):
		return "An attempt began, its outcome was never recorded, and nobody knows what it did. The log of the service says why, under the reference. Retries are refused with 409 outcome-unknown " +
			"until somebody who knows says so here, or a recovery does."
	case rec.Lapsed:
		return "The attempt ended before it could have any effect. Nothing is unknown, and the next request with this key runs."
	case rec.State == semel.StateReserved:
		return "An attempt runs. Retries are refused with 409 in-flight until it ends. It cannot be resolved while its lease is renewed."
	case rec.State == semel.StateCompleted:
		return fmt.Sprintf("The response with status %d is kept, and every retry gets it, byte for byte.", rec.Response.Status)
	case rec.Reason != "":
		return "An operator has said that nothing happened. The next request with this key runs."
	}
	return "Nothing happened under this key so far: the attempt released it. The next request runs."
}

// timeline puts what is known of a record in order. A store keeps the time of the last
// reservation only.
func timeline(desk *operator.Desk, rec semel.Record, trail []semel.AuditEntry, now time.Time) []event {
	var events []event
	if rec.Attempts > 1 {
		note := "They released the key, or had no effect."
		if rec.Lapses > 0 {
			note = plural(rec.Lapses, "of them was taken over with its outcome unknown.", "of them were taken over with their outcome unknown.")
		}
		events = append(events, event{Class: "past", Title: plural(rec.Attempts-1, "attempt before", "attempts before"), Note: note})
	}
	begun := event{
		At: momentOf(rec.CreatedAt, now), Class: "begun", Title: "Attempt " + strconv.Itoa(rec.Attempts) + " reserved the slot",
		Note: "fence " + strconv.FormatInt(rec.Fence, 10) + ", by " + clip(rec.Owner, shortText).Shown, order: rec.CreatedAt,
	}
	events = append(events, begun)
	if rec.State == semel.StateCompleted && !slices.ContainsFunc(trail, completed) {
		events = append(events, event{
			Class: "completed", Title: "Completed with status " + strconv.Itoa(rec.Response.Status), Note: "the store does not keep when", order: rec.CreatedAt,
		})
	}
	events = append(events, auditEvents(trail, now)...)
	slices.SortStableFunc(events, func(a, b event) int { return a.order.Compare(b.order) })
	return append(events, ending(desk, rec, now)...)
}

// completed reports whether an operator has said what was answered.
func completed(e semel.AuditEntry) bool {
	return e.Action == semel.ActionComplete && e.Result == semel.AuditDone
}

// ending is how the record stands, and what time alone will do to it.
func ending(desk *operator.Desk, rec semel.Record, now time.Time) []event {
	state := stateOf(desk, rec)
	over := event{At: momentOf(rec.ExpiresAt, now), Class: "past", Title: "Retention ends", Note: "afterwards the key runs again, and a purge removes the record"}
	switch {
	case rec.Lapsed:
		return []event{{Class: state.Class, Title: state.Text, Note: "the lease is over, and nobody has completed the attempt"}}
	case rec.State == semel.StateReserved:
		return []event{{Class: "running", Title: "In flight", Note: "the lease runs"}}
	case rec.State == semel.StateCompleted:
		return []event{over}
	}
	return []event{{Class: "idle", Title: "Free", Note: "the next request runs"}, over}
}

// auditEvents are the actions on a record, one for each.
func auditEvents(trail []semel.AuditEntry, now time.Time) []event {
	times := make(map[int64]time.Time, len(trail))
	for _, e := range trail {
		times[e.ID] = e.At
	}
	verbs := map[string]string{
		string(semel.ActionRelease): "said that nothing happened", string(semel.ActionComplete): "said what was answered",
		string(semel.ActionReveal): "looked at key and response", string(semel.ActionRotate): "sealed it under another key",
	}
	var events []event
	for _, r := range auditRows(trail, now) {
		verb := verbs[r.Action]
		if verb == "" {
			verb = r.Action
		}
		class := "operator"
		if r.Action == string(semel.ActionComplete) && r.Class == "done" {
			class = "completed"
		}
		events = append(events, event{
			At: r.At, Class: class, Title: r.Actor.Shown + " " + verb, Note: r.Result.Shown, Reason: r.Reason, order: times[r.ID],
		})
	}
	return events
}
