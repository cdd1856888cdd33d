package semelgin_test

import (
	"compress/gzip"
	"errors"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/internal/frameworktest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}

// What every adapter must do.
func TestFramework(t *testing.T) {
	f := frameworktest.Framework{New: newApp, ByUser: semelgin.ByKey("user")}
	for _, test := range frameworktest.Tests() {
		t.Run(test.Name, func(t *testing.T) { test.Run(t, f) })
	}
}

// newApp is the App as gin has it.
func newApp(app frameworktest.App) http.Handler {
	router := gin.New()
	router.Use(func(c *gin.Context) {
		c.Next()
		app.Seen(c.Writer.Status())
	}, gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }),
		func(c *gin.Context) { c.Header("X-Outside", "yes") })
	if app.Gzip {
		router.Use(compress)
	}
	router.Use(authenticate)
	for _, guard := range app.Guards {
		router.Use(semelgin.Wrap(guard))
	}
	router.Use(renderErrors)
	router.Any("/payments/:id", func(c *gin.Context) {
		if err := app.Handler(ginContext{c}); err != nil {
			_ = c.Error(err)
		}
	})
	return router
}

func authenticate(c *gin.Context) {
	user := c.GetHeader("Authorization")
	if user == "" {
		c.AbortWithStatus(http.StatusUnauthorized)
		return
	}
	c.Set("user", user)
}

// renderErrors is the middleware that gin's documentation shows.
func renderErrors(c *gin.Context) {
	c.Next()
	if len(c.Errors) == 0 {
		return
	}
	status, message := http.StatusInternalServerError, "error"
	if failure, ok := errors.AsType[*frameworktest.StatusError](c.Errors.Last().Err); ok {
		status, message = failure.Status, failure.Message
	}
	c.JSON(status, gin.H{"message": message})
}

// compress compresses as the middleware of gin-contrib does.
func compress(c *gin.Context) {
	if c.GetHeader("Accept-Encoding") != "gzip" {
		return
	}
	c.Header("Content-Encoding", "gzip")
	zip := gzip.NewWriter(c.Writer)
	c.Writer = &zipWriter{c.Writer, zip}
	defer func() { _ = zip.Close() }()
	c.Next()
}

type zipWriter struct {
	gin.ResponseWriter
	zip *gzip.Writer
}

func (w *zipWriter) Write(p []byte) (int, error)       { return w.zip.Write(p) }
func (w *zipWriter) WriteString(s string) (int, error) { return w.zip.Write([]byte(s)) }
func (w *zipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

// ginContext is gin's as the tests have it.
type ginContext struct{ c *gin.Context }

func (x ginContext) Request() *http.Request      { return x.c.Request }
func (x ginContext) Writer() http.ResponseWriter { return x.c.Writer }
func (x ginContext) User() string                { return x.c.GetString("user") }

func (x ginContext) JSON(status int, value any) error {
	x.c.JSON(status, value)
	return nil
}

func (x ginContext) Text(status int, text string) error {
	x.c.String(status, "%s", text)
	return nil
}

func (x ginContext) NoContent(status int) error {
	x.c.Status(status)
	return nil
}

func (x ginContext) Redirect(status int, to string) error {
	x.c.Redirect(status, to)
	return nil
}
