package semelechov4_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/internal/frameworktest"
)

// What every adapter must do.
func TestFramework(t *testing.T) {
	f := frameworktest.Framework{New: newApp, ByUser: semelechov4.ByKey("user")}
	for _, test := range frameworktest.Tests() {
		t.Run(test.Name, func(t *testing.T) { test.Run(t, f) })
	}
}

// newApp is the App as echo has it.
func newApp(app frameworktest.App) http.Handler {
	e := newEcho()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			if err != nil {
				c.Error(err) // as echo's own logger
			}
			app.Seen(c.Response().Status)
			return nil
		}
	}, middleware.Recover(), func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Header().Set("X-Outside", "yes")
			return next(c)
		}
	})
	if app.Gzip {
		e.Use(middleware.Gzip())
	}
	e.Use(authenticate)
	for _, guard := range app.Guards {
		e.Use(semelechov4.Wrap(guard))
	}
	e.Any("/payments/:id", func(c echo.Context) error { return httpError(app.Handler(echoContext{c})) })
	return e
}

func authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		user := c.Request().Header.Get("Authorization")
		if user == "" {
			return echo.ErrUnauthorized
		}
		c.Set("user", user)
		return next(c)
	}
}

// httpError is an error as echo's own handlers return it.
func httpError(err error) error {
	if failure, ok := err.(*frameworktest.StatusError); ok { //nolint:errorlint // the very value
		return echo.NewHTTPError(failure.Status, failure.Message)
	}
	return err
}

// echoContext is echo's as the tests have it.
type echoContext struct{ c echo.Context }

func (x echoContext) Request() *http.Request      { return x.c.Request() }
func (x echoContext) Writer() http.ResponseWriter { return x.c.Response() }

func (x echoContext) User() string {
	user, _ := x.c.Get("user").(string)
	return user
}

func (x echoContext) JSON(status int, value any) error     { return x.c.JSON(status, value) }
func (x echoContext) Text(status int, text string) error   { return x.c.String(status, text) }
func (x echoContext) NoContent(status int) error           { return x.c.NoContent(status) }
func (x echoContext) Redirect(status int, to string) error { return x.c.Redirect(status, to) }
