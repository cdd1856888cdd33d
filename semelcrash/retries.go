package semelcrash

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// then stands between the two points of a run that is killed twice.
const then = ", then "

// aftermath is what a kill has left behind: a record, effects, and to which points the next
// service came that was asked.
type aftermath struct {
	record  string
	effects int
	points  []Point
}

func (a aftermath) equal(b aftermath) bool {
	held := func(record string) bool { return record == "reserved" || record == "lapsed" } // in a moment
	return (a.record == b.record || held(a.record) && held(b.record)) && a.effects == b.effects && slices.Equal(a.points, b.points)
}

// retries lists the runs in which the retry is killed as well: the steps after a crash
// are other steps, under another record. Two first kills with the same aftermath are one
// case. A run that ended badly has said enough.
func (h *harness) retries() []job {
	if h.cfg.Once {
		return nil
	}
	var jobs []job
	var seen []aftermath
	for _, r := range h.report.Runs {
		bad := r.Verdict != OK && r.Verdict != Held
		if r.Point == (Point{}) || bad || slices.ContainsFunc(seen, r.after.equal) {
			continue
		}
		seen = append(seen, r.after)
		for _, p := range r.after.points {
			name := fmt.Sprint(r.Point, then, p)
			jobs = append(jobs, job{name, []strike{{point: r.Point}, {point: p, lapsed: true}}})
		}
	}
	return chosen(jobs, func(only string) string { return only })
}

// firsts are the points that a service came to for the first time: how often a client
// asks in vain is chance.
func firsts(points []Point) []Point {
	return slices.DeleteFunc(points, func(p Point) bool { return p.N != 1 })
}

// awaitLapse waits until no attempt holds the slot, so that the first reserve of the
// next request is the one that takes it over.
func (h *harness) awaitLapse(ctx context.Context, s *service, key string) {
	patience := time.After(h.cfg.Patience)
	for s.record(ctx, h.http, key) == "reserved" {
		select {
		case <-time.After(h.cfg.Poll):
		case <-patience:
			return
		case <-ctx.Done():
			return
		}
	}
}
