package semelgin

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
)

type attemptKey struct{}

// attemptOf returns the attempt that the request of ctx belongs to, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// attempt is one request on its way through the Middleware and back into gin. It is the
// context of the request, too, so that a ScopeFunc finds it.
type attempt struct {
	context.Context //nolint:containedctx // a context that wraps a context
	c               *gin.Context
	next            gin.HandlerFunc
	inTx            bool
	request         *http.Request // as gin has it
	errors          int           // of c, before
	keys            map[any]any   // of c, before; in a transaction only

	below   below
	sealed  sealed
	ran     bool // next has begun
	guarded bool // and what it writes is recorded
	late    bool // it has left an error, and no answer
}

// Value finds the attempt itself, or what the context below has.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// errLate takes an attempt out of the Middleware without an answer.
var errLate = errors.New("semelgin: an error is rendered outside of Wrap, if at all")

// run gives the request to the Middleware, which calls serve if it is to run.
func (a *attempt) run(guarded http.Handler, r *http.Request) {
	c, outer := a.c, a.below.ResponseWriter
	defer func() {
		if !a.guarded {
			return
		}
		c.Request = a.request
		if c.Writer != &a.sealed { // a panic
			c.Writer = outer
		}
		if a.late {
			if p := recover(); p != errLate { //nolint:errorlint // the very value
				panic(p)
			}
		}
	}()
	guarded.ServeHTTP(&a.below, r)
	if !a.ran {
		c.Abort()
	}
	if !a.ran || a.guarded {
		a.sealed.ResponseWriter = outer
		c.Writer = &a.sealed
	}
}

// serve runs next. In a transaction it may be called several times.
func (a *attempt) serve(w http.ResponseWriter, r *http.Request) {
	c := a.c
	if w == http.ResponseWriter(&a.below) { // not guarded, or by another outside
		a.ran = true
		c.Request = r
		a.next(c)
		return
	}
	if a.inTx {
		a.rewind()
	}
	a.ran, a.guarded = true, true
	inner := &writer{ResponseWriter: w, outer: a.below.ResponseWriter, status: a.below.Status(), size: notWritten}
	c.Request, c.Writer = r, inner
	a.next(c)
	if !inner.Written() && len(c.Errors) > a.errors && !inner.emptied {
		a.leave(inner.status, semel.FromContext(r.Context()))
	}
	if inner.status != http.StatusOK { // which is the Middleware's own default
		inner.WriteHeaderNow()
	}
}

// rewind makes c what it was before an earlier try.
func (a *attempt) rewind() {
	if !a.ran {
		a.keys = maps.Clone(a.c.Keys)
		return
	}
	a.c.Keys, a.c.Errors = maps.Clone(a.keys), a.c.Errors[:a.errors]
}

// leave ends an attempt whose handler has left an error and no answer: whatever is
// rendered outside, it cannot be kept here. It returns if the Middleware knows the answer.
func (a *attempt) leave(status int, claim *semel.Claim) {
	if _, ended := claim.Settled(); ended || claim.Unlocked() {
		return
	}
	claim.Doubt("c.Errors was not rendered inside of Wrap")
	if how, told := claim.Settlement(); told && how == semel.Free && !a.inTx {
		_ = claim.Release(context.WithoutCancel(a.request.Context())) // if not, the key is held
	}
	a.late = true
	a.below.ResponseWriter.WriteHeader(status)
	panic(errLate)
}
