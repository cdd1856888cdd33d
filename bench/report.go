package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// section is what one group of measurements found.
type section struct {
	title   string
	method  string // what was run and how, for somebody who doubts it
	tables  []table
	goals   []goal
	curves  []curve // for the plot; only one group has them
	missing bool    // a server is not installed: there is nothing but the method
	took    time.Duration
	foreign float64 // share of all cores that other processes took meanwhile
}

type table struct {
	title   string
	columns []string // of the cells; the first column is the row's name
	rows    []row
}

type row struct {
	name  string
	cells []cell
}

// cell is a figure with its spread. The zero cell is empty.
type cell struct {
	values sample
	digits int // after the point
}

// goal is a promise and what became of it.
type goal struct {
	text string
	got  string
	met  bool
}

// atLeast judges the median of a ratio or a rate.
func atLeast(text string, got sample, limit float64) goal {
	return goal{text: text, got: spread(got, 2), met: got.median() >= limit}
}

// atMost judges the median of a cost.
func atMost(text string, got sample, limit float64, digits int) goal {
	return goal{text: text, got: spread(got, digits), met: got.median() <= limit}
}

// whole counts allocations as the testing package does: rounded down, so that a
// map that grows now and then is not an allocation of every request.
func whole(s sample) sample {
	down := make(sample, len(s))
	for i, v := range s {
		down[i] = math.Floor(v)
	}
	return down
}

// report is the document.
type report struct {
	command  string
	machine  machine
	rounds   int
	quick    bool
	sections []section
	took     time.Duration
}

const preamble = `# Benchmarks

Made by one command, %s, on the machine below. Do not edit: run it again.

Every figure is the median of %d rounds, with the smallest and the largest round in brackets. Within a round the subjects
run one after the other, in every other round backwards. A ratio is taken within a round, and then its median over the
rounds: what slows the whole machine for a while hits both sides. Goals are the ones of the design; a goal that is missed
says so. Absolute figures are of this machine and of no use elsewhere; ratios travel better.
`

func (r *report) write(w io.Writer) error {
	out := &errWriter{w: w}
	out.printf(preamble, "`"+r.command+"`", r.rounds)
	if r.quick {
		out.printf("\n**A quick run: counts far too small to judge anything by.**\n")
	}
	out.printf("\n%s\n## Goals\n\n| goal | measured | |\n|---|---|---|\n", r.machine)
	for _, s := range r.sections {
		for _, g := range s.goals {
			verdict := "met"
			if !g.met {
				verdict = "**missed**"
			}
			out.printf("| %s | %s | %s |\n", g.text, g.got, verdict)
		}
	}
	for _, s := range r.sections {
		s.write(out)
	}
	out.printf("\nThe whole run took %s.\n", r.took.Round(time.Second))
	return out.err
}

func (s section) write(out *errWriter) {
	out.printf("\n## %s\n\n%s\n", s.title, s.method)
	for _, t := range s.tables {
		out.printf("\n")
		if t.title != "" {
			out.printf("%s\n\n", t.title)
		}
		out.printf("| | %s |\n|---|%s\n", strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
		for _, r := range t.rows {
			texts := make([]string, len(r.cells))
			for i, c := range r.cells {
				if len(c.values) > 0 {
					texts[i] = spread(c.values, c.digits)
				}
			}
			out.printf("| %s | %s |\n", r.name, strings.Join(texts, " | "))
		}
	}
	if len(s.curves) > 0 {
		out.printf("\n![Pairs per second against callers](%s)\n", plotFile)
	}
	out.printf("\nTook %s; other processes used %.0f %% of the machine meanwhile.\n",
		s.took.Round(time.Second), 100*s.foreign)
}

// spread formats a median with its smallest and largest round.
func spread(s sample, digits int) string {
	low, high := s.span()
	text := number(s.median(), digits)
	if len(s) < 2 || number(low, digits) == number(high, digits) {
		return text
	}
	return fmt.Sprintf("%s (%s–%s)", text, number(low, digits), number(high, digits))
}

// number groups thousands by a thin space, as tables of large figures need.
func number(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	if fraction != "" {
		fraction = "." + fraction
	}
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "\u202f" + whole[i:]
	}
	return sign + whole + fraction
}

// errWriter keeps the first error, so that a document reads as one.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) printf(format string, args ...any) {
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, format, args...)
	}
}
