package semelechov4

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/semelhttp"
)

// Wrap guards the handlers that come after it. On a refusal and on a replay they do not
// run. What [semelhttp.Middleware.Wrap] says of its next holds for them all together.
//
// An error that they return is made an answer at once, by the HTTPErrorHandler of the
// [echo.Echo], and that answer is kept: a declined payment stays declined. The middleware before
// Wrap is told of no error, and finds status and size in the response. For a request that is not guarded
// the error goes on.
//
// The handlers find the claim by [semel.FromContext] in the context of c.Request(). That
// context outlives the client. c.Response() is another one than before Wrap: functions that
// it is given by Before and After are called when the answer is made; those that were given
// to the one before, when it is sent, and for each replay.
//
// A route is named by its method and c.Path() where [semelhttp.Config].Route is empty.
//
// In a transaction ([semelhttp.Middleware.InTx]) the handlers may run several times for one
// request. Each time they find the request as it was, but in c.Get also what they have
// set before.
func Wrap(mw *semelhttp.Middleware) echo.MiddlewareFunc {
	if mw == nil {
		panic("semelechov4: no middleware")
	}
	guarded := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passOf(r.Context()).run(w, r)
	}))
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			p := &pass{ResponseWriter: c.Response(), c: c, request: c.Request(), next: next}
			guarded.ServeHTTP(p, p.carried())
			return p.err
		}
	}
}

// pass is one request on its way through the middleware, and the writer that Semel sends
// by: echo's.
type pass struct {
	http.ResponseWriter

	context carrier
	answer  echo.Response // room for the first one
	ran     bool
	c       echo.Context
	request *http.Request // as it came
	next    echo.HandlerFunc
	err     error // of a handler that is not guarded
}

// carrier is the context of the request with its pass.
type carrier struct {
	context.Context //nolint:containedctx // a context that wraps a context
	pass            *pass
}

type passKey struct{}

func (c *carrier) Value(key any) any {
	if key == (passKey{}) {
		return c.pass
	}
	return c.Context.Value(key)
}

// passOf returns the innermost pass, or nil.
func passOf(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

// carried returns the request with the pass in its context, and echo's route as its pattern.
func (p *pass) carried() *http.Request {
	p.context = carrier{p.request.Context(), p}
	r := p.request.WithContext(&p.context)
	if route := p.c.Path(); route != "" {
		r.Pattern = r.Method + " " + route
	}
	return r
}

// run lets the handlers make the answer, with an error's in their stead. An unguarded
// request comes with the pass for its writer.
func (p *pass) run(w http.ResponseWriter, r *http.Request) {
	c, responseBefore := p.c, p.c.Response()
	defer func() {
		c.SetRequest(p.request)
		c.SetResponse(responseBefore)
	}()
	c.SetRequest(r)
	if w == http.ResponseWriter(p) {
		p.err = p.next(c)
		return
	}
	answer := &p.answer
	if p.ran {
		answer = new(echo.Response) // whoever outlives a try has the old one
	}
	p.ran = true
	*answer = *echo.NewResponse(w, c.Echo())
	answer.Status = http.StatusOK
	c.SetResponse(answer)
	if err := p.next(c); err != nil {
		c.Echo().HTTPErrorHandler(err, c)
	}
}

// WriteHeader sends the header. echo takes a 1xx for the end of it.
func (p *pass) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		p.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap leads a controller of the answer to the connection.
func (p *pass) Unwrap() http.ResponseWriter { return p.ResponseWriter }
