package semelwatermill_test

import (
	"context"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
)

func TestNewRefuses(t *testing.T) {
	e, scope := memory(t), semelwatermill.ByHandler()
	hook := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	for name, try := range map[string]func() (*semelwatermill.Middleware, error){
		"no engine": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(nil, scope, semelwatermill.Config{})
		},
		"no scope": func() (*semelwatermill.Middleware, error) { return semelwatermill.New(e, nil, semelwatermill.Config{}) },
		"keeps errors": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{OnError: semel.Keep})
		},
		"less than none": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{MaxResponse: -1})
		},
		"kept for less than no time": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Retention: -1})
		},
		"runs for less than no time": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{MaxRun: -1})
		},
		"leased for less than no time": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Lease: -1})
		},
		"waits for too long": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Wait: semel.MaxWait + 1})
		},
		"no such policy": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Lapsed: 9})
		},
		"nobody to ask": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Lapsed: semel.Recover})
		},
		"never asked": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Recover: hook})
		},
		"another's store": func() (*semelwatermill.Middleware, error) {
			return semelwatermill.New(e, scope, semelwatermill.Config{Tx: elsewhere{}})
		},
	} {
		if mw, err := try(); err == nil || mw != nil {
			t.Errorf("%s: got %v, %v, want an error", name, mw, err)
		}
	}
}

// elsewhere are transactions of no store.
type elsewhere struct{ semel.Transactions }

func (elsewhere) Store() semel.Store { return nil }
