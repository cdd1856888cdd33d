package demo

import (
	"fmt"
	"io"
)

// page prints the story. It remembers the first error of its writer.
type page struct {
	out   io.Writer
	color bool
	steps int
	err   error
}

const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
	cyan  = "36"
)

func (p *page) paint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *page) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.out, format, args...); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *page) title(s string) { p.printf("\n%s\n", p.paint(bold, s)) }

func (p *page) step(title string) {
	p.steps++
	p.printf("\n%s\n", p.paint(bold, fmt.Sprintf("%d. %s", p.steps, title)))
}

func (p *page) say(format string, args ...any) { p.printf("   "+format+"\n", args...) }

func (p *page) request(key string, cents int64) {
	p.printf("   %s POST /payments  Idempotency-Key: %s  alice → bob %s\n", p.paint(cyan, "→"), key, money(cents))
}

func (p *page) answer(a answer) { p.printf("   %s %s\n", p.paint(cyan, "←"), a) }

func (p *page) check(ok bool, what string) {
	if ok {
		p.printf("   %s %s\n", p.paint(green, "✓"), what)
		return
	}
	p.printf("   %s %s\n", p.paint(red, "✗"), what)
}

func (p *page) code(line string) { p.printf("   %s\n", line) }
