package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// curve is one line of the plot.
type curve struct {
	name   string
	points []point
}

// point is a rate with so many callers at once.
type point struct {
	callers   int
	perSecond sample
}

// The plot's measures, in pixels.
const (
	plotWidth  = 760
	plotHeight = 460
	plotLeft   = 70
	plotRight  = 170 // room for the names of the curves
	plotTop    = 52
	plotBottom = 54
)

// plotStyle brings its own ground, so that the plot reads on any page, and
// follows the reader's wish for dark where the viewer passes it on.
const plotStyle = `
  .ground { fill: #ffffff; stroke: #d0d7de }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .soft { fill: #57606a }
  .line { fill: none; stroke-width: 2.25 }
  .c0 { stroke: #6e7781 } .f0 { fill: #6e7781 }
  .c1 { stroke: #0969da } .f1 { fill: #0969da }
  .c2 { stroke: #bc4c00 } .f2 { fill: #bc4c00 }
  .spread { stroke-width: 1.25; opacity: 0.6 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d }
    .grid { stroke: #272d35 }
    text { fill: #e6edf3 }
    .soft { fill: #9198a1 }
    .c0 { stroke: #9198a1 } .f0 { fill: #9198a1 }
    .c1 { stroke: #58a6ff } .f1 { fill: #58a6ff }
    .c2 { stroke: #f0883e } .f2 { fill: #f0883e }
  }
`

// plot draws rates against callers, both on logarithmic axes: a constant
// ratio between two curves is a constant distance.
func plot(curves []curve) []byte {
	a := axesOf(curves)
	var b bytes.Buffer
	f := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	f(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="Durable pairs per second against callers">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	f("<style>%s</style>\n", plotStyle)
	f(`<rect class="ground" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>`+"\n", plotWidth-1, plotHeight-1)
	f(`<text class="title" x="%d" y="30">Durable pairs (reserve + complete) per second</text>`+"\n", plotLeft)
	a.draw(f)
	ends := a.endsOf(curves)
	for i, c := range curves {
		style := i % 3
		f(`<polyline class="line c%d" points="`, style)
		for _, p := range c.points {
			f("%.1f,%.1f ", a.x(p.callers), a.y(p.perSecond.median()))
		}
		f("\"/>\n")
		for _, p := range c.points {
			low, high := p.perSecond.span()
			x := a.x(p.callers)
			f(`<line class="spread c%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", style, x, x, a.y(low), a.y(high))
			mark(f, style, x, a.y(p.perSecond.median()))
		}
		f(`<text class="f%d" x="%.1f" y="%.1f">%s</text>`+"\n", style, float64(plotWidth-plotRight+12), ends[i]+4, html.EscapeString(c.name))
	}
	f("</svg>\n")
	return b.Bytes()
}

// mark draws a point; its shape tells the curves apart without colour.
func mark(f func(string, ...any), style int, x, y float64) {
	switch style {
	case 0:
		f(`<rect class="f0" x="%.1f" y="%.1f" width="7" height="7"/>`+"\n", x-3.5, y-3.5)
	case 1:
		f(`<circle class="f1" cx="%.1f" cy="%.1f" r="4.2"/>`+"\n", x, y)
	default:
		f(`<path class="f2" d="M%.1f %.1f l4.6 8 h-9.2 z"/>`+"\n", x, y-5)
	}
}

// axes maps figures to pixels.
type axes struct {
	callers    []int
	minX, maxX float64 // log2 of callers
	minY, maxY float64 // log10 of the rate
}

func axesOf(curves []curve) axes {
	a := axes{minX: math.Inf(1), maxX: math.Inf(-1), minY: math.Inf(1), maxY: math.Inf(-1)}
	for _, c := range curves {
		for _, p := range c.points {
			low, high := p.perSecond.span()
			a.minX, a.maxX = min(a.minX, math.Log2(float64(p.callers))), max(a.maxX, math.Log2(float64(p.callers)))
			a.minY, a.maxY = min(a.minY, math.Log10(low)), max(a.maxY, math.Log10(high))
		}
	}
	if len(curves) > 0 {
		for _, p := range curves[0].points {
			a.callers = append(a.callers, p.callers)
		}
	}
	if a.maxX == a.minX { // one point has no width
		a.maxX++
	}
	pad := 0.04 * (a.maxY - a.minY)
	a.minY, a.maxY = a.minY-pad, a.maxY+pad+1e-9
	return a
}

func (a axes) x(callers int) float64 {
	share := (math.Log2(float64(callers)) - a.minX) / (a.maxX - a.minX)
	return plotLeft + 14 + share*(plotWidth-plotLeft-plotRight-18)
}

func (a axes) y(rate float64) float64 {
	share := (math.Log10(rate) - a.minY) / (a.maxY - a.minY)
	return plotHeight - plotBottom - share*(plotHeight-plotTop-plotBottom)
}

// draw makes the grid: a line at 1, 2 and 5 times each power of ten.
func (a axes) draw(f func(string, ...any)) {
	for power := math.Floor(a.minY); power <= a.maxY; power++ {
		for _, step := range []float64{1, 2, 5} {
			rate := step * math.Pow(10, power)
			if l := math.Log10(rate); l < a.minY || l > a.maxY {
				continue
			}
			y := a.y(rate)
			f(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", plotLeft, plotWidth-plotRight, y, y)
			f(`<text class="soft" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-10, y+4.5, number(rate, 0))
		}
	}
	bottom := plotHeight - plotBottom
	f(`<line class="grid" x1="%d" x2="%d" y1="%d" y2="%d"/>`+"\n", plotLeft, plotWidth-plotRight, bottom, bottom)
	for _, n := range a.callers {
		f(`<text class="soft" x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", a.x(n), bottom+20, n)
	}
	f(`<text class="soft" x="%d" y="%d" text-anchor="middle">callers at once</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, plotHeight-14)
}

// endsOf places the curves' names beside their last points, and apart.
func (a axes) endsOf(curves []curve) []float64 {
	const apart = 18
	ends := make([]float64, len(curves))
	for i, c := range curves {
		if len(c.points) > 0 {
			ends[i] = a.y(c.points[len(c.points)-1].perSecond.median())
		}
	}
	for range curves { // a few curves: pushing pair by pair ends quickly
		for i := range ends {
			for j := range ends {
				if gap := ends[j] - ends[i]; i != j && (gap > 0 || gap == 0 && j > i) && gap < apart {
					ends[j] = ends[i] + apart
				}
			}
		}
	}
	return ends
}
