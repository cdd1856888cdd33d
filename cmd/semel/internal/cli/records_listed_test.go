package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	operators "github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

func newOperator(t *testing.T, cfg semel.Config) *operator {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := operators.New(engine, operators.Config{Actor: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := desk.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = engine.Close(context.Background())
	})
	return &operator{Desk: desk, engine: engine}
}

// The trail of a list with keys names tenants as the store does, hashed where it has hashes.
func TestTrailOfAListHasScopesAsTheStore(t *testing.T) {
	const hashed = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	o := newOperator(t, semel.Config{HashKeys: true, Secret: semel.Secret("a secret of the house")})
	for scope, want := range map[string]string{"acme": o.Stored("acme", "").Scope, hashed: hashed} {
		got, err := o.deed(&listing{scope: scope, reveal: &revealing{reason: " look "}})
		if err != nil || got.Reason != `look [scope="`+want+`" limit=0]` || strings.Contains(got.Reason, "acme") {
			t.Errorf("%s: got %q, %v, want the scope %s", scope, got.Reason, err, want)
		}
	}
	got, err := newOperator(t, semel.Config{}).deed(&listing{scope: "acme\n", reveal: &revealing{reason: "look"}})
	if err != nil || got.Reason != `look [scope="acme\n" limit=0]` {
		t.Errorf("got %q, %v, want the scope on the same line", got.Reason, err)
	}
}

// A reason leaves room for what is listed.
func TestReasonOfAListIsBounded(t *testing.T) {
	o := newOperator(t, semel.Config{})
	const room = semel.MaxAuditLen - len(" [limit=7]")
	for n, fits := range map[int]bool{room: true, room + 1: false} {
		got, err := o.deed(&listing{limit: 7, reveal: &revealing{reason: strings.Repeat("x", n)}})
		if (err == nil) != fits || fits && len(got.Reason) != semel.MaxAuditLen {
			t.Errorf("%d bytes: got %d, %v", n, len(got.Reason), err)
		}
	}
}
