package operator

import (
	"context"
	"slices"

	"github.com/semel-go/semel"
)

// Worklist is what waits for a decision.
type Worklist struct {
	// Records are the oldest first: somebody has waited for them the longest.
	Records []semel.Record
	// More is how many need a decision beside these.
	More int
	// Themselves is how many lapsed without any effect: their next request runs by
	// itself.
	Themselves int
	// Cut is true when there are more lapsed ones than a worklist looks at, the
	// youngest [MaxLook]: older ones are not among the Records, and the counts are too
	// small.
	Cut bool
}

// MaxLook is how many lapsed records a worklist looks at.
const MaxLook = 10_000

// Worklist returns the oldest lapsed records that need a decision: limit of them, at
// most [MaxPage], by default [DefaultPage].
func (d *Desk) Worklist(ctx context.Context, limit int) (Worklist, error) {
	var w Worklist
	limit = pageSize(limit)
	lapsed := semel.Filter{States: []semel.State{semel.StateReserved}, Lapsed: true, Limit: MaxLook + 1}
	looked := 0
	for rec, err := range d.Each(ctx, lapsed) {
		if err != nil {
			return Worklist{}, err
		}
		if looked++; looked > MaxLook {
			w.Cut = true
			break
		}
		if !d.NeedsDecision(rec) {
			w.Themselves++
			continue
		}
		if w.Records = append(w.Records, rec); len(w.Records) == 2*limit { // memory stays bounded by the limit
			w.More += limit
			w.Records = slices.Delete(w.Records, 0, limit)
		}
	}
	if over := len(w.Records) - limit; over > 0 {
		w.More += over
		w.Records = slices.Delete(w.Records, 0, over)
	}
	slices.Reverse(w.Records)
	return w, nil
}

// sweeper is held by the process that sweeps. When that dies, the next round takes it. It
// is not hashed: no client has sent it.
var sweeper = semel.Key{Scope: "semel", ID: "sweeper"}

// NeedsDecision reports whether a record waits for somebody who knows what happened:
// it is lapsed, and an attempt may have had an effect. What had none runs again by
// itself.
func (d *Desk) NeedsDecision(rec semel.Record) bool {
	return rec.Lapsed && !rec.Blameless() && rec.Key != sweeper
}
