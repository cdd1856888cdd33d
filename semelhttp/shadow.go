package semelhttp

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/semel-go/semel"
)

// Shadowed is what the middleware would have done with a request, see [Config].Shadow.
type Shadowed struct {
	// Kind is what the slot held; 0 when it was not asked.
	Kind semel.Kind
	// Problem is what the request would have been refused with; empty for one that
	// would have run or been replayed.
	Problem Problem
	// Ref names the record, see [semel.Engine.Ref]; empty when there is none.
	Ref string
	// Err says why for Problem, when there is more to say. It is not for clients.
	Err error
}

// shadow lets the request through, whatever it finds, and reports. The first of its key
// runs as a guarded one, so that its answer is in the record for those that follow. A
// request that an outer middleware guards keeps its claim, and there is nothing to report.
func (m *Middleware) shadow(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if semel.FromContext(r.Context()) != nil {
		next.ServeHTTP(w, r)
		return
	}
	pass := func(found Shadowed) {
		m.cfg.Shadow(r, found)
		next.ServeHTTP(w, r)
	}
	id, found, err := m.keyInHead(r)
	if p, err := m.badKey(r, found, err); p != "" {
		pass(Shadowed{Problem: p, Err: err})
		return
	}
	if !found && !m.mayHaveKey(r) {
		m.shadowKeyless(w, r, next)
		return
	}
	scope, err := m.scope(r)
	if err != nil {
		pass(Shadowed{Problem: ProblemScopeMissing, Err: err})
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
	if s.in, err = readBody(s.in, r, m.cfg.MaxBody); err != nil {
		r.Body = resumed{io.MultiReader(bytes.NewReader(bytes.Clone(s.in[preamble:])), r.Body), r.Body}
		pass(Shadowed{Problem: problemOfBody(err), Err: err})
		return
	}
	content := s.in[preamble:]
	if m.member != nil {
		id, found, err = m.keyInBody(r, content, id, found)
		if p, err := m.badKey(r, found, err); p != "" {
			m.cfg.Shadow(r, Shadowed{Problem: p, Err: err})
			giveTo(next, w, r, content)
			return
		}
		if !found {
			m.shadowKeyless(w, (&body{rest: content}).give(r.WithContext(r.Context())), next)
			return
		}
	}
	claim, would := m.shadowBegin(r, semel.Key{Scope: shadowScope(scope), ID: id}, s.in, preamble)
	m.report(r, claim, would)
	if claim == nil {
		giveTo(next, w, r, content)
		return
	}
	run := &recorder{mw: m, w: w, r: r, claim: claim, s: s, length: -1}
	run.body.rest = content
	s.keepOuter(w.Header())
	s = nil // the run's now
	m.run(run, next)
}

// badKey is what a request is refused with by its key, which is wrong, or too old; "" for
// one that may go on.
func (m *Middleware) badKey(r *http.Request, found bool, err error) (Problem, error) {
	switch {
	case err != nil:
		return ProblemKeyInvalid, err
	case found:
		return m.checkFirstSent(r)
	}
	return "", nil
}

func problemOfBody(err error) Problem {
	if errors.As(err, new(*http.MaxBytesError)) {
		return ProblemBodyTooLarge
	}
	return ProblemBodyIncomplete
}

// shadowBegin asks the slot. The claim is nil unless the request would have run.
func (m *Middleware) shadowBegin(r *http.Request, key semel.Key, in []byte, preamble int) (*semel.Claim, Shadowed) {
	would := Shadowed{Ref: m.engine.Ref(m.engine.StoredKey(key))}
	call := m.call(r, key, m.print.sum(in, preamble, r))
	call.Wait = 0 // the request is served whatever the outcome
	out, err := m.engine.Begin(r.Context(), call)
	if err != nil {
		would.Problem, would.Err = problemOf(err), err
		return nil, would
	}
	would.Kind, would.Problem = out.Kind, problemOfHeld(out)
	return out.Claim, would
}

// report tells the hook, whose panic must not hold the key for longer than a lease.
func (m *Middleware) report(r *http.Request, claim *semel.Claim, would Shadowed) {
	told := false
	defer func() {
		if !told && claim != nil {
			claim.Doubt("panic")
			claim.Abandon(r.Context())
		}
	}()
	m.cfg.Shadow(r, would)
	told = true
}

// shadowKeyless lets a request without a key through.
func (m *Middleware) shadowKeyless(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !m.mayLackKey(r) {
		m.cfg.Shadow(r, Shadowed{Problem: ProblemKeyMissing})
	}
	next.ServeHTTP(w, r)
}

// shadowScope keeps what a shadow has recorded apart from what is replayed.
func shadowScope(scope string) string { return readableScope('w', scope) }

// resumed is a body of which a part was read.
type resumed struct {
	io.Reader
	io.Closer
}
