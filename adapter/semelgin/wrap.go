package semelgin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/semelhttp"
)

// Wrap returns a middleware that guards the handlers after it. On a replay or a refusal
// the chain is aborted: handlers after it do not run, and those before go on after c.Next.
//
// The handlers get a c.Request and a c.Writer of the attempt; afterwards both are as they
// were. [semelhttp.Config].Route is by default the method and c.FullPath(). Wraps of one
// engine inside one another are one attempt, by the rules of the outermost. Responses 1xx
// are not sent, as gin has it.
//
// [gin.Engine.HandleContext] belongs before Wrap: it makes handlers write to gin's own
// writer, so nothing is kept of what is forwarded inside, and the key is held. A request
// that has no route, and that no handler answers, frees its key; gin answers.
//
// Wrap panics if mw is nil, or of [semelhttp.Middleware.InTx]: gin cannot run the rest of a
// chain again, as a transaction may need. Use [Handle] there.
func Wrap(mw *semelhttp.Middleware) gin.HandlerFunc {
	g := newGuard("Wrap", mw)
	if g.inTx {
		panic("semelgin: Wrap cannot run what comes after it again, as InTx may need: use Handle")
	}
	return g.handler((*gin.Context).Next)
}

// Handle guards one handler: router.POST("/payments", semelgin.Handle(mw, pay)). It is
// Wrap for a handler that does not call c.Next, and the way to use InTx.
//
// When a transaction is tried again, h runs again, with c.Keys and c.Errors as they were
// before. That h has called c.Abort is not forgotten.
//
// Handle panics if mw or h is nil.
func Handle(mw *semelhttp.Middleware, h gin.HandlerFunc) gin.HandlerFunc {
	if h == nil {
		panic("semelgin: Handle without a handler")
	}
	return newGuard("Handle", mw).handler(h)
}

// guard is what the requests of a Wrap have in common.
type guard struct {
	http  http.Handler
	named bool // by Config.Route
	inTx  bool
}

func newGuard(caller string, mw *semelhttp.Middleware) *guard {
	if mw == nil {
		panic("semelgin: " + caller + " without a Middleware")
	}
	g := &guard{http: mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attemptOf(r.Context()).serve(w, r)
	}))}
	_, _ = mw.With(func(c *semelhttp.Config) { g.named, g.inTx = c.Route != "", c.Tx != nil }) // only looks
	return g
}

func (g *guard) handler(next gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		a := &attempt{Context: c.Request.Context(), c: c, next: next, inTx: g.inTx, request: c.Request}
		a.errors, a.status, a.size = len(c.Errors), c.Writer.Status(), c.Writer.Size()
		a.below.ResponseWriter, a.below.client = c.Writer, a.Context
		r := c.Request.WithContext(a)
		if path := c.FullPath(); path != "" && !g.named {
			r.Pattern = r.Method + " " + path
		}
		a.run(g.http, r)
	}
}
