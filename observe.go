package semel

import (
	"context"
	"fmt"
	"time"
)

// Step names one thing the engine does, for observation and errors.
type Step uint8

// The steps of an attempt.
const (
	StepReserve Step = iota + 1
	StepComplete
	StepRelease
	StepAbandon
	StepRenew
	StepRecover
	StepPurge
	StepBeginEffects
	StepLock
	StepCommit
	StepSweep
	// StepSeal and StepOpen are the [Sealer] at work on a response; they do not
	// happen without one.
	StepSeal
	StepOpen
)

// String returns the name in lower case, fit for a metric label.
func (s Step) String() string {
	switch s {
	case StepReserve:
		return "reserve"
	case StepComplete:
		return "complete"
	case StepRelease:
		return "release"
	case StepAbandon:
		return "abandon"
	case StepRenew:
		return "renew"
	case StepRecover:
		return "recover"
	case StepPurge:
		return "purge"
	case StepBeginEffects:
		return "begin-effects"
	case StepLock:
		return "lock"
	case StepCommit:
		return "commit"
	case StepSweep:
		return "sweep"
	case StepSeal:
		return "seal"
	case StepOpen:
		return "open"
	}
	return "invalid"
}

// Op describes a step that begins.
type Op struct {
	Step Step
	// Route is [Call].Route of the attempt; empty for steps over many slots.
	Route string

	engine *Engine
	key    Key // zero for steps over many slots
}

// Ref returns the keyed hash of the slot, see [Engine.Ref]. It is empty for
// steps over many slots. It is made when asked for: it costs two hashes.
func (o Op) Ref() string {
	if o.key == (Key{}) {
		return ""
	}
	return o.engine.Ref(o.key)
}

// Format implements [fmt.Formatter], so that no verb prints the key.
func (o Op) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "%s:%s", o.Step, o.Ref()) }

// Event describes a step that ended.
type Event struct {
	// Kind is the outcome of a reserve; 0 otherwise or when Err is set.
	Kind Kind
	// Lapsed is true when the outcome met a lapsed attempt.
	Lapsed bool
	// Count is how many holders were renewed, records purged or lapsed ones looked
	// at; 1 otherwise.
	Count int
	// Lost is how many of Count were lost.
	Lost int
	// Err is the failure, or ErrLost.
	Err error
	// Took is how long the step took, retries included.
	Took time.Duration
}

// Observer is called when a step begins. The context it returns is used for the
// step, the func, when not nil, is called once when the step ends. It must be
// safe for concurrent use and must not block.
type Observer func(ctx context.Context, op Op) (context.Context, func(Event))
