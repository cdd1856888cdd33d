package semel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/semel-go/semel"
)

// visit is one request of a client in the property test.
type visit struct {
	*crowd
	at   *branch
	key  semel.Key
	rand *rand.Rand // hides the crowd's, which is not this goroutine's
	sure bool       // nothing fails
	runs int
}

func (v *visit) String() string { return fmt.Sprintf("%s at %s", v.key.ID, v.at.name) }

func (v *visit) call() semel.Call {
	return semel.Call{Key: v.key, Fingerprint: semel.FingerprintOf([]byte("pay"))}
}

func (v *visit) run() {
	v.pause(time.Second)
	if v.rand.IntN(4) == 0 {
		v.key = semel.Key{Scope: "tenant", ID: fmt.Sprint("plain-", v.rand.IntN(12))}
		v.plain()
		return
	}
	switch v.rand.IntN(3) {
	case 0:
		v.inTx(semel.ClaimTx)
	case 1:
		v.inTx(semel.SingleTx)
	case 2:
		v.byHand()
	}
}

func (v *visit) pause(most time.Duration) { time.Sleep(time.Duration(v.rand.Int64N(int64(most)))) }

// business pays, or refuses without having paid; sometimes it is slow, sometimes it fails.
func (v *visit) business(ctx context.Context) (semel.Ending, error) {
	v.runs++
	if v.runs > 1 {
		v.saw("tried again")
	}
	slow := time.Second
	n := v.rand.IntN(20)
	switch {
	case v.sure:
		n = 0
	case n == 19:
		slow = 3 * time.Minute
	case n > 15:
		slow = lapse
	}
	name := fmt.Sprintf("%s, run %d, %x", v, v.runs, v.rand.Uint64())
	v.pause(slow)
	if v.rand.IntN(3) == 0 && !v.sure {
		return semel.Ending{How: semel.Keep, Response: answer("refused by " + name)}, nil
	}
	if err := cashierOf(ctx).pay(v.key, "alice", "bob", 1); err != nil {
		return semel.Ending{}, err
	}
	v.pause(slow)
	switch n {
	case 15:
		return semel.Ending{How: semel.Free}, nil
	case 14:
		return semel.Ending{How: semel.Unknown}, nil
	case 13:
		return semel.Ending{}, errDeclined
	case 12:
		panic("in the business code")
	}
	return semel.Ending{How: semel.Keep, Response: answer("paid by " + name)}, nil
}

// inTx lets the engine own the transaction.
func (v *visit) inTx(mode semel.TxMode) {
	start := time.Now()
	var out semel.TxOutcome
	err := guard(func() (err error) {
		out, err = v.at.engine.InTx(v.t.Context(), v.call(), v.at.teller.mode(mode), v.business)
		return err
	})
	v.tell("%s in %v mode since %v: %v, ran %v, %v, %v", v, mode, start.Sub(v.start).Round(time.Millisecond), out.Kind, out.Ran, out.How, err)
	if took := time.Since(start); took > 12*time.Minute {
		v.broken("L3: %s took %v", v, took)
	}
	v.count(out, err)
	switch {
	case err != nil:
		if v.sure {
			v.broken("a healthy store failed: %v", err)
		}
	case out.Kind == semel.Replay:
		v.answered(v, out.Record.Response)
	case out.Kind == semel.Conflict, out.Lapsed:
		v.broken("I5, I8: %s got %v, lapsed %v", v, out.Kind, out.Lapsed)
	}
}

// count notes what was seen.
func (v *visit) count(out semel.TxOutcome, err error) {
	for what, is := range map[string]bool{
		"commit unknown": errors.Is(err, semel.ErrCommitUnknown), "busy": errors.Is(err, semel.ErrTxBusy),
		"overran": errors.Is(err, semel.ErrOverran), "panicked": errors.Is(err, errPanicked), "failed": err != nil,
		"rolled back":  err == nil && out.Ran && out.How != semel.Keep,
		"kept paid":    out.Ran && out.How == semel.Keep && out.Record.Response.Body[0] == 'p',
		"kept refused": out.Ran && out.How == semel.Keep && out.Record.Response.Body[0] == 'r',
		"replay":       !out.Ran && out.Kind == semel.Replay, "in-flight": !out.Ran && out.Kind == semel.InFlight,
		"run after a death": out.Ran && out.Record.Attempts > 1,
	} {
		if is {
			v.saw(what)
		}
	}
}

// byHand is a handler that owns its transaction, and tries again what did not come
// through.
func (v *visit) byHand() {
	c := v.call()
	c.DeferEffects = true
	out, err := v.at.engine.Begin(v.t.Context(), c)
	switch {
	case err != nil:
		v.tell("%s by hand: %v", v, err)
		return
	case out.Kind == semel.Replay:
		v.answered(v, out.Record.Response)
		return
	case out.Kind != semel.Reserved:
		if out.Kind == semel.Conflict || out.Lapsed {
			v.broken("I5, I8: %s got %v, lapsed %v", v, out.Kind, out.Lapsed)
		}
		return
	}
	ctx := out.Claim.Attach(v.t.Context())
	defer out.Claim.Detach()
	err = guard(func() error {
		for range 3 {
			if done, err := v.tryByHand(ctx, out.Claim); done || err != nil {
				return err
			}
		}
		return out.Claim.Release(ctx)
	})
	v.tell("%s by hand, settled: %v", v, err)
	out.Claim.Abandon(ctx)
}

// tryByHand reports true when the attempt is over.
func (v *visit) tryByHand(ctx context.Context, c *semel.Claim) (bool, error) {
	begun, err := v.at.teller.mode(semel.ClaimTx).Begin(context.WithoutCancel(ctx))
	if err != nil {
		return false, nil
	}
	x := begun.(*bankTx)
	defer x.Rollback(context.WithoutCancel(ctx))
	if err := c.LockIn(ctx, x); err != nil {
		return false, ignore(err)
	}
	end, err := v.business(x.Attach(ctx))
	if err != nil || end.How != semel.Keep {
		return false, ignore(err)
	}
	if err := c.CompleteIn(ctx, x, end.Response); err != nil {
		return false, ignore(err)
	}
	err = x.Commit(context.WithoutCancel(ctx))
	x.Rollback(context.WithoutCancel(ctx))
	for range 5 {
		now, cerr := c.Confirm(ctx)
		switch {
		case cerr != nil:
			v.pause(time.Second)
			continue
		case now.Kind == semel.Replay:
			v.saw("confirmed")
			v.answered(v, now.Record.Response)
			return true, nil
		case err == nil:
			v.broken("I8: %s has committed, and Confirm says %v, lapsed %v", v, now.Kind, now.Lapsed)
		}
		return now.Kind != semel.Reserved, nil
	}
	return true, nil // nobody knows: the next attempt will
}

// ignore keeps the errors after which a handler does not try again.
func ignore(err error) error {
	for _, lost := range []error{semel.ErrLost, semel.ErrOverran, semel.ErrClosed, semel.ErrSettled, errDeclined} {
		if errors.Is(err, lost) {
			return err
		}
	}
	return nil
}

// plain is a handler with an effect outside the bank. It may promise to have none
// before it says so.
func (v *visit) plain() {
	c := v.call()
	c.DeferEffects = v.rand.IntN(2) == 0
	out, err := v.at.engine.Begin(v.t.Context(), c)
	if err != nil {
		return
	}
	if out.Kind != semel.Reserved {
		return
	}
	ctx := out.Claim.Attach(v.t.Context())
	defer out.Claim.Detach()
	defer out.Claim.Abandon(ctx)
	v.pause(time.Minute)
	if v.rand.IntN(4) == 0 {
		_ = out.Claim.Release(ctx)
		return
	}
	if out.Claim.BeginEffects(ctx) != nil || ctx.Err() != nil {
		return
	}
	v.affect(v)
	v.pause(time.Minute)
	if v.rand.IntN(4) > 0 {
		_ = out.Claim.Complete(ctx, answer("done"))
	}
}
