package semel

import (
	"context"
	"fmt"
	"log/slog"
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
	// StepWait is a call that waits for an attempt in flight, see [Call.Wait], and StepPoll each
	// time that it asks the store meanwhile.
	StepWait
	StepPoll
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
	case StepWait:
		return "wait"
	case StepPoll:
		return "poll"
	}
	return "invalid"
}

// Op describes a step that begins.
type Op struct {
	Step Step
	// Route is [Call].Route of the attempt; empty for steps over many slots.
	Route string

	engine  *Engine
	key     Key       // zero for steps over many slots
	started time.Time // of the attempt; zero when there is none yet
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

// Wake says why the store was asked whether an attempt that a call waits for has ended.
type Wake uint8

// The reasons: it was time to ask; an attempt of this process ended; another process hinted
// that one had, see [Config.Hints].
const (
	WakeTimer Wake = iota + 1
	WakeLocal
	WakeHint
)

// String returns the name in lower case, fit for a metric label; "none" for the zero value.
func (w Wake) String() string {
	switch w {
	case WakeTimer:
		return "timer"
	case WakeLocal:
		return "local"
	case WakeHint:
		return "hint"
	}
	return "none"
}

// Event describes a step that ended.
type Event struct {
	// Kind is the outcome of a reserve, a wait or a poll; 0 otherwise or when Err is set.
	Kind Kind
	// Lapsed is true when the outcome met a lapsed attempt.
	Lapsed bool
	// Waits is true when a reserve has met an attempt in flight and the call waits: its
	// outcome is that of the wait which follows.
	Waits bool
	// Woke is why the store was asked whose answer has ended a wait; 0 when nothing came of the
	// wait, and for other steps.
	Woke Wake
	// Count is how many holders were renewed, records purged, lapsed ones looked
	// at, or polls made; 1 otherwise.
	Count int
	// Lost is how many of Count were lost.
	Lost int
	// Lapses, when a reserve, a wait or a poll was granted, is how many earlier attempts of unknown outcome
	// it has taken over, see [Record].
	Lapses int
	// Bytes is the size of header and body of the response that a complete has stored,
	// sealed if they are; of a commit, if it has completed too.
	Bytes int
	// More is true when a purge has left something that is over.
	More bool
	// Err is the failure, or ErrLost.
	Err error
	// Took is how long the step took, retries included.
	Took time.Duration
	// Age is how old the attempt was when the step began: the time since its reserve
	// began. 0 for a reserve and for steps of no one attempt.
	Age time.Duration
}

// Observer is called when a step begins. The context it returns is used for the
// step, the func, when not nil, is called once when the step ends. It must be
// safe for concurrent use and must not block.
type Observer func(ctx context.Context, op Op) (context.Context, func(Event))

// Observers makes one Observer of several: they are called in their order, each with the
// context of the one before, and their ends in the other order, as spans nest. Nil ones are
// left out; of none at all it makes nil. A step costs an allocation for each observer after
// the first that wants to see its end.
func Observers(observers ...Observer) Observer {
	var all Observer
	for _, next := range observers {
		switch {
		case next == nil:
		case all == nil:
			all = next
		default:
			all = inOrder(all, next)
		}
	}
	return all
}

func inOrder(outer, inner Observer) Observer {
	return func(ctx context.Context, op Op) (context.Context, func(Event)) {
		ctx, outerEnd := outer(ctx, op)
		ctx, innerEnd := inner(ctx, op)
		switch {
		case innerEnd == nil:
			return ctx, outerEnd
		case outerEnd == nil:
			return ctx, innerEnd
		}
		return ctx, func(ev Event) {
			innerEnd(ev)
			outerEnd(ev)
		}
	}
}

// observe tells the observer, if there is one, that a step begins.
func (e *Engine) observe(ctx context.Context, op Op) (context.Context, func(Event)) {
	if e.cfg.Observe == nil {
		return ctx, unseen
	}
	op.engine = e
	start := time.Now()
	ctx, end := e.cfg.Observe(ctx, op)
	if end == nil {
		return ctx, unseen
	}
	var age time.Duration
	if !op.started.IsZero() {
		age = start.Sub(op.started)
	}
	return ctx, func(ev Event) {
		ev.Took, ev.Age = time.Since(start), age
		end(ev)
	}
}

// unseen is the end of a step that nobody wants to see.
func unseen(Event) {}

// tell logs what has become of an attempt, by reference and fence. A sweep does the same to
// the same records round by round: that is for debugging.
func (e *Engine) tell(ctx context.Context, level slog.Level, c *Claim, msg string, args ...any) {
	if turn := FromContext(ctx); turn != nil && turn.key == sweepKey {
		level = slog.LevelDebug
	}
	if !e.cfg.Logger.Enabled(ctx, level) {
		return // before the reference is made
	}
	args = append(args, "ref", e.Ref(c.key), "fence", c.fence, "route", c.route)
	e.cfg.Logger.Log(ctx, level, msg, args...) //nolint:sloglint // the callers' messages are constants
}

// op is a step of the attempt of c.
func (c *Claim) op(step Step) Op {
	return Op{Step: step, Route: c.route, key: c.key, started: c.attempt.started}
}

// reserved is the event of a reserve that has ended.
func reserved(held *Record, r Reservation, patient bool, err error) Event {
	ev := Event{Kind: kindOf(*held, r, err), Lapsed: held.Lapsed, Count: 1, Err: err}
	ev.Waits = patient && err == nil && decide(*held, r, Hold) == waits
	if ev.Kind == Reserved {
		ev.Lapses = held.Lapses
	}
	return ev
}
