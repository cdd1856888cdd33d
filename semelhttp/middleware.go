package semelhttp

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/semel-go/semel"
)

// Middleware guards handlers with idempotency keys. It is safe for concurrent use.
type Middleware struct {
	engine *semel.Engine
	scope  ScopeFunc
	cfg    Config
	print  *fingerprinter
}

// New checks cfg and returns a Middleware. scope is required, because a key
// that is not bound to its caller lets one caller read another's answer; use
// [Global] on purpose where there is only one caller.
func New(engine *semel.Engine, scope ScopeFunc, cfg Config) (*Middleware, error) {
	if engine == nil {
		return nil, errors.New("semelhttp: no engine")
	}
	if scope == nil {
		return nil, errors.New("semelhttp: no scope: say who the caller is, or Global() on purpose")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	print, err := cfg.Fingerprint.compile()
	if err != nil {
		return nil, err
	}
	return &Middleware{engine: engine, scope: scope, cfg: cfg, print: print}, nil
}

// With returns a Middleware for a route that differs in what change sets. The
// config it gets is m's with every default filled in; a changed preset brings
// its own Settle and Render unless change sets them.
func (m *Middleware) With(change func(*Config)) (*Middleware, error) {
	cfg := m.cfg
	cfg.Headers, cfg.Methods, cfg.Omit = slices.Clone(cfg.Headers), slices.Clone(cfg.Methods), slices.Clone(cfg.Omit)
	settle, render := cfg.Settle, cfg.Render
	cfg.Settle, cfg.Render = nil, nil
	change(&cfg)
	if cfg.Preset == m.cfg.Preset {
		if cfg.Settle == nil {
			cfg.Settle = settle
		}
		if cfg.Render == nil {
			cfg.Render = render
		}
	}
	return New(m.engine, m.scope, cfg)
}

// Wrap guards next. The order of checks is fixed: method, key, scope, body,
// then one atomic reserve. Everything before the reserve is refused without a
// trace. next runs at most once per attempt, in the caller's goroutine, under a
// context that a hang-up of the client does not end; its answer is sent when it
// is durable. A panic of next holds the key and goes on.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(m.cfg.Methods, r.Method) || isUpgrade(r) {
			next.ServeHTTP(w, r)
			return
		}
		id, found, err := KeyHeader(r.Header, m.cfg.Headers)
		switch {
		case err != nil:
			m.refuse(w, r, ProblemKeyInvalid, detail(err))
		case !found && m.cfg.Optional:
			next.ServeHTTP(w, r)
		case !found:
			m.refuse(w, r, ProblemKeyMissing, nil)
		default:
			m.guard(w, r, id, next)
		}
	})
}

func isUpgrade(r *http.Request) bool {
	if r.Header["Upgrade"] == nil {
		return false
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "upgrade") {
				return true
			}
		}
	}
	return false
}

// guard reserves the slot and does what the outcome says.
func (m *Middleware) guard(w http.ResponseWriter, r *http.Request, id string, next http.Handler) {
	scope, err := m.scope(r)
	if err != nil {
		m.cfg.Logger.DebugContext(r.Context(), "a request has no scope", "err", err)
		m.refuse(w, r, ProblemScopeMissing, nil)
		return
	}
	s := getScratch()
	defer func() {
		if s != nil {
			s.free()
		}
	}()
	s.in = m.print.preamble(s.in[:0], r)
	preamble := len(s.in)
	s.in, err = readBody(s.in, r, m.cfg.MaxBody)
	if err != nil {
		m.refuseBody(w, r, err)
		return
	}
	key := semel.Key{Scope: scope, ID: id}
	out, err := m.engine.Begin(r.Context(), m.cfg.call(key, m.print.sum(s.in, preamble, r)))
	if err != nil {
		m.refuseFailure(w, r, err)
		return
	}
	switch out.Kind {
	case semel.Reserved:
		run := &recorder{mw: m, w: w, r: r, claim: out.Claim, s: s, length: -1}
		run.body.rest = s.in[preamble:]
		maps.Copy(s.outer, w.Header())
		s = nil // the run's now
		m.run(run, next)
	case semel.Replay:
		m.replay(w, r, out.Record)
	case semel.InFlight:
		if out.Lapsed {
			m.refuse(w, r, ProblemOutcomeUnknown, m.reference(key))
			return
		}
		m.refuse(w, r, ProblemInFlight, nil)
	case semel.Conflict:
		m.refuse(w, r, ProblemKeyConflict, nil)
	}
}

// run lets the handler make its answer. Whatever leaves without finishing, a
// panic above all, holds the key.
func (m *Middleware) run(c *recorder, next http.Handler) {
	ctx := c.claim.Attach(c.r.Context())
	defer c.claim.Detach()
	defer func() { c.close().free() }()
	defer c.claim.Abandon(ctx)

	r := c.r.WithContext(ctx)
	r.ContentLength, r.TransferEncoding = int64(len(c.body.rest)), nil
	r.Body = http.NoBody
	if len(c.body.rest) > 0 {
		r.Body = &c.body
	}
	next.ServeHTTP(c, r)
	c.finish(ctx)
}
