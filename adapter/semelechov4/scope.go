package semelechov4

import (
	"context"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/semelhttp"
)

// By takes the caller from what middlewares before [Wrap] have left in the context, as
// [semelhttp.ByContext] does: the same principal has the same scope under both. False, an
// empty text and a request that did not come through this package have no scope and are
// refused.
func By(principal func(echo.Context) (string, bool)) semelhttp.ScopeFunc {
	return semelhttp.ByContext(func(ctx context.Context) (string, bool) {
		a := attemptOf(ctx)
		if a == nil {
			return "", false
		}
		return principal(a.c)
	})
}

// ByKey takes what authentication has put under key with c.Set: a text that is not empty,
// or an integer. Any other value is no scope, as its text could be the same for two
// callers: use [By].
func ByKey(key string) semelhttp.ScopeFunc {
	return By(func(c echo.Context) (string, bool) {
		switch v := c.Get(key).(type) {
		case string:
			return v, v != ""
		case int:
			return strconv.Itoa(v), true
		case int32:
			return strconv.FormatInt(int64(v), 10), true
		case int64:
			return strconv.FormatInt(v, 10), true
		case uint:
			return strconv.FormatUint(uint64(v), 10), true
		case uint32:
			return strconv.FormatUint(uint64(v), 10), true
		case uint64:
			return strconv.FormatUint(v, 10), true
		}
		return "", false
	})
}
