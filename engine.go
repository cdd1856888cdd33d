package semel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Call is one request to [Engine.Begin].
type Call struct {
	Key         Key
	Fingerprint Fingerprint
	// Retention, when more than zero, replaces Config.Retention. What is less
	// than the attempt's MaxRun counts as MaxRun.
	Retention time.Duration
	// MaxRun, when more than zero, replaces Config.MaxRun.
	MaxRun time.Duration
	// Lease, when more than zero, replaces Config.Lease. What is less than a second counts as
	// one; what is longer than the MaxRun of the engine raises that for the attempt.
	Lease time.Duration
	// Wait is for how long a call that meets an attempt in flight waits for its end before
	// that is its outcome, at most [MaxWait]. It may wait for less: when ctx ends, when the
	// engine is closed, when the store fails, when too many wait ([Config.MaxWaiters]), and
	// when the attempt is the one that ctx is of; and for longer by one question to the store. A
	// conflict, and an unknown outcome that the policy holds, are told at once. When the
	// attempt is given up or its slot freed, the call may get it. Default: it does not wait.
	Wait time.Duration
	// Lapsed, when not zero, replaces Config.Lapsed and Config.Recover.
	Lapsed Policy
	// Recover belongs to Lapsed; needed if and only if Lapsed is Recover.
	Recover RecoverFunc
	// DeferEffects promises that the attempt has no effect before
	// [Claim.BeginEffects], or only what commits together with its completion
	// ([Claim.CompleteIn]). When it lapses before that, the next one runs under
	// every policy: nothing is unknown. Default: effects may begin at once.
	DeferEffects bool
	// Route names the kind of request, such as "POST /payments", for the operator and
	// for metrics: one of few names, and nothing from a request. What is longer than
	// [MaxRouteLen] bytes is cut. Default: none.
	Route string
}

// Engine runs attempts against one store. It is safe for concurrent use.
type Engine struct {
	cfg       Config
	store     Store
	renewer   Renewer // nil when the store cannot
	immediate bool

	running attempts // what is renewed
	waiting waiters  // for attempts that run
	hints   *hinting // nil without Config.Hints
	refs    macs
	workers workers

	mu     sync.Mutex
	closed bool
	held   int             // the goroutines and steps that Close waits for
	idle   chan struct{}   // closed when the engine is, and nothing is held
	stop   chan struct{}   // closed by Close
	quit   context.Context //nolint:containedctx // ends background work when Close runs out of time
	abort  context.CancelFunc
}

// New checks cfg and returns an Engine over store. It does no I/O and starts no
// goroutine; [Engine.Close] ends what the engine starts later.
func New(store Store, cfg Config) (*Engine, error) {
	if store == nil {
		return nil, errors.New("semel: no store")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, store: store, workers: make(workers), stop: make(chan struct{}), idle: make(chan struct{})}
	e.running.hurry = make(chan struct{}, 1)
	e.renewer, _ = As[Renewer](store)
	_, e.immediate = As[Immediate](store)
	e.quit, e.abort = context.WithCancel(context.Background()) //nolint:forbidigo // the root of what outlives every request
	if e.hints, err = newHinting(e); err != nil {
		return nil, err
	}
	return e, nil
}

// Ref returns a short keyed hash that names a slot in logs, answers and
// metrics, where the key itself must never appear: 12 hexadecimal digits. It is that
// of a stored key, as records and claims have it; see [Engine.StoredKey].
func (e *Engine) Ref(key Key) string {
	slot := key.Slot()
	return e.refs.short(e.cfg.Secret, "ref", slot[:])
}

// Running reports how many attempts run in this engine now, and for how long the
// oldest has.
func (e *Engine) Running() (n int, oldest time.Duration) { return e.running.count(time.Now()) }

// Store returns the store the engine was made with.
func (e *Engine) Store() Store { return e.store }

// Lapsed returns the policy for lapsed attempts of calls that have none of their own.
func (e *Engine) Lapsed() Policy { return e.cfg.Lapsed }

// Format implements [fmt.Formatter], so that no verb prints the secret.
func (e *Engine) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "engine:%s", e.cfg.Owner) }

// Begin reserves the slot of call or says why it cannot. An error means that
// nothing is known about the slot: the store failed or did not answer in time
// ([*StoreError]), the kept response cannot be read ([ErrDamaged]), what a
// recovery hook found is not stored yet ([ErrNotStored]), the key of the kept
// responses is not at hand ([ErrKeyUnavailable]), the call is invalid,
// or the engine is closed ([ErrClosed]). The caller must then refuse the
// request and may not run it.
//
// ctx gives values and says whether the caller is still there before the
// reserve; cancelling it later has no effect on the attempt. Its values may be
// read after Begin has returned, by a step that is late.
func (e *Engine) Begin(ctx context.Context, call Call) (Outcome, error) {
	if err := e.admit(&call); err != nil {
		return Outcome{}, err
	}
	return e.begin(ctx, call)
}

// begin is Begin for a call with a stored key.
func (e *Engine) begin(ctx context.Context, call Call) (Outcome, error) {
	r, err := e.reservation(ctx, &call)
	if err != nil {
		return Outcome{}, err
	}
	start := time.Now() // before the request leaves: the owner gives up first
	held, err := e.reserve(ctx, r, question{step: StepReserve, patient: call.Wait > 0})
	if err != nil {
		return Outcome{}, err
	}
	verdict := decide(held, r, call.Lapsed)
	if verdict == waits && call.Wait > 0 {
		held, start = e.waitFor(ctx, r, call.Lapsed, call.Wait, held)
		verdict = decide(held, r, call.Lapsed)
	}
	if verdict != runs && verdict != asks {
		return e.answer(ctx, verdict, held)
	}
	if err := e.prepare(start, r.Lease); err != nil {
		e.undo(ctx, r, held.Lapses > 0)
		return Outcome{}, err
	}
	c := e.claim(held, r, start, call.MaxRun)
	if c == nil {
		e.undo(ctx, r, held.Lapses > 0)
		return Outcome{}, ErrClosed
	}
	if held.Lapses > 0 {
		e.tell(ctx, slog.LevelWarn, c, "a lapsed attempt is taken over", "lapses", held.Lapses, "policy", call.Lapsed.String())
	}
	if verdict == asks {
		return e.recoverLapsed(ctx, call.Recover, c, held)
	}
	return Outcome{Kind: Reserved, Record: held, Claim: c}, nil
}

// reservation is what call asks of the store. It fills in what call leaves to the
// engine.
func (e *Engine) reservation(ctx context.Context, call *Call) (Reservation, error) {
	if err := context.Cause(ctx); err != nil {
		return Reservation{}, err
	}
	if call.Lapsed != 0 || call.Recover != nil {
		if err := checkPolicy(call.Lapsed, call.Recover); err != nil {
			return Reservation{}, err
		}
	} else {
		call.Lapsed, call.Recover = e.cfg.Lapsed, e.cfg.Recover
	}
	if e.hints != nil {
		e.hints.begin()
	}
	call.Lease = max(or(call.Lease, e.cfg.Lease), minLease)
	call.MaxRun = or(call.MaxRun, max(e.cfg.MaxRun, call.Lease))
	return Reservation{
		Key:               call.Key,
		Fingerprint:       call.Fingerprint,
		Token:             NewToken(),
		Lease:             call.Lease,
		Margin:            e.cfg.Margin,
		Retention:         max(or(call.Retention, e.cfg.Retention), call.MaxRun),
		TakeOver:          call.Lapsed != Hold,
		TakeOverBlameless: true,
		Deferred:          call.DeferEffects,
		Owner:             e.cfg.Owner,
		Route:             call.Route[:min(len(call.Route), MaxRouteLen)],
	}, nil
}

func or(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// answer is the outcome for a slot that is not the caller's. Only a replay
// shows the kept response.
func (e *Engine) answer(ctx context.Context, v verdict, held Record) (Outcome, error) {
	out := Outcome{Record: held}
	out.Record.Response = Response{}
	switch v {
	case replays:
		opened, err := e.open(ctx, held)
		if err != nil {
			return Outcome{}, err
		}
		out.Kind, out.Record.Response = Replay, opened
	case waits:
		out.Kind = InFlight
	case unknown:
		out.Kind, out.Lapsed = InFlight, true
	case refuses:
		out.Kind = Conflict
	case runs, asks, broken:
		return Outcome{}, &StoreError{StepReserve, nonsense(held)}
	}
	return out, nil
}

func nonsense(held Record) error {
	return fmt.Errorf("the store answered a %s record that no reserve can leave", held.State)
}
