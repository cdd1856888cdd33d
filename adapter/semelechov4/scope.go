package semelechov4

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/semelhttp"
)

// ByKey takes the text that authentication left under a key: c.Set("account", id). It is
// [semelhttp.ByContext] for echo. A missing key, an empty text and a value that is no string are
// [semelhttp.ErrNoScope]; for values of other types there is [By].
func ByKey(key string) semelhttp.ScopeFunc {
	text := By(func(c echo.Context) (string, bool) {
		text, ok := c.Get(key).(string)
		return text, ok
	})
	return func(r *http.Request) (string, error) {
		scope, err := text(r)
		if p := passOf(r.Context()); err != nil && p != nil {
			value := p.c.Get(key)
			if _, ok := value.(string); !ok && value != nil {
				return "", fmt.Errorf("%w: echo's key %s has a %T and no string: use By", semelhttp.ErrNoScope, key, value)
			}
		}
		return scope, err
	}
}

// By takes what principal finds in echo's context, such as the account of a user that
// authentication has left there. False, an empty text, and a request that did not come through
// [Wrap] are [semelhttp.ErrNoScope]. The text is stored as [semelhttp.ByContext] has it.
func By(principal func(echo.Context) (string, bool)) semelhttp.ScopeFunc {
	return semelhttp.ByContext(func(ctx context.Context) (string, bool) {
		p := passOf(ctx)
		if p == nil {
			return "", false
		}
		return principal(p.c)
	})
}
