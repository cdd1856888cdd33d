package semel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"
)

// Defaults of [Config]. docs/guarantees.md gives the reasons.
const (
	DefaultLease           = 30 * time.Second
	DefaultMargin          = 2 * time.Second
	DefaultMaxRun          = 5 * time.Minute
	DefaultRetention       = 24 * time.Hour
	DefaultReserveTimeout  = 2 * time.Second
	DefaultCompleteTimeout = 10 * time.Second
)

// Config is what an [Engine] may be told. The zero value is safe.
type Config struct {
	// Lease protects a running attempt; it is renewed every third of it while
	// the attempt runs. Default 30 s, at least 1 s. Longer means that the key
	// of a crashed process is held for longer before anybody may look into it.
	Lease time.Duration
	// Margin is added to a lease before it counts as lapsed, so that an owner
	// gives up before anybody else may begin. Default 2 s; negative is zero.
	Margin time.Duration
	// MaxRun is the hard cap of one attempt: its handler's context is then
	// cancelled with cause ErrOverran and its lease is no longer renewed.
	// Default 5 min, at least Lease.
	MaxRun time.Duration
	// Retention is how long a kept response is replayed, counted from the
	// reservation. Default 24 h or MaxRun, whichever is longer; at least
	// MaxRun, as a slow attempt's response would be over before it was kept.
	// It must exceed the time for which clients retry: after it, the key runs
	// again. A Call may say otherwise.
	Retention time.Duration
	// ReserveTimeout bounds a reserve, its repetition included; then Begin
	// fails. Default 2 s. Begin also fails when no more than a sixth of the
	// lease is left by then, as nobody could run under it.
	ReserveTimeout time.Duration
	// CompleteTimeout bounds the tries to complete before the caller is told
	// ErrNotStored and the engine goes on in the background. Default 10 s.
	CompleteTimeout time.Duration
	// Lapsed says what happens to a slot whose attempt lapsed. Default Hold.
	// A Call may say otherwise.
	Lapsed Policy
	// Recover is asked under the policy Recover; needed if and only if Lapsed
	// is Recover. It runs under a fresh reservation and may be called again
	// when it failed or did not know.
	Recover RecoverFunc
	// Owner names this process in records. Default host name and process id.
	Owner string
	// Secret keys [Claim.DerivedKey] and [Engine.Ref]. It must be the same in
	// every process and for as long as keys are retried. Default: none, and
	// both are plain hashes that somebody who knows the key can compute.
	Secret Secret
	// Sealer encrypts kept responses. Default: none.
	Sealer Sealer
	// Observe is called at every step. Default: none.
	Observe Observer
	// Logger gets what nobody else is told: lost completions, responses that
	// were stored late or never. Default [slog.Default].
	Logger *slog.Logger
}

// Call is one request to [Engine.Begin].
type Call struct {
	Key         Key
	Fingerprint Fingerprint
	// Retention, when more than zero, replaces Config.Retention. What is less
	// than the attempt's MaxRun counts as MaxRun.
	Retention time.Duration
	// MaxRun, when more than zero, replaces Config.MaxRun.
	MaxRun time.Duration
	// Lapsed, when not zero, replaces Config.Lapsed and Config.Recover.
	Lapsed Policy
	// Recover belongs to Lapsed; needed if and only if Lapsed is Recover.
	Recover RecoverFunc
}

// Engine runs attempts against one store. It is safe for concurrent use.
type Engine struct {
	cfg       Config
	store     Store
	renewer   Renewer // nil when the store cannot
	immediate bool

	running attempts // what is renewed

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
	e := &Engine{cfg: cfg, store: store, stop: make(chan struct{}), idle: make(chan struct{})}
	e.renewer, _ = As[Renewer](store)
	_, e.immediate = As[Immediate](store)
	e.quit, e.abort = context.WithCancel(context.Background()) //nolint:forbidigo // the root of what outlives every request
	return e, nil
}

func (c Config) withDefaults() (Config, error) {
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	c.MaxRun = cmp.Or(c.MaxRun, max(DefaultMaxRun, c.Lease))
	c.Retention = cmp.Or(c.Retention, max(DefaultRetention, c.MaxRun))
	c.ReserveTimeout = cmp.Or(c.ReserveTimeout, DefaultReserveTimeout)
	c.CompleteTimeout = cmp.Or(c.CompleteTimeout, DefaultCompleteTimeout)
	for _, d := range []struct {
		name       string
		got, least time.Duration
	}{
		{"Lease", c.Lease, time.Second},
		{"MaxRun", c.MaxRun, c.Lease},
		{"Retention", c.Retention, c.MaxRun},
		{"ReserveTimeout", c.ReserveTimeout, time.Millisecond},
		{"CompleteTimeout", c.CompleteTimeout, time.Millisecond},
	} {
		if d.got < d.least {
			return c, fmt.Errorf("semel: Config.%s is %v, less than %v", d.name, d.got, d.least)
		}
	}
	switch {
	case c.Margin == 0:
		c.Margin = DefaultMargin
	case c.Margin < 0:
		c.Margin = 0
	}
	if err := checkPolicy(c.Lapsed, c.Recover); err != nil {
		return c, err
	}
	if c.Lapsed == 0 {
		c.Lapsed = Hold
	}
	if c.Owner == "" {
		host, _ := os.Hostname() // an unknown host leaves the process id
		c.Owner = host + "/" + strconv.Itoa(os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// Ref returns a short keyed hash that names a slot in logs, answers and
// metrics, where the key itself must never appear: 12 hexadecimal digits.
func (e *Engine) Ref(key Key) string {
	slot := key.Slot()
	return shortMAC(e.cfg.Secret, "ref", slot[:])
}

// Store returns the store the engine was made with.
func (e *Engine) Store() Store { return e.store }

// Format implements [fmt.Formatter], so that no verb prints the secret.
func (e *Engine) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "engine:%s", e.cfg.Owner) }

// Begin reserves the slot of call or says why it cannot. An error means that
// nothing is known about the slot: the store failed or did not answer in time
// ([*StoreError]), the kept response cannot be read ([ErrDamaged]), what a
// recovery hook found is not stored yet ([ErrNotStored]), the call is invalid,
// or the engine is closed ([ErrClosed]). The caller must then refuse the
// request and may not run it.
//
// ctx gives values and says whether the caller is still there before the
// reserve; cancelling it later has no effect on the attempt. Its values may be
// read after Begin has returned, by a step that is late.
func (e *Engine) Begin(ctx context.Context, call Call) (Outcome, error) {
	if err := call.Key.Validate(); err != nil {
		return Outcome{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return Outcome{}, err
	}
	policy, hook := e.cfg.Lapsed, e.cfg.Recover
	if call.Lapsed != 0 || call.Recover != nil {
		policy, hook = call.Lapsed, call.Recover
		if err := checkPolicy(policy, hook); err != nil {
			return Outcome{}, err
		}
	}
	maxRun := or(call.MaxRun, e.cfg.MaxRun)
	r := Reservation{
		Key:         call.Key,
		Fingerprint: call.Fingerprint,
		Token:       NewToken(),
		Lease:       e.cfg.Lease,
		Margin:      e.cfg.Margin,
		Retention:   max(or(call.Retention, e.cfg.Retention), maxRun),
		TakeOver:    policy != Hold,
		Owner:       e.cfg.Owner,
	}
	start := time.Now() // before the request leaves: the owner gives up first
	held, err := e.reserve(ctx, r)
	if err != nil {
		return Outcome{}, err
	}
	verdict := decide(held, r, policy)
	if verdict != runs && verdict != asks {
		return e.answer(verdict, held)
	}
	c := e.claim(held, start, r.Retention, maxRun)
	if c == nil {
		e.undo(ctx, r, held.Lapses > 0)
		return Outcome{}, ErrClosed
	}
	if verdict == asks {
		return e.recoverLapsed(ctx, hook, c, held)
	}
	return Outcome{Kind: Reserved, Record: held, Claim: c}, nil
}

func or(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// answer is the outcome for a slot that is not the caller's. Only a replay
// shows the kept response.
func (e *Engine) answer(v verdict, held Record) (Outcome, error) {
	out := Outcome{Record: held}
	out.Record.Response = Response{}
	switch v {
	case replays:
		opened, err := e.open(held.Key, held.Response)
		if err != nil {
			return Outcome{}, fmt.Errorf("%w: %w", ErrDamaged, err)
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

// reserve runs the store's Reserve.
func (e *Engine) reserve(ctx context.Context, r Reservation) (Record, error) {
	if e.isClosed() {
		return Record{}, ErrClosed
	}
	switch {
	case !e.immediate:
		return e.reserveWithin(ctx, r)
	case e.cfg.Observe != nil:
		return e.reserveSeen(ctx, r)
	}
	return e.reserveNow(ctx, r)
}

// reserveNow asks a store that never makes anybody wait.
func (e *Engine) reserveNow(ctx context.Context, r Reservation) (Record, error) {
	held, err := e.store.Reserve(ctx, r)
	if err != nil {
		return Record{}, &StoreError{StepReserve, err}
	}
	return held, nil
}

// reserveSeen is reserveNow under an observer.
func (e *Engine) reserveSeen(ctx context.Context, r Reservation) (held Record, err error) {
	ctx, end := e.observe(ctx, StepReserve, r.Key)
	err = errNoReturn
	defer func() { end(Event{Kind: kindOf(held, r, err), Lapsed: held.Lapsed, Count: 1, Err: err}) }()
	held, err = e.reserveNow(context.WithoutCancel(ctx), r)
	if err == nil && kindOf(held, r, nil) == 0 {
		err = &StoreError{StepReserve, nonsense(held)}
	}
	return held, err
}

// reserveWithin waits for no longer than the timeout and tries twice with the
// same token. When the result stays unknown it takes back in the background
// what may have been reserved.
func (e *Engine) reserveWithin(ctx context.Context, r Reservation) (held Record, err error) {
	if !e.hold() {
		return Record{}, ErrClosed
	}
	defer e.letGo()
	ctx, end := e.observe(ctx, StepReserve, r.Key)
	defer func() { end(Event{Kind: kindOf(held, r, err), Lapsed: held.Lapsed, Count: 1, Err: err}) }()

	start := time.Now()
	deadline := start.Add(e.cfg.ReserveTimeout)
	for try := 1; ; try++ {
		err = errNoReturn
		held, err = await(e, time.Until(deadline), func() (Record, error) {
			return e.store.Reserve(context.WithoutCancel(ctx), r)
		}, func(late Record, err error) {
			if err != nil || late.Token == r.Token {
				e.retry(e.stop, r.Lease, e.takeBack(ctx, r, err != nil || late.Lapses > 0, true))
			}
		})
		if err == nil || try == 2 || errors.Is(err, ErrFull) || !time.Now().Before(deadline) {
			break
		}
	}
	switch {
	case err != nil:
	case kindOf(held, r, nil) == 0:
		err = nonsense(held)
	case held.Token == r.Token && elapsed(start, time.Now())+e.tick() >= r.Lease:
		err = ErrTimeout // it is ours, but nothing of the lease is left to run under
	default:
		return held, nil
	}
	if !errors.Is(err, ErrFull) {
		e.inBackground(e.stop, r.Lease, e.takeBack(ctx, r, true, false))
	}
	return Record{}, &StoreError{StepReserve, err}
}

func kindOf(held Record, r Reservation, err error) Kind {
	if err != nil {
		return 0
	}
	switch decide(held, r, Rerun) {
	case runs, asks:
		return Reserved
	case replays:
		return Replay
	case refuses:
		return Conflict
	case waits, unknown:
		return InFlight
	case broken:
	}
	return 0
}

// undo gives back, in the background, a reservation under which nothing ran.
func (e *Engine) undo(ctx context.Context, r Reservation, tookOver bool) {
	e.inBackground(e.stop, r.Lease, e.takeBack(ctx, r, tookOver, true))
}

// takeBack returns a func that ends a reservation under which nothing ran, and
// reports whether that is done. arrived says that the reservation is known to
// have been made; if not, ErrLost may mean that it is still to come.
//
// One that took over a lapsed attempt, or may have, is not released: the slot
// would forget that an outcome is unknown, and the next attempt would run
// without asking (I7). Its lease is ended instead.
func (e *Engine) takeBack(ctx context.Context, r Reservation, tookOver, arrived bool) func() bool {
	ctx = context.WithoutCancel(ctx)
	return func() bool {
		if !tookOver || !r.TakeOver {
			err := e.store.Release(ctx, r.Key, r.Token)
			return err == nil || arrived && errors.Is(err, ErrLost)
		}
		if e.renewer == nil {
			return true // the lease ends by itself
		}
		lost, err := e.renewer.Renew(ctx, 0, []Holder{{r.Key, r.Token}})
		return err == nil && (arrived || len(lost) == 0)
	}
}
