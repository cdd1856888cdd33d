package cli

import (
	"fmt"
	"io"
	"time"
)

// progress is one line on a terminal that is written anew: numbers at most ten times a
// second. Elsewhere it is silent.
type progress struct {
	w     io.Writer // nil: silent
	done  string    // the verb, when it is done
	total int       // 0: not known
	last  time.Time
}

func (a *app) progress(done string, total int) *progress {
	if !isTerminal(a.err) {
		return &progress{}
	}
	return &progress{w: a.err, done: done, total: total}
}

func (p *progress) show(n int) {
	if p.w == nil || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	if p.total > 0 {
		p.line("%s %d of about %d records", p.done, n, p.total)
		return
	}
	p.line("%s %d records", p.done, n)
}

// migration shows a step of which each may take long.
func (p *progress) migration(version, of int) { p.line("schema: migration %d of %d", version, of) }

func (p *progress) line(format string, args ...any) {
	if p.w == nil {
		return
	}
	p.last = time.Now()
	_, _ = fmt.Fprintf(p.w, "\rsemel: "+format+"\x1b[K", args...) // to the end of the line
}

// end clears the line.
func (p *progress) end() {
	if p.w != nil && !p.last.IsZero() {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
