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
	return a.record == b.record && a.effects == b.effects && slices.Equal(a.points, b.points)
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

// left is what the kill of a run has left behind, as the service after it will find it
// when no attempt holds the slot any more.
func (h *harness) left(ctx context.Context, s *service, key string) (aftermath, error) {
	h.awaitLapse(ctx, s, key)
	effects, err := h.cfg.Effects(ctx, key)
	if err != nil {
		return aftermath{}, fmt.Errorf("the effects cannot be counted: %w", err)
	}
	return aftermath{record: s.record(ctx, h.http, key), effects: effects}, nil
}

// retried are the points to which the service of r came until the client was told. Where
// nobody can wait for the lease, as the store cannot list, it has asked in vain, and how
// often is chance: those are the first of each.
func (h *harness) retried(ctx context.Context, s *service, r Result) []Point {
	s.record(ctx, h.http, r.Key)
	points := s.passed()
	if r.after.record == "" {
		points = slices.DeleteFunc(points, func(p Point) bool { return p.N != 1 })
	}
	return points
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
