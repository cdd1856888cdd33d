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
	status, size    int           // of the writer, before
	keys            map[any]any   // of c, before; in a transaction only

	below   below
	sealed  sealed
	ran     bool // next has begun
	guarded bool // and what it writes is recorded
	late    bool // it has left no answer
}

// Value finds the attempt itself, or what the context below has.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// errLate takes an attempt out of the Middleware without an answer.
var errLate = errors.New("semelgin: the answer is made outside of Wrap, if at all")

// noAnswer marks the header of what a transaction has left instead of an answer. What the
// Middleware answers by itself does not have it.
const noAnswer = "semelgin: no answer"

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
			if p := recover(); p != nil && p != errLate { //nolint:errorlint // the very value
				panic(p)
			}
		}
	}()
	guarded.ServeHTTP(&a.below, r)
	a.late = a.below.late
	if !a.ran {
		c.Abort()
	}
	if !a.late && (!a.ran || a.guarded) {
		a.sealed.ResponseWriter = outer
		c.Writer = &a.sealed
		if c.FullPath() == "" { // gin would answer with its own page what is not sent
			outer.WriteHeaderNow()
		}
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
	inner := &writer{ResponseWriter: w, a: a, attempt: r.Context(), status: a.status, size: notWritten}
	c.Request, c.Writer = r, inner
	a.next(c)
	claim, silent := semel.FromContext(r.Context()), !inner.Written() && !inner.emptied
	switch {
	case a.isPast(inner):
		a.below.past = true
		claim.Doubt("written past the middleware")
		claim.Settle(semel.Unknown)
	case silent && len(c.Errors) > a.errors:
		a.leave(inner, claim, semel.Unknown, "c.Errors was not rendered inside of Wrap")
	case silent && c.FullPath() == "" && inner.status == a.status: // gin answers 404 or 405
		a.leave(inner, claim, semel.Free, "there is no route")
	}
	if inner.status != http.StatusOK { // which is the Middleware's own default
		inner.WriteHeaderNow()
	}
}

// isPast reports whether an answer has gone to gin's writer past the Middleware, as
// Engine.HandleContext has it: that gives the handlers gin's own.
func (a *attempt) isPast(inner *writer) bool {
	return !a.below.sent && (a.below.Size() != a.size || a.c.Writer.Written() && !inner.Written())
}

// rewind makes c what it was before an earlier try.
func (a *attempt) rewind() {
	if !a.ran {
		a.keys = maps.Clone(a.c.Keys)
		return
	}
	a.c.Keys, a.c.Errors = maps.Clone(a.keys), a.c.Errors[:a.errors]
}

// leave ends an attempt whose handler has left no answer: whatever is answered outside, it
// cannot be kept here. how is its end, unless the handler has said another, and why the
// reason if that holds the key. It returns if the Middleware knows the answer, and in a
// transaction, which is rolled back and may have to be tried again.
func (a *attempt) leave(inner *writer, claim *semel.Claim, how semel.Disposition, why string) {
	if _, ended := claim.Settled(); ended || claim.Unlocked() {
		return
	}
	claim.Doubt(why)
	wish, told := claim.Settlement()
	if told {
		how = wish
	}
	if a.inTx {
		if !told || how == semel.Keep { // what is rolled back has not happened
			claim.Settle(semel.Free)
		}
		inner.Header()[noAnswer] = nil
		return
	}
	if how == semel.Free {
		_ = claim.Release(context.WithoutCancel(a.request.Context())) // if not, the key is held
	}
	a.late = true
	a.below.ResponseWriter.WriteHeader(inner.status)
	panic(errLate)
}
