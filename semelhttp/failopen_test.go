package semelhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/semel-go/semel"
)

// I3: a route opens for a request that has not run, and for no other.
func TestFailOpenOnlyWhatHasNotRun(t *testing.T) {
	down := errors.New("down")
	m := &Middleware{cfg: Config{FailOpen: func(*http.Request, error) bool { return true }}}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&semel.StoreError{Step: semel.StepReserve, Err: down}, true},
		{fmt.Errorf("begin: %w", &semel.StoreError{Step: semel.StepReserve, Err: semel.ErrTimeout}), true},
		{&semel.StoreError{Step: semel.StepReserve, Err: semel.ErrDamaged}, false},
		{semel.ErrDamaged, false},
		{&semel.StoreError{Step: semel.StepComplete, Err: down}, false},
		{&semel.StoreError{Step: semel.StepRelease, Err: down}, false},
		{fmt.Errorf("%w: %w", semel.ErrNotStored, &semel.StoreError{Step: semel.StepReserve, Err: down}), false},
		{context.Canceled, false},
		{semel.ErrClosed, false},
	} {
		if got := m.opens(nil, c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}
