package semel

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Inspector reads what a store's promise rests on, for the log at start and for
// the operator (semel doctor).
type Inspector interface {
	// Inspect asks the server for its version, its clock, the schema and the
	// settings that the promise depends on. It changes nothing, and ctx may be
	// cancelled. It fails only when the server cannot be asked: what it finds
	// wrong is a [Finding].
	Inspect(ctx context.Context) (Inspection, error)
}

// Inspection is what an [Inspector] found.
type Inspection struct {
	// Server is product and version, such as "PostgreSQL 15.18".
	Server string
	// Clock is the time by the store's clock when it answered; zero when the
	// store measures with the clock of this process.
	Clock time.Time
	// Findings are in the order in which an operator should read them.
	Findings []Finding
}

// Announce logs what a store on a server promises, when it begins to serve: one
// line with the grade, and a warning for each [Weak] finding.
func (i Inspection) Announce(ctx context.Context, log *slog.Logger, g Grade) {
	log.InfoContext(ctx, "the store serves", "server", i.Server, "grade", g.Letter, "survives", g.Survives)
	for _, f := range i.Findings {
		if f.Level == Weak {
			log.WarnContext(ctx, "the store promises less than it could", "name", f.Name, "value", f.Value, "advice", f.Advice)
		}
	}
}

// Finding is one fact about a store and what it means.
type Finding struct {
	// Name is the server's own name of a setting, such as "synchronous_commit",
	// or a word such as "schema".
	Name string
	// Value is what was found. It never holds a secret.
	Value string
	// Level says what it means.
	Level Level
	// Advice says what to change, and why, in one sentence. Empty when Level is
	// [Fine].
	Advice string
}

// Level says what a [Finding] means for the promise.
type Level uint8

// The levels.
const (
	// Fine: as it should be.
	Fine Level = iota
	// Weak: the store works and promises less than it could.
	Weak
	// Broken: the store must not serve like this.
	Broken
)

// String returns "fine", "weak" or "broken".
func (l Level) String() string {
	switch l {
	case Fine:
		return "fine"
	case Weak:
		return "weak"
	case Broken:
		return "broken"
	}
	return "invalid"
}

// UnfitError is why a store must not serve: the broken findings of an
// inspection. The Validate of a store on a server returns it.
type UnfitError struct {
	Findings []Finding
}

// Unfit returns an [*UnfitError] with those of findings that are [Broken], or
// nil when there are none.
func Unfit(findings []Finding) error {
	var broken []Finding
	for _, f := range findings {
		if f.Level == Broken {
			broken = append(broken, f)
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return &UnfitError{broken}
}

// Error names each finding, what was found and what to change.
func (e *UnfitError) Error() string {
	var b strings.Builder
	b.WriteString("the server is not fit")
	for i, f := range e.Findings {
		separator := ": "
		if i > 0 {
			separator = "; "
		}
		_, _ = fmt.Fprintf(&b, "%s%s is %s: %s", separator, f.Name, f.Value, f.Advice)
	}
	return b.String()
}
