// Package doctor examines a store: is it there, is it fit, how fast is it, and
// what should be changed.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// Report is what an examination found.
type Report struct {
	// Server is product and version, "" when the store has none.
	Server string
	// Grade is empty when the store does not grade itself.
	Grade semel.Grade
	// Findings are the store's own, and what the examination adds.
	Findings []semel.Finding
	// Clock compares the server's clock with this machine's; nil when the store
	// has no clock of its own.
	Clock *Clock
	// Trips are round trips, by step: ping first, the others when writing was
	// allowed.
	Trips []Trip
}

// Clock compares two clocks.
type Clock struct {
	// Ahead is how far the server's clock is ahead of this machine's.
	Ahead time.Duration
	// Within bounds the error of Ahead: half of the question's round trip.
	Within time.Duration
}

// Trip is how long a step took.
type Trip struct {
	Step            string
	Count           int
	Median, Slowest time.Duration
}

// Worst returns the worst level of all findings.
func (r *Report) Worst() semel.Level {
	worst := semel.Fine
	for _, f := range r.Findings {
		worst = max(worst, f.Level)
	}
	return worst
}

const (
	tries = 10 // of each step
	// farAway is a median round trip that a person would feel: each first
	// request pays two.
	farAway = 20 * time.Millisecond
	// apart is how far clocks may differ before times in records and in logs
	// are hard to compare.
	apart = time.Second
)

// Examine looks at a store without changing it. It fails when the store cannot
// be asked. A store that cannot be inspected has no findings.
func Examine(ctx context.Context, store semel.Store) (*Report, error) {
	r := new(Report)
	if err := r.inspect(ctx, store); err != nil {
		return nil, err
	}
	if err := r.ping(ctx, store); err != nil {
		return nil, err
	}
	if grader, ok := semel.As[semel.Grader](store); ok { // after the inspection, which it goes by
		r.Grade = grader.Grade()
	}
	r.judgeDistance()
	return r, nil
}

// ping measures the way to the store. A server that can be inspected and yet does
// not serve, for want of a schema perhaps, is a finding.
func (r *Report) ping(ctx context.Context, store semel.Store) error {
	pinger, ok := semel.As[semel.Pinger](store)
	if !ok {
		return nil
	}
	trip, err := measure(ctx, "ping", func(int) error { return pinger.Ping(ctx) })
	switch {
	case err == nil:
		r.Trips = append(r.Trips, trip)
	case r.Server == "" || ctx.Err() != nil:
		return err
	case r.Worst() != semel.Broken:
		r.Findings = append(r.Findings, semel.Finding{
			Name: "ping", Value: err.Error(), Level: semel.Broken, Advice: "The server answers, but the store cannot serve from it.",
		})
	}
	return nil
}

// inspect asks a few times, and believes the clock of the quickest answer.
func (r *Report) inspect(ctx context.Context, store semel.Store) error {
	inspector, ok := semel.As[semel.Inspector](store)
	if !ok {
		return nil
	}
	for range 3 {
		before := time.Now()
		found, err := inspector.Inspect(ctx)
		if err != nil {
			return err
		}
		took := time.Since(before)
		r.Server, r.Findings = found.Server, found.Findings
		if !found.Clock.IsZero() && (r.Clock == nil || took/2 < r.Clock.Within) {
			r.Clock = &Clock{Ahead: found.Clock.Sub(before.Add(took / 2)), Within: took / 2}
		}
	}
	if r.Clock != nil && r.Clock.Ahead.Abs() > apart+r.Clock.Within {
		r.Findings = append(r.Findings, semel.Finding{
			Name: "clock", Value: fmt.Sprintf("%v apart", r.Clock.Ahead.Round(time.Millisecond)), Level: semel.Weak,
			Advice: "Leases go by the server's clock alone, so nothing breaks, but times in records and in logs differ: run NTP on both.",
		})
	}
	return nil
}

func (r *Report) judgeDistance() {
	for _, t := range r.Trips {
		if t.Median > farAway {
			r.Findings = append(r.Findings, semel.Finding{
				Name: "distance", Value: fmt.Sprintf("%v for a %s", t.Median.Round(time.Millisecond), t.Step), Level: semel.Weak,
				Advice: "Every first request waits for a reserve and a complete: bring the store nearer.",
			})
			return
		}
	}
}

// probeScope keeps the records of a probe apart from everybody else's.
const probeScope = "semel doctor"

// Probe measures what requests will wait for: it reserves, completes and
// replays slots of its own, which are over after a minute.
func (r *Report) Probe(ctx context.Context, store semel.Store) error {
	slots := make([]semel.Reservation, tries)
	for i := range slots {
		slots[i] = semel.Reservation{
			Key:         semel.Key{Scope: probeScope, ID: semel.NewToken().String()},
			Token:       semel.NewToken(),
			Fingerprint: semel.FingerprintOf([]byte(probeScope)),
			Lease:       time.Minute, Retention: time.Minute, Owner: probeScope,
		}
	}
	answer := semel.Response{Status: 200, Header: make([]byte, 200), Body: make([]byte, 1024)}
	for _, step := range []struct {
		name string
		run  func(i int) error
	}{
		{"reserve", func(i int) error { return r.reserve(ctx, store, slots[i], semel.StateReserved) }},
		{"complete", func(i int) error {
			return store.Complete(ctx, semel.Completion{
				Key: slots[i].Key, Token: slots[i].Token, Response: answer, Retention: time.Minute,
			})
		}},
		{"replay", func(i int) error { return r.reserve(ctx, store, slots[i], semel.StateCompleted) }},
	} {
		trip, err := measure(ctx, step.name, step.run)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		r.Trips = append(r.Trips, trip)
	}
	return nil
}

func (*Report) reserve(ctx context.Context, store semel.Store, r semel.Reservation, want semel.State) error {
	held, err := store.Reserve(ctx, r)
	if err == nil && (held.State != want || held.Token != r.Token) {
		err = fmt.Errorf("a slot of the probe is %s and should be %s", held.State, want)
	}
	return err
}

// measure runs a step a few times, one after the other. The first run, which
// makes connections, does not count.
func measure(ctx context.Context, name string, step func(i int) error) (Trip, error) {
	took := make([]time.Duration, 0, tries)
	for i := range tries {
		if err := context.Cause(ctx); err != nil {
			return Trip{}, err
		}
		start := time.Now()
		if err := step(i); err != nil {
			return Trip{}, err
		}
		if i > 0 {
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	return Trip{Step: name, Count: len(took), Median: took[len(took)/2], Slowest: took[len(took)-1]}, nil
}
