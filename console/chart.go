package console

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The drawing area of a chart, in its own units.
const (
	chartWidth  = 720
	chartHeight = 230
	plotLeft    = 60
	plotRight   = chartWidth - 6
	plotTop     = 10
	plotBottom  = chartHeight - 26
)

// chart is drawn on the server as SVG. Its colours are classes of the style sheet.
type chart struct {
	ID, Title, About string // About is the chart in one sentence, for those who do not see it
	Width, Height    int
	Areas            []shape // stacked, or lines
	YTicks, XTicks   []tick
	Left, Right      int
	Top, Bottom      int
	Hits             []hit // one for each column, with its numbers
	Empty            bool
}

type shape struct {
	Class, Label, Path string
	Line               bool
}

type tick struct {
	At    string
	Label string
}

type hit struct{ X, Width, Text string }

// series are the outcomes as they are stacked, from the bottom.
var series = [...]struct {
	outcome      outcome
	class, label string
}{
	{executed, "executed", "executed"},
	{replayed, "replayed", "replayed"},
	{inFlight, "inflight", "told to wait"},
	{conflict, "conflict", "conflict"},
	{held, "held", "held: outcome unknown"},
	{failed, "failed", "store failed"},
}

func columnX(i int) float64 {
	return plotLeft + float64(i)*float64(plotRight-plotLeft)/columns
}

func plotY(share float64) float64 { return plotBottom - share*float64(plotBottom-plotTop) }

func num(f float64) string { return fmt.Sprintf("%.1f", f) }

// requestChart stacks the outcomes of each column.
func requestChart(r *rates) chart {
	c := newChart("requests", "Requests a second", r)
	top, all := 0.0, uint64(0)
	for i := range r.columns {
		n := r.columns[i].total()
		top = max(top, float64(n)/columnTime.Seconds())
		all += n
	}
	peak := top
	top, c.YTicks = scale(top, func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") })
	c.Empty = all == 0
	var base [columns]uint64
	const gap = 1.5
	width := float64(plotRight-plotLeft)/columns - gap
	for _, s := range series {
		var path strings.Builder
		n := uint64(0)
		for i := range r.columns {
			value := r.columns[i].outcomes[s.outcome]
			if value == 0 {
				continue
			}
			n += value
			low := plotY(float64(base[i]) / columnTime.Seconds() / top)
			base[i] += value
			high := plotY(float64(base[i]) / columnTime.Seconds() / top)
			fmt.Fprintf(&path, "M%.1f %.2fh%.1fV%.2fh-%.1fz", columnX(i), low, width, high, width)
		}
		c.Areas = append(c.Areas, shape{Class: s.class, Label: s.label, Path: path.String()})
	}
	for i := range r.columns {
		c.Hits[i].Text = r.columnText(i)
	}
	c.About = fmt.Sprintf("%s requests in the last quarter of an hour, at most %.1f a second.", grouped(all), peak)
	return c
}

// columnText is one column in words.
func (r *rates) columnText(i int) string {
	at := r.from.Add(time.Duration(i) * columnTime)
	var b strings.Builder
	fmt.Fprintf(&b, "%s UTC", at.Format("15:04:05"))
	for _, s := range series {
		if n := r.columns[i].outcomes[s.outcome]; n > 0 {
			fmt.Fprintf(&b, " · %s %s/s", s.label, perSecond(n, columnTime))
		}
	}
	if n := &r.columns[i].reserve; n.count > 0 {
		fmt.Fprintf(&b, " · reserve p99 %s", took(n.quantile(0.99)))
	}
	return b.String()
}

// latencyChart draws how long the store took, at the median and for the slowest in a
// hundred.
func latencyChart(r *rates) chart {
	c := newChart("latency", "Time of a step in the store", r)
	lines := []struct {
		class, label string
		value        func(*column) time.Duration
	}{
		{"reserve", "reserve, slowest 1 %", func(c *column) time.Duration { return c.reserve.quantile(0.99) }},
		{"complete", "complete, slowest 1 %", func(c *column) time.Duration { return c.complete.quantile(0.99) }},
		{"median", "reserve, median", func(c *column) time.Duration { return c.reserve.quantile(0.5) }},
	}
	shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range r.columns {
		for _, l := range lines {
			if d := l.value(&r.columns[i]); d > 0 {
				shortest, longest = min(shortest, d), max(longest, d)
			}
		}
	}
	c.Empty = longest == 0
	height, ticks := powers(shortest, longest)
	c.YTicks = ticks
	half := float64(plotRight-plotLeft) / columns / 2
	for _, l := range lines {
		var path strings.Builder
		pen := "M"
		for i := range r.columns {
			d := l.value(&r.columns[i])
			if d == 0 { // nothing was measured
				pen = "M"
				continue
			}
			x, y := columnX(i)+half, plotY(height(d))
			fmt.Fprintf(&path, "%s%.1f %.2fh.01", pen, x, y) // a single point is a dot
			pen = "L"
		}
		c.Areas = append(c.Areas, shape{Class: l.class, Label: l.label, Path: path.String(), Line: true})
	}
	for i := range r.columns {
		c.Hits[i].Text = r.columnText(i)
	}
	c.About = "The slowest hundredth of the steps took at most " + took(longest) + " in the last quarter of an hour."
	return c
}

func newChart(id, title string, r *rates) chart {
	c := chart{
		ID: id, Title: title, Width: chartWidth, Height: chartHeight,
		Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
	}
	for i := range columns {
		c.Hits = append(c.Hits, hit{X: num(columnX(i)), Width: num(columnX(i+1) - columnX(i))})
		at := r.from.Add(time.Duration(i) * columnTime)
		if at.Unix()%180 < int64(columnTime/time.Second) { // every third minute
			label := at.Add(-time.Duration(at.Unix()%180) * time.Second)
			c.XTicks = append(c.XTicks, tick{num(columnX(i)), label.Format("15:04")})
		}
	}
	return c
}

// powers is a scale on which every step up is ten times as long, from a power of ten that
// is no longer than from to one that is no shorter than to. It returns how high a time
// stands.
func powers(from, to time.Duration) (func(time.Duration) float64, []tick) {
	if to == 0 {
		from, to = time.Millisecond, time.Millisecond
	}
	low := math.Floor(math.Log10(from.Seconds()))
	high := max(math.Ceil(math.Log10(to.Seconds())), low+1)
	var ticks []tick
	for p := low; p <= high; p++ {
		label := took(time.Duration(math.Round(math.Pow(10, p) * float64(time.Second))))
		ticks = append(ticks, tick{num(plotY((p - low) / (high - low))), strings.Replace(label, ".0 ", " ", 1)})
	}
	return func(d time.Duration) float64 {
		return (math.Log10(d.Seconds()) - low) / (high - low)
	}, ticks
}

// scale returns a round number that is no less than top, and ticks up to it.
func scale(top float64, label func(float64) string) (float64, []tick) {
	if top <= 0 {
		top = 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(top)))
	round := 10 * unit
	for _, f := range []float64{1, 2, 4, 5, 10} {
		if f*unit >= top {
			round = f * unit
			break
		}
	}
	var ticks []tick
	for _, share := range []float64{0, 0.5, 1} {
		ticks = append(ticks, tick{num(plotY(share)), label(share * round)})
	}
	ticks[0].Label = "0"
	return round, ticks
}
