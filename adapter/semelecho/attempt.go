package semelecho

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel"
)

type attemptKey struct{}

// attemptOf returns the attempt that the request of ctx belongs to, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// attempt is one request on its way through the Middleware and back into echo. It is the
// context of the request, too, so that a ScopeFunc finds it.
type attempt struct {
	context.Context //nolint:containedctx // a context that wraps a context
	c               *echo.Context
	next            echo.HandlerFunc
	request         *http.Request // as echo has it
	response        response      // as echo has it

	below   below
	guarded bool // next has begun, and what it writes is recorded
	late    bool // it has returned an error that nobody has answered
	err     error
}

// Value finds the attempt itself, or what the context below has.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// errLate takes an attempt out of the Middleware without an answer.
var errLate = errors.New("semelecho: HTTPErrorHandler has not answered an error")

// run gives the request to the Middleware, which calls serve if it is to run, and returns
// what is left for middlewares outside.
func (a *attempt) run(guarded http.Handler, r *http.Request) error {
	defer func() {
		if !a.guarded {
			return
		}
		a.c.SetRequest(a.request)
		a.c.SetResponse(a.response)
	}()
	a.pass(guarded, r)
	return a.err
}

// pass catches errLate, and no panic else.
func (a *attempt) pass(guarded http.Handler, r *http.Request) {
	defer func() {
		if a.late {
			if p := recover(); p != errLate { //nolint:errorlint // the very value
				panic(p)
			}
		}
	}()
	guarded.ServeHTTP(&a.below, r)
}

// serve runs next. In a transaction it may be called several times.
func (a *attempt) serve(w http.ResponseWriter, r *http.Request) {
	c := a.c
	if w == http.ResponseWriter(&a.below) { // not guarded, or by another outside
		c.SetRequest(r)
		a.err = a.next(c)
		return
	}
	a.guarded = true
	inner := newResponse(c, w)
	c.SetRequest(r)
	c.SetResponse(inner)
	if err := a.next(c); err != nil {
		a.answer(inner, err, semel.FromContext(r.Context()))
	}
}

// answer has the application answer an error, here, where it is recorded.
func (a *attempt) answer(inner *echo.Response, err error, claim *semel.Claim) {
	a.c.SetResponse(inner) // whatever a middleware has left there
	handleError(a.c, err)
	if inner.Committed {
		logError(a.c, err)
		return
	}
	if _, ended := claim.Settled(); ended || claim.Unlocked() { // the Middleware knows the answer
		return
	}
	claim.Doubt("HTTPErrorHandler has not answered an error")
	a.late, a.err = true, err
	panic(errLate)
}
