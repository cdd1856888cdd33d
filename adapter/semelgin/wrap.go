package semelgin

import (
	"maps"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/semelhttp"
)

// Wrap guards the handlers that come after it. On a refusal and on a replay they do not
// run: the context is aborted. What [semelhttp.Middleware.Wrap] says of its next holds for
// them all together.
//
// The answer is what they have written when the last of them returns. It includes a status without a
// body, which gin itself would send later. The errors that they leave in c.Errors are no part
// of an answer:
//
//   - With nothing written, a middleware before Wrap may answer in their stead. That answer is
//     sent and not kept, and the key is held: nobody may run again what may have
//     happened. A middleware that renders errors belongs after Wrap, where its
//     answers are kept.
//   - With something written, that is the answer, and it is complete: who adds to it
//     by c.Writer before Wrap gets [ErrComplete], as a replay would lack it.
//
// The handlers find the claim by [semel.FromContext] in the context of c.Request. That
// context, and the channel of CloseNotify with it, outlives the client, until an answer has begun to
// leave in parts (c.Stream): then CloseNotify tells of a client that left.
//
// A route is named by its method and c.FullPath() where [semelhttp.Config].Route is empty.
//
// Wrap panics if mw is of [semelhttp.Middleware.InTx]: gin cannot run a chain a second time.
// Use [Handle].
func Wrap(mw *semelhttp.Middleware) gin.HandlerFunc {
	if inTx(mw) {
		panic("semelgin: handlers in a transaction may run several times, and gin's chain cannot: use Handle")
	}
	return adapt(mw, (*gin.Context).Next)
}

// Handle guards one handler, the last of its route:
//
//	r.POST("/payments", semelgin.Handle(mw, pay))
//
// It is [Wrap] for a Middleware of any kind, also one of [semelhttp.Middleware.InTx]. Each
// time that h runs it finds c.Request, c.Keys and c.Errors as they were. Whether an earlier
// try has called c.Abort is not forgotten.
func Handle(mw *semelhttp.Middleware, h gin.HandlerFunc) gin.HandlerFunc {
	if h == nil {
		panic("semelgin: no handler")
	}
	return adapt(mw, h)
}

func inTx(mw *semelhttp.Middleware) (found bool) {
	if mw == nil {
		panic("semelgin: no middleware")
	}
	_, _ = mw.With(func(c *semelhttp.Config) { found = c.Tx != nil }) // asked, not used
	return found
}

func adapt(mw *semelhttp.Middleware, next gin.HandlerFunc) gin.HandlerFunc {
	tx := inTx(mw)
	guarded := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passOf(r.Context()).run(w, r, next)
	}))
	return func(c *gin.Context) {
		p := &pass{ResponseWriter: c.Writer, c: c, request: c.Request, errors: len(c.Errors)}
		if tx {
			p.again, p.keys = true, maps.Clone(c.Keys)
		}
		guarded.ServeHTTP(p, p.carried())
		if !p.ran {
			c.Abort()
		}
		if p.complete {
			c.Writer = complete{c.Writer}
		}
	}
}
