package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/semel-go/semel"
)

// MaxActorLen is the longest name of an actor, in bytes.
const MaxActorLen = 255

// Config is what a [Desk] may be told.
type Config struct {
	// Actor names who works here, for the trail and for the reasons that are kept
	// with records: one line of up to [MaxActorLen] bytes. Required.
	Actor string
	// Margin is added to a lease before it counts as lapsed. It must be that of the
	// engines that serve, or an attempt that still runs could be resolved. Default
	// [semel.DefaultMargin]; negative is zero.
	Margin time.Duration
	// Retention is how long a resolved record is remembered, counted from the
	// resolution. Default [semel.DefaultRetention].
	Retention time.Duration
	// RetentionOf returns the same for the records of one route, see
	// [semel.Record.Route]; 0 is Retention. It must be safe for concurrent use. Default:
	// no route differs.
	RetentionOf func(route string) time.Duration
	// WithoutTrail lets people act on a store that keeps no trail. Nobody can show
	// afterwards who did what. Default: actions are refused with [ErrNoTrail].
	WithoutTrail bool
}

// Desk is where an operator works on one store. It is safe for concurrent use. Make
// one with [New].
type Desk struct {
	*office
	actor string
}

// office is what the desks of one store share.
type office struct {
	engine   *semel.Engine
	store    semel.Store
	lister   semel.Lister
	sifter   semel.Sifter   // nil when the store's lists pass over few records
	resolver semel.Resolver // nil when the store cannot
	auditor  semel.Auditor  // likewise
	cfg      Config

	mu     sync.Mutex
	closed bool
	acts   sync.WaitGroup // the actions under way
}

// New returns a desk over the store of engine, whose sealer and secret it uses. It
// does no I/O. It fails when cfg is invalid or the store is no [semel.Lister].
func New(engine *semel.Engine, cfg Config) (*Desk, error) {
	if engine == nil {
		return nil, errors.New("operator: no engine")
	}
	store := engine.Store()
	lister, ok := semel.As[semel.Lister](store)
	if !ok {
		return nil, errors.New("operator: the store cannot list its records")
	}
	switch {
	case cfg.Margin == 0:
		cfg.Margin = semel.DefaultMargin
	case cfg.Margin < 0:
		cfg.Margin = 0
	}
	if cfg.Retention == 0 {
		cfg.Retention = semel.DefaultRetention
	}
	if cfg.Retention < 0 {
		return nil, fmt.Errorf("operator: Config.Retention is %v, less than 0", cfg.Retention)
	}
	o := &office{engine: engine, store: store, lister: lister, cfg: cfg}
	o.sifter, _ = semel.As[semel.Sifter](store)
	o.resolver, _ = semel.As[semel.Resolver](store)
	o.auditor, _ = semel.As[semel.Auditor](store)
	return (&Desk{office: o}).As(cfg.Actor)
}

// As returns the same desk for another actor.
func (d *Desk) As(actor string) (*Desk, error) {
	switch {
	case actor == "":
		return nil, errors.New("operator: no actor")
	case len(actor) > MaxActorLen:
		return nil, fmt.Errorf("operator: the actor's name has %d bytes, more than %d", len(actor), MaxActorLen)
	case !utf8.ValidString(actor) || hasBreak(actor):
		return nil, errors.New("operator: the actor's name is not one line of UTF-8")
	}
	return &Desk{d.office, actor}, nil
}

// Actor returns who works at this desk.
func (d *Desk) Actor() string { return d.actor }

// Retention returns how long rec is remembered once it is resolved.
func (d *Desk) Retention(rec semel.Record) time.Duration {
	if d.cfg.RetentionOf != nil {
		if own := d.cfg.RetentionOf(rec.Route); own > 0 {
			return own
		}
	}
	return d.cfg.Retention
}

// CanAct reports why nobody can resolve here: nil, [ErrNoTrail], or an error that
// wraps [errors.ErrUnsupported].
func (d *Desk) CanAct() error {
	switch {
	case d.resolver == nil:
		return fmt.Errorf("operator: the store cannot resolve records: %w", errors.ErrUnsupported)
	case d.auditor == nil && !d.cfg.WithoutTrail:
		return ErrNoTrail
	}
	return nil
}

// Ref returns the reference of a record in answers and logs, see [semel.Engine.Ref].
func (d *Desk) Ref(rec semel.Record) string { return d.engine.Ref(rec.Key) }

// Close waits for the actions under way, whose callers may have left, at all desks of
// the store, or until ctx ends. No action begins afterwards: it is refused with
// [semel.ErrClosed].
func (d *Desk) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last action
		d.acts.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter counts an action until its d.acts.Done, unless the desk is closed.
func (o *office) enter() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.acts.Add(1)
	return true
}
