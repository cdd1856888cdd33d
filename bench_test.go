package semel_test

import (
	"strconv"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// calls makes keys that nobody has used, so that each attempt is a first one.
func calls(n int) []semel.Call {
	all := make([]semel.Call, n)
	for i := range all {
		all[i] = call("order-"+strconv.Itoa(i), "x")
	}
	return all
}

// The engine is on the path of every request: an attempt allocates its claim,
// the record of the store, and hardly anything else.
func TestAttemptAllocatesLittle(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	ctx, r := t.Context(), answer("paid")
	fresh := calls(1002)
	i := 0
	first := testing.AllocsPerRun(1000, func() {
		out, err := e.Begin(ctx, fresh[i])
		if err != nil {
			t.Fatal(err)
		}
		i++
		if err := out.Claim.Complete(ctx, r); err != nil {
			t.Fatal(err)
		}
	})
	if first > 5 {
		t.Errorf("got %v allocations for a first run, want at most 5", first)
	}
	replay := testing.AllocsPerRun(1000, func() {
		if out, err := e.Begin(ctx, fresh[0]); err != nil || out.Kind != semel.Replay {
			t.Fatal(out.Kind, err)
		}
	})
	if replay > 1 {
		t.Errorf("got %v allocations for a replay, want at most 1", replay)
	}
}

func BenchmarkFirst(b *testing.B) {
	e, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close(b.Context()) }()
	ctx, r := b.Context(), answer("paid")
	all := calls(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for _, c := range all {
		out, err := e.Begin(ctx, c)
		if err != nil {
			b.Fatal(err)
		}
		if err := out.Claim.Complete(ctx, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	e, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close(b.Context()) }()
	ctx := b.Context()
	out, err := e.Begin(ctx, call("order-1", "x"))
	if err != nil {
		b.Fatal(err)
	}
	if err := out.Claim.Complete(ctx, answer("paid")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if out, err := e.Begin(ctx, call("order-1", "x")); err != nil || out.Kind != semel.Replay {
			b.Fatal(out.Kind, err)
		}
	}
}
