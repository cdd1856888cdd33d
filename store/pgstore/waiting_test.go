package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// I3, I5: while a transaction works on a slot, nobody sees for which request. Whoever waits for
// it gets its answer, or hears that it was for another one, when it has ended.
func TestWaitForASingleTransaction(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e, err := semel.New(l.Store, semel.Config{Logger: quiet})
	must(t, err)
	defer func() { must(t, e.Close(t.Context())) }()
	txs := l.Transactions(pgstore.TxConfig{Mode: semel.SingleTx})
	runs, gate := make(chan struct{}, 9), make(chan struct{})
	ask := func(payload string, wait time.Duration) chan semel.TxOutcome {
		done := make(chan semel.TxOutcome, 1)
		go func() {
			call := semel.Call{Key: semel.Key{Scope: "t", ID: "k"}, Fingerprint: semel.FingerprintOf([]byte(payload)), Wait: wait}
			out, err := e.InTx(t.Context(), call, txs, func(context.Context) (semel.Ending, error) {
				runs <- struct{}{}
				<-gate
				return semel.Ending{How: semel.Keep, Response: semel.Response{Status: 200, Body: []byte("paid")}}, nil
			})
			if err != nil {
				t.Error(err)
			}
			done <- out
		}()
		return done
	}
	first := ask("y", 0)
	<-runs
	other := ask("x", semel.MaxWait) // has the turn
	eventually(t, "it waits", func() bool { return e.Waiting() == 1 })
	second := ask("y", semel.MaxWait)
	eventually(t, "both wait", func() bool { return e.Waiting() == 2 })
	time.Sleep(100 * time.Millisecond) // for some polls
	close(gate)
	for _, c := range []struct {
		name string
		got  semel.TxOutcome
		want semel.Kind
	}{{"the first", <-first, semel.Replay}, {"its duplicate", <-second, semel.Replay}, {"another payload", <-other, semel.Conflict}} {
		if c.got.Kind != c.want {
			t.Errorf("%s: got %v, want %v", c.name, c.got.Kind, c.want)
		}
	}
	if len(runs) != 0 {
		t.Error("it ran twice")
	}
}

// I1: a row that somebody locks costs the leases of other attempts nothing, however short.
func TestShortLeaseBesideALockedRow(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e, err := semel.New(l.Store, semel.Config{Logger: quiet})
	must(t, err)
	begin := func(id string) *semel.Claim {
		out, err := e.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "t", ID: id}, Lease: time.Second})
		must(t, err)
		return out.Claim
	}
	a, b := begin("a"), begin("b")
	ctx := a.Attach(t.Context())
	defer a.Detach()
	tx, err := l.watch.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM "+l.schema+".semel_slots WHERE key = 'b'::bytea FOR UPDATE")
	must(t, err)
	select {
	case <-ctx.Done():
		t.Errorf("the attempt on another row: %v", context.Cause(ctx))
	case <-time.After(3 * time.Second):
	}
	must(t, tx.Rollback(t.Context()))
	a.Abandon(t.Context())
	b.Abandon(t.Context())
	if err := e.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
