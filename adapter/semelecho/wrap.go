package semelecho

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel/semelhttp"
)

// Wrap returns a middleware that guards the handlers after it.
//
// They get a Request and a Response of the attempt; afterwards both are as they were.
// [semelhttp.Config].Route is by default the method and c.Path(). Wraps of one engine
// inside one another are one attempt, by the rules of the outermost. Responses 1xx are not
// sent, as echo has it.
//
// With [semelhttp.Middleware.InTx] what comes after Wrap may run several times, and so may
// HTTPErrorHandler. What was put into the context with Set stays there.
//
// Wrap panics if mw is nil.
func Wrap(mw *semelhttp.Middleware) echo.MiddlewareFunc {
	if mw == nil {
		panic("semelecho: Wrap without a Middleware")
	}
	guarded := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attemptOf(r.Context()).serve(w, r)
	}))
	named := false
	_, _ = mw.With(func(c *semelhttp.Config) { named = c.Route != "" }) // only looks
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			a := &attempt{Context: c.Request().Context(), c: c, next: next, request: c.Request(), response: c.Response()}
			a.below.ResponseWriter = c.Response()
			r := a.request.WithContext(a)
			if path := c.Path(); path != "" && !named {
				r.Pattern = r.Method + " " + path
			}
			limitErrors(r)
			return a.run(guarded, r)
		}
	}
}
