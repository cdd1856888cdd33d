package semelhttp

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/semel-go/semel"
)

// Middleware guards handlers with idempotency keys. It is safe for concurrent use.
type Middleware struct {
	engine *semel.Engine
	scope  ScopeFunc
	given  Config // what the preset fills in is not
	cfg    Config
	preset *presetRow
	print  *fingerprinter
	member []string // the path of Config.KeyMember
	keyed  []string // methods that are guarded where a request has a key
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
	given, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	cfg = given.WithPreset()
	preset := cfg.Preset.row()
	if cfg.Tx != nil {
		if err := engine.CheckTransactions(cfg.Tx); err != nil {
			return nil, err
		}
	}
	counts := cfg.Fingerprint
	if preset.firstSent.is { // a retry that says another time would escape the guard
		counts.Headers = append(slices.Clip(counts.Headers), headerFirstSent)
	}
	print, err := counts.compile()
	if err != nil {
		return nil, err
	}
	member, err := keyMember(cfg.KeyMember)
	if err != nil {
		return nil, err
	}
	m := &Middleware{engine: engine, scope: scope, given: given, cfg: cfg, preset: preset, print: print, member: member}
	if slices.Equal(cfg.Methods, preset.methods.is) {
		m.keyed = slices.DeleteFunc(DefaultMethods(), func(method string) bool { return slices.Contains(cfg.Methods, method) })
	}
	return m, nil
}

// With returns a Middleware for a route that differs in what change sets. The
// config it gets is m's with its defaults filled in, except what m leaves to its preset:
// that is zero, so that another preset brings its own. [Config.WithPreset] fills it in. Methods
// are there in any case: one that is added to them stands beside the others.
func (m *Middleware) With(change func(*Config)) (*Middleware, error) {
	cfg := m.given
	cfg.Headers, cfg.Methods, cfg.Omit = slices.Clone(cfg.Headers), slices.Clone(cfg.Methods), slices.Clone(cfg.Omit)
	cfg.Fingerprint.Headers = slices.Clone(cfg.Fingerprint.Headers)
	cfg.Fingerprint.ExcludeMembers = slices.Clone(cfg.Fingerprint.ExcludeMembers)
	if len(m.given.Methods) == 0 {
		cfg.Methods = slices.Clone(m.cfg.Methods)
	}
	change(&cfg)
	if len(m.given.Methods) == 0 && slices.Equal(cfg.Methods, m.cfg.Methods) {
		cfg.Methods = nil
	}
	return New(m.engine, m.scope, cfg)
}

// WithScope returns a Middleware for a route whose callers are known in another way.
func (m *Middleware) WithScope(scope ScopeFunc) (*Middleware, error) {
	if scope == nil {
		return nil, errors.New("semelhttp: no scope: say who the caller is, or Global() on purpose")
	}
	other := *m
	other.scope = scope
	return &other, nil
}

// Wrap guards next. The order of checks is fixed: method, key (or the media type of a
// body that may have it), scope, body, then one atomic reserve. Everything before the reserve is refused without a
// trace. next runs at most once per attempt (see InTx for another rule), in the caller's goroutine, under a
// context that a hang-up of the client does not end; its answer is sent when it
// is durable. A panic of next holds the key and goes on.
//
// A next that flushes sends a stream, whose bytes are not kept: a retry is told
// response-not-kept. A call of gRPC, gRPC-Web or a stream of Connect is kept whole all the same,
// because their servers flush a single message too. So does an [net/http/httputil.ReverseProxy] whose upstream does not
// declare a length. Put an [http.TimeoutHandler] outside: inside, its 503 would
// free the key while the handler that it no longer waits for still runs.
//
// A request that offers to leave HTTP, as a WebSocket does, passes unguarded;
// an offer of another version of HTTP does not leave it. A request that the same
// engine guards already, by another Middleware around this one, goes straight
// to next: it is one attempt.
//
// What a middleware outside changes in the body, it must tell in
// r.ContentLength (-1 if it does not know): a body of another length is refused
// as incomplete. Header fields that it has set belong to its own request. They
// are not kept, except Content-Type, and a replay has them as they are then, also
// when next had removed them.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(m.cfg.Methods, r.Method) && !m.hasNeedlessKey(r) || leavesHTTP(r) {
			next.ServeHTTP(w, r)
			return
		}
		if m.cfg.Shadow != nil {
			m.shadow(w, r, next)
			return
		}
		id, found, err := m.keyInHead(r)
		switch {
		case err != nil:
			m.refuseKey(w, r, err)
		case found || m.mayHaveKey(r):
			m.guard(w, r, id, found, next)
		case m.mayLackKey(r):
			next.ServeHTTP(w, r)
		default:
			m.refuseKeyless(w, r)
		}
	})
}

// hasNeedlessKey reports whether a request has a key, or what is none, although the API of the
// preset gives none to its method. It is guarded all the same: whoever sends a key relies on it.
func (m *Middleware) hasNeedlessKey(r *http.Request) bool {
	if !slices.Contains(m.keyed, r.Method) {
		return false
	}
	_, found, err := m.keyInHead(r)
	return found || err != nil
}

// mayHaveKey reports whether the body may have the key, by its media type: what it
// cannot be in is not read for it.
func (m *Middleware) mayHaveKey(r *http.Request) bool {
	return m.member != nil && saysJSON(r.Header.Get("Content-Type"))
}

// leavesHTTP reports whether the connection may become something else than HTTP
// (RFC 9110 section 7.8). Some clients offer h2c with every request, and that
// must not let it pass.
func leavesHTTP(r *http.Request) bool {
	if r.Header["Upgrade"] == nil || !lists(r.Header["Connection"], func(option string) bool {
		return strings.EqualFold(option, "upgrade")
	}) {
		return false
	}
	return lists(r.Header["Upgrade"], func(protocol string) bool {
		name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
		return name != "h2c" && name != "http" && name != "tls"
	})
}

// lists reports whether a comma-separated list has an element that is wanted.
func lists(lines []string, wanted func(string) bool) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if wanted(strings.TrimSpace(element)) {
				return true
			}
		}
	}
	return false
}

// guard reserves the slot and does what the outcome says. The key is known, or may be in
// the body.
func (m *Middleware) guard(w http.ResponseWriter, r *http.Request, id string, found bool, next http.Handler) {
	scope, ok := m.caller(w, r, found)
	if !ok {
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
	var err error
	if s.in, err = readBody(s.in, r, m.cfg.MaxBody); err != nil {
		m.refuseBody(w, r, semel.Key{Scope: scope, ID: id}, err)
		return
	}
	if found && m.refuseFirstSent(w, r) { // the body may have taken its time
		return
	}
	if m.member != nil {
		if id, found = m.keyOrAnswer(w, r, next, s.in[preamble:], id, found); !found {
			return
		}
	}
	key := semel.Key{Scope: scope, ID: id}
	if m.isTrying(r, key) {
		giveTo(next, w, r, s.in[preamble:])
		return
	}
	call := m.call(r, key, m.print.sum(s.in, preamble, r))
	if m.cfg.Tx != nil {
		x := &transacting{mw: m, w: w, r: r, next: next, s: s, content: s.in[preamble:]}
		s = nil // the attempt's now
		x.run(call)
		return
	}
	out, err := m.engine.Begin(r.Context(), call)
	if err != nil {
		m.withoutStore(w, r, key, err, func() { giveTo(next, w, r, s.in[preamble:]) })
		return
	}
	switch out.Kind {
	case semel.Reserved:
		m.preset.mark(w.Header(), id)
		run := &recorder{mw: m, w: w, r: r, claim: out.Claim, s: s, length: -1}
		run.body.rest = s.in[preamble:]
		s.keepOuter(w.Header())
		s = nil // the run's now
		m.run(run, next)
	case semel.Replay:
		m.preset.mark(w.Header(), id)
		m.replay(w, r, out.Record)
	case semel.InFlight, semel.Conflict:
		if isInside(r, out.Record) {
			giveTo(next, w, r, s.in[preamble:])
			return
		}
		m.refuseHeld(w, r, key, out)
	}
}

// caller returns the scope of a request whose body is worth reading, or refuses it.
func (m *Middleware) caller(w http.ResponseWriter, r *http.Request, found bool) (scope string, ok bool) {
	if found && m.refuseFirstSent(w, r) {
		return "", false
	}
	scope, err := m.scope(r)
	if err != nil {
		m.cfg.Logger.DebugContext(r.Context(), "a request has no scope", "err", err)
		m.refuse(w, r, ProblemScopeMissing, nil)
		return "", false
	}
	return scope, true
}

// keyOrAnswer returns the key of a request whose body may have it, or answers without one.
func (m *Middleware) keyOrAnswer(w http.ResponseWriter, r *http.Request, next http.Handler, content []byte, id string, found bool) (string, bool) {
	id, found, err := m.keyInBody(r, content, id, found)
	switch {
	case err != nil:
		m.refuseKey(w, r, err)
	case found:
		return id, !m.refuseFirstSent(w, r)
	case m.mayLackKey(r):
		giveTo(next, w, r, content)
	default:
		m.refuseKeyless(w, r)
	}
	return "", false
}

// withoutStore runs a request unguarded when the store cannot be reached and the route
// wants that, and refuses it otherwise.
func (m *Middleware) withoutStore(w http.ResponseWriter, r *http.Request, key semel.Key, err error, run func()) {
	if !m.opens(r, err) {
		m.refuseFailure(w, r, key, err)
		return
	}
	w.Header().Set(HeaderStored, "false")
	run()
}

// opens reports whether a request runs unguarded because the store cannot be reached.
// What has run is never in doubt: a record that cannot be read is one of a request that
// ran, and so may be one whose end could not be stored.
func (m *Middleware) opens(r *http.Request, err error) bool {
	var failed *semel.StoreError
	return m.cfg.FailOpen != nil && errors.As(err, &failed) && failed.Step == semel.StepReserve &&
		!errors.Is(err, semel.ErrDamaged) && !errors.Is(err, semel.ErrNotStored) && m.cfg.FailOpen(r, err)
}

// giveTo runs next for a request whose body was read and that is guarded already.
func giveTo(next http.Handler, w http.ResponseWriter, r *http.Request, content []byte) {
	b := &body{rest: content}
	defer func() { _ = b.Close() }()
	next.ServeHTTP(w, b.give(r.WithContext(r.Context())))
}

func (m *Middleware) call(r *http.Request, key semel.Key, fp semel.Fingerprint) semel.Call {
	return semel.Call{
		Key: key, Fingerprint: fp,
		Retention: m.cfg.Retention, MaxRun: m.cfg.MaxRun, Lease: m.cfg.Lease, Wait: m.cfg.Wait, Lapsed: m.cfg.Lapsed, Recover: m.cfg.Recover,
		DeferEffects: m.cfg.DeferEffects, Route: m.route(r),
	}
}

// route names the kind of request.
func (m *Middleware) route(r *http.Request) string { return cmp.Or(m.cfg.Route, r.Pattern) }

// isInside reports whether r belongs to the attempt that holds the slot.
func isInside(r *http.Request, held semel.Record) bool {
	c := semel.FromContext(r.Context())
	return c != nil && c.Token() == held.Token
}

// run lets the handler make its answer. Whatever leaves without finishing, a
// panic above all, holds the key.
func (m *Middleware) run(c *recorder, next http.Handler) {
	ctx := c.claim.Attach(c.r.Context())
	defer c.claim.Detach()
	why := "panic" // or runtime.Goexit
	defer func() {
		s := c.close() // first: nobody may write or read any more
		c.claim.Doubt(why)
		c.claim.Abandon(ctx)
		s.free()
	}()
	next.ServeHTTP(c, c.body.give(c.r.WithContext(ctx)))
	c.finish(ctx)
	why = "the answer could not be kept"
}
