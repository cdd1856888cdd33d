package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// overviewView is the first page.
type overviewView struct {
	Pulse     pulseView
	LiveEvery int // seconds; 0: never
}

// pulseView is the part of it that is brought up to date.
type pulseView struct {
	Base     string
	At       moment
	Trouble  string // why the store was not asked, or did not answer
	Lapsed   tile
	InFlight tile
	Tiles    []tile
	Metered  bool
	Since    string // how long the meter has counted, when that is short
	Requests chart
	Latency  chart
	Steps    []stepRow
	Minutes  []minuteRow
}

// tile is one number.
type tile struct {
	Class, Label, Value, Unit, Note, Href string
}

type stepRow struct{ Name, Count, Median, P99 string }

type minuteRow struct {
	At    string
	Cells []string
}

// glance is what the first page knows of the store. It is kept for a moment, so that
// many open overviews ask no more often than one.
type glance struct {
	mu      sync.Mutex
	until   time.Time     // when it is looked anew
	waiting chan struct{} // closed when the look under way has ended; nil: none is
	seen    glimpse
}

type glimpse struct {
	lapsed, reserved       int
	moreLapsed, moreFlight bool
	at                     time.Time
	err                    error
}

// A look is kept for glanceAge, and for so many times as long as it took, so that a store
// that must read much for it is at it for a tenth of the time at most. One that failed is
// repeated sooner: whoever mends a store waits for it. While it is looked anew, the last
// one is shown for as long as glanceStale.
const (
	glanceAge   = 4 * time.Second
	glanceShare = 10
	glanceAgain = 2
	glanceStale = time.Minute
)

// maxCounted is how many attempts in flight are counted.
const maxCounted = 200

// look returns what was seen a moment ago, or looks anew. One looks at a time.
func (c *Console) look(ctx context.Context) glimpse {
	g := &c.glance
	g.mu.Lock()
	if c.now().Before(g.until) {
		defer g.mu.Unlock()
		return g.seen
	}
	if g.waiting == nil {
		if !c.hold() {
			g.mu.Unlock()
			return glimpse{err: semel.ErrClosed}
		}
		g.waiting = make(chan struct{})
		go c.lookAnew(context.WithoutCancel(ctx)) // Close waits for it
	}
	wait, seen := g.waiting, g.seen
	g.mu.Unlock()
	if seen.err == nil && c.now().Sub(seen.at) < glanceStale {
		return seen
	}
	select {
	case <-wait:
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.seen
	case <-ctx.Done():
		return glimpse{err: context.Cause(ctx)}
	}
}

// lookAnew is not its caller's alone: others wait for it too.
func (c *Console) lookAnew(ctx context.Context) {
	defer c.ended.Done()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	start := c.now()
	seen := c.count(ctx)
	seen.at = c.now()
	share := glanceShare
	if seen.err != nil {
		share = glanceAgain
	}
	g := &c.glance
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until, g.seen = seen.at.Add(max(glanceAge, time.Duration(share)*seen.at.Sub(start))), seen
	close(g.waiting)
	g.waiting = nil
}

// count reads no more than it counts.
func (c *Console) count(ctx context.Context) (seen glimpse) {
	defer func() { // there is no server above to catch it
		if p := recover(); p != nil {
			seen = glimpse{err: fmt.Errorf("the store panicked: %v", p)}
		}
	}()
	work, err := c.desk.Worklist(ctx, 1)
	if err != nil {
		return glimpse{err: err}
	}
	flying, err := c.desk.List(ctx, semel.Filter{States: []semel.State{semel.StateReserved}, Limit: maxCounted})
	if err != nil {
		return glimpse{err: err}
	}
	seen = glimpse{lapsed: len(work.Records) + work.More, moreLapsed: work.Cut, moreFlight: !flying.Next.IsZero()}
	for _, rec := range flying.Records {
		if !rec.Lapsed {
			seen.reserved++
		}
	}
	return seen
}

func (c *Console) overview(ctx context.Context, v *visit) (page, error) {
	pulse, err := c.pulse(ctx)
	view := overviewView{Pulse: pulse}
	if c.cfg.LiveEvery > 0 && c.cfg.Meter != nil {
		view.LiveEvery = int(c.cfg.LiveEvery / time.Second)
	}
	p := page{status: http.StatusOK, name: "overview", title: "Overview", body: view}
	if err != nil {
		p.status = http.StatusServiceUnavailable
	}
	return p, nil
}

// pulse is the state of things now. An error is told in it too.
func (c *Console) pulse(ctx context.Context) (pulseView, error) {
	seen := c.look(ctx)
	return c.pulseOf(seen), seen.err
}

func (c *Console) pulseOf(seen glimpse) pulseView {
	view := pulseView{Base: c.cfg.Base, At: momentOf(c.now(), c.now())}
	view.Lapsed = countTile("Need a decision", seen.lapsed, seen.moreLapsed, "outcome unknown, clients are refused", "/lapsed")
	view.InFlight = countTile("In flight", seen.reserved, seen.moreFlight, "attempts that run now", "/inflight")
	if seen.lapsed > 0 {
		view.Lapsed.Class = "alarm"
	}
	if age := c.now().Sub(seen.at); age > 2*glanceAge && !seen.at.IsZero() {
		view.Lapsed.Note += ", seen " + span(age) + " ago"
		view.InFlight.Note += ", seen " + span(age) + " ago"
	}
	if seen.err != nil {
		view.Trouble = "The store does not answer, so what needs a decision is not known. Requests are refused meanwhile."
		if errors.Is(seen.err, context.DeadlineExceeded) {
			view.Trouble = "The store takes too long to answer, so what needs a decision is not known."
		}
		view.Lapsed.Value, view.InFlight.Value, view.Lapsed.Class, view.InFlight.Class = "?", "?", "alarm", "alarm"
	}
	if c.cfg.Meter != nil {
		view.measure(c.cfg.Meter.rates(), c.now())
	}
	return view
}

func countTile(label string, n int, more bool, note, href string) tile {
	t := tile{Label: label, Value: grouped(uint64(n)), Note: note, Href: href} //nolint:gosec // a count
	if more {
		t.Value += "+"
	}
	return t
}

// lastMinutes is the time over which a tile counts, in columns.
const lastMinutes = 4 * 5

// measure fills in what the meter has counted.
func (v *pulseView) measure(r *rates, now time.Time) {
	v.Metered = true
	over := lastMinutes * columnTime
	if age := now.Sub(r.since); age < over {
		over = max(age.Truncate(time.Second), bucketTime)
		v.Since = span(over)
	}
	recent := r.last(lastMinutes)
	notes := [outcomes]string{
		executed: "first requests that ran", replayed: "retries that got the kept answer", inFlight: "duplicates told to wait",
		conflict: "same key, another request", held: "refused: outcome unknown", failed: "refused: the store failed",
	}
	labels := [outcomes]string{
		executed: "Executed", replayed: "Replayed", inFlight: "Told to wait", conflict: "Conflict", held: "Held", failed: "Store failed",
	}
	for _, s := range series {
		t := tile{Class: s.class, Label: labels[s.outcome], Value: perSecond(recent.outcomes[s.outcome], over), Unit: "/s", Note: notes[s.outcome]}
		v.Tiles = append(v.Tiles, t)
	}
	v.Requests, v.Latency = requestChart(r), latencyChart(r)
	for _, s := range []struct {
		name  string
		times *sum
	}{{"Reserve", &recent.reserve}, {"Complete", &recent.complete}} {
		v.Steps = append(v.Steps, stepRow{s.name, grouped(s.times.count), took(s.times.quantile(0.5)), took(s.times.quantile(0.99))})
	}
	v.minutes(r)
}

// minutes are the chart in numbers, the latest first.
func (v *pulseView) minutes(r *rates) {
	const perMinute = int(time.Minute / columnTime)
	for i := columns - perMinute; i >= 0; i -= perMinute {
		one := minuteRow{At: r.from.Add(time.Duration(i) * columnTime).Format("15:04:05")}
		for _, s := range series {
			n := uint64(0)
			for j := i; j < i+perMinute; j++ {
				n += r.columns[j].outcomes[s.outcome]
			}
			one.Cells = append(one.Cells, grouped(n))
		}
		v.Minutes = append(v.Minutes, one)
	}
}
