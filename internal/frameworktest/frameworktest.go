// Package frameworktest is what every adapter of a web framework must do, as tests that
// know no framework. Each adapter tells how its framework runs an [App].
package frameworktest

import (
	"context"
	"errors"
	"net/http"

	"github.com/semel-go/semel/semelhttp"
)

// T is what the tests need of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
	Context() context.Context
}

// Framework is one that has an adapter.
type Framework struct {
	// New returns the App as a handler.
	New func(App) http.Handler
	// ByUser is the adapter's scope of the user that authentication has found.
	ByUser semelhttp.ScopeFunc
}

// App is a service. For all methods and the path /payments/:id it has, from outside to
// inside: a middleware that tells Seen the status, one that turns a panic into 500, one
// that sets the field X-Outside, compression if Gzip is set, authentication, the Guards,
// and Handler.
//
// Authentication answers 401 without a field Authorization, and puts its value into the
// framework's context as the user.
type App struct {
	Guards  []*semelhttp.Middleware
	Handler func(Context) error
	Gzip    bool
	Seen    func(status int)
}

// Context is what a handler has of its framework.
type Context interface {
	Answerer
	Request() *http.Request
	Writer() http.ResponseWriter
	User() string
}

// Answerer are the ways of a framework to answer.
type Answerer interface {
	JSON(status int, value any) error
	Text(status int, text string) error
	NoContent(status int) error
	Redirect(status int, to string) error
}

// StatusError is an error with a status. It is returned by handlers, and the adapter's App
// renders it as its framework has it.
type StatusError struct {
	Status  int
	Message string
}

// Error returns the message.
func (e *StatusError) Error() string { return e.Message }

// ErrPlain is an error without a status, which frameworks answer with 500.
var ErrPlain = errors.New("the ledger has vanished")

// Test is one of the tests.
type Test struct {
	Name string
	Run  func(T, Framework)
}

// Tests returns all tests. Each makes a service of its own.
func Tests() []Test {
	return []Test{
		{"Replay", testReplay},
		{"Frees", testFrees},
		{"Refusals", testRefusals},
		{"AuthenticationIsOutside", testAuthentication},
		{"Scopes", testScopes},
		{"InFlight", testInFlight},
		{"Panic", testPanic},
		{"ShortAnswer", testShortAnswer},
		{"Disconnect", testDisconnect},
		{"Unguarded", testUnguarded},
		{"Optional", testOptional},
		{"Duplicates", testDuplicates},
		{"Stream", testStream},
		{"TooLarge", testTooLarge},
		{"Gzip", testGzip},
		{"Nested", testNested},
		{"Route", testRoute},
		{"Reset", testReset},
		{"Trailer", testTrailer},
	}
}
