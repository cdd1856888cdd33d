package semel_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// The engine without any transport: begin, run, complete. The second request
// with the key gets the first one's answer and does not run.
func ExampleNew() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }() // waits for responses that are not stored yet

	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "order-42"},
		Fingerprint: semel.FingerprintOf([]byte("POST"), []byte("/payments"), []byte("10 EUR")),
	}
	for range 2 {
		out, err := engine.Begin(ctx, call)
		if err != nil {
			fmt.Println(err) // the store failed: refuse the request
			return
		}
		switch out.Kind {
		case semel.Reserved: // this request, and no other, runs
			err := out.Claim.Complete(ctx, semel.Response{Status: 201, Body: []byte("paid 10 EUR")})
			fmt.Println("ran, stored:", err == nil)
		case semel.Replay:
			fmt.Printf("replayed: %d %s\n", out.Record.Response.Status, out.Record.Response.Body)
		case semel.InFlight, semel.Conflict:
			fmt.Println("refused:", out.Err())
		}
	}

	call.Fingerprint = semel.FingerprintOf([]byte("POST"), []byte("/payments"), []byte("20 EUR"))
	out, _ := engine.Begin(ctx, call)
	fmt.Println("refused:", out.Err())
	// Output:
	// ran, stored: true
	// replayed: 201 paid 10 EUR
	// refused: semel: the key was used with another request
}

// A message that may come twice, from a queue for example.
func ExampleDo() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	type receipt struct{ Number int }
	charge := func(context.Context) (receipt, error) {
		fmt.Println("charging")
		return receipt{Number: 7}, nil
	}
	message := semel.Call{
		Key:         semel.Key{Scope: "invoices", ID: "message-1"},
		Fingerprint: semel.FingerprintOf([]byte("10 EUR")),
	}
	for range 3 {
		result, err := semel.Do(ctx, engine, message, charge)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("receipt", result.Value.Number, "replayed:", result.Replayed)
	}
	// Output:
	// charging
	// receipt 7 replayed: false
	// receipt 7 replayed: true
	// receipt 7 replayed: true
}

// An error holds the key, because nobody knows what happened before it.
// Retryable says that nothing did: the key is free for another attempt.
func ExampleRetryable() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	errNoRoute := errors.New("no route to the provider")
	tries := 0
	charge := func(context.Context) (string, error) {
		if tries++; tries == 1 {
			return "", semel.Retryable(errNoRoute) // nothing was sent
		}
		return "paid", nil
	}
	message := semel.Call{Key: semel.Key{Scope: "invoices", ID: "message-1"}}
	for range 2 {
		result, err := semel.Do(ctx, engine, message, charge)
		fmt.Printf("%q %v\n", result.Value, err)
	}
	// Output:
	// "" no route to the provider
	// "paid" <nil>
}

// The provider downstream gets the same key in every attempt, so that it
// recognises a rerun; each step has a key of its own.
func ExampleClaim_DerivedKey() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{
		Lapsed: semel.Rerun,
		Secret: []byte("the same in every process"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	call := semel.Call{Key: semel.Key{Scope: "tenant-1", ID: "order-42"}}
	for range 2 {
		out, err := engine.Begin(ctx, call)
		if err != nil {
			fmt.Println(err)
			return
		}
		claim := out.Claim
		fmt.Println("attempt", claim.Attempt())
		fmt.Println("  charge", claim.DerivedKey("charge")[:16])
		fmt.Println("  notify", claim.DerivedKey("notify")[:16])
		claim.Abandon(ctx) // as a crash would, but at once
	}
	// Output:
	// attempt 1
	//   charge ba5f9c0ef8824e3e
	//   notify ad8aeef781d4dc25
	// attempt 2
	//   charge ba5f9c0ef8824e3e
	//   notify ad8aeef781d4dc25
}

// A handler that finds out that nothing happened tells the transport so,
// whatever its answer looks like.
func ExampleFromContext() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	handler := func(ctx context.Context) {
		claim := semel.FromContext(ctx) // nil when no key guards the request
		fmt.Println("attempt", claim.Attempt(), "has a fence:", claim.Fence() > 0)
		claim.Settle(semel.Free)
	}

	// What a transport does.
	out, err := engine.Begin(ctx, semel.Call{Key: semel.Key{Scope: "tenant-1", ID: "order-42"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler(out.Claim.Attach(ctx))
	defer out.Claim.Detach()
	if how, wished := out.Claim.Settlement(); wished {
		fmt.Println("the handler wishes to", how)
	}
	// Output:
	// attempt 1 has a fence: true
	// the handler wishes to release
}

// A handler that reads and checks for most of its time promises to have no effect
// before it says so. A crash before that leaves nothing to find out.
func ExampleClaim_BeginEffects() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{}) // Lapsed: Hold
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	call := semel.Call{Key: semel.Key{Scope: "tenant-1", ID: "order-42"}, DeferEffects: true}
	attempt := func(crash string) {
		out, err := engine.Begin(ctx, call)
		if err != nil || out.Kind != semel.Reserved {
			fmt.Println("refused:", out.Err(), err)
			return
		}
		claim := out.Claim
		defer claim.Abandon(ctx) // as a crash would, but at once
		fmt.Println("checking the order, attempt", claim.Attempt())
		if crash == "early" {
			return
		}
		if err := claim.BeginEffects(ctx); err != nil {
			fmt.Println(err) // and no effect
			return
		}
		fmt.Println("charging")
	}
	attempt("early")
	attempt("late")
	attempt("never")
	// Output:
	// checking the order, attempt 1
	// checking the order, attempt 2
	// charging
	// refused: semel: the outcome of an earlier attempt is not known <nil>
}

// A sweep asks the ledger about what has lapsed, so that nobody has to wait for the
// retry of a client.
func ExampleEngine_RunSweep() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	call := semel.Call{Key: semel.Key{Scope: "tenant-1", ID: "order-42"}}
	out, err := engine.Begin(ctx, call)
	if err != nil {
		fmt.Println(err)
		return
	}
	out.Claim.Abandon(ctx) // it has charged, and died before it could say so

	sweeping, stop := context.WithCancel(ctx)
	defer stop()
	err = engine.RunSweep(sweeping, semel.Sweeping{
		Recover: func(_ context.Context, held semel.Record) (semel.Recovery, error) {
			stop() // one round is enough for an example
			fmt.Println("what has become of", held.Key.ID)
			return semel.Recovery{Verdict: semel.Executed, Response: semel.Response{Body: []byte("receipt 7")}}, nil
		},
	})
	fmt.Println(err)

	out, err = engine.Begin(ctx, call)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Kind, string(out.Record.Response.Body))
	// Output:
	// what has become of order-42
	// context canceled
	// replay receipt 7
}
