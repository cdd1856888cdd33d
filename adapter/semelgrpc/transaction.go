package semelgrpc

import (
	"context"
	"errors"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

var errNested = errors.New("semelgrpc: an interceptor without transactions guards the call already, so the handler would run without one")

// InTx returns an Interceptor whose handlers run in a transaction of txs: what a handler writes in
// it and its answer are committed together, or neither (invariant I8), and the answer is sent
// afterwards. The handler finds the transaction in its context (pgstore.TxFrom,
// semelsql.TxFrom) and does not end it. For some methods only, set [Config].Tx in
// [Config].Methods.
//
//   - An answer that is kept, refusals of the client's request included, commits.
//   - A failure of the server (CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
//     UNAVAILABLE, DATA_LOSS), or an answer that frees or holds the key, rolls back, and so does
//     a panic: nothing has happened. [semel.Claim.Settle] overrules both.
//   - A refusal is kept also when an error of the database has spoiled the transaction; any
//     other answer is then replaced by not-committed.
//
// A handler may run several times for one call, see [semel.Engine.InTx]; what it returned and set
// before is forgotten. It must not call other services: an outbox table is the way to do that.
//
// An Interceptor without transactions must not guard the same call from outside: it is refused
// then. InTx returns [semel.ErrOtherStore] when txs do not belong to the engine's store.
func (i *Interceptor) InTx(txs semel.Transactions) (*Interceptor, error) {
	if err := i.engine.CheckTransactions(txs); err != nil {
		return nil, err
	}
	cfg := i.cfg
	cfg.Tx = txs
	return New(i.engine, i.scope, cfg)
}

// transacting is one call whose handler runs in transactions.
type transacting struct {
	*attempt
	outer context.Context //nolint:containedctx // of the call, while f of InTx has that of the attempt
	last  answer
	short bool // the store has no room for the bytes of the answer
}

func (a *attempt) runInTx(ctx context.Context, call semel.Call) (any, error) {
	x := &transacting{attempt: a, outer: ctx}
	out, err := a.engine.InTx(ctx, call, a.cfg().Tx, x.try)
	if errors.Is(err, semel.ErrTooLarge) {
		a.log(ctx, "an answer is not kept, as the store has no room for one of its size: a retry is told response-not-kept", err)
		x.short = true
		call.Wait = 0 // it has waited
		out, err = a.engine.InTx(ctx, call, a.cfg().Tx, x.try)
	}
	switch {
	case err != nil:
		return nil, x.refuseUncommitted(call.Key, err)
	case out.Ran:
		return a.reply(ctx, x.last)
	case out.Kind == semel.Replay:
		return a.replay(ctx, a.method, out.Record)
	case isInside(ctx, out.Record):
		return nil, x.refuseUncommitted(call.Key, errNested)
	}
	return nil, a.refuseHeld(ctx, a.method, call.Key, out.Outcome)
}

type tryKey struct{}

// trying is the slot for which a handler runs in a transaction.
type trying struct {
	engine *semel.Engine
	key    semel.Key
}

// isTrying reports whether ctx belongs to a handler that runs in a transaction for the slot of
// key. The store must not be asked then: it could wait for that transaction.
func (i *Interceptor) isTrying(ctx context.Context, key semel.Key) bool {
	t, ok := ctx.Value(tryKey{}).(trying)
	return ok && t.engine == i.engine && t.key == i.engine.StoredKey(key)
}

// try runs the handler once and says how its transaction is to end.
func (x *transacting) try(ctx context.Context) (semel.Ending, error) {
	a := *x.attempt
	a.claim = semel.FromContext(ctx)
	c := newCapture(x.outer, a.name)
	defer c.end() // also after a panic
	inner := context.WithValue(ctx, tryKey{}, trying{a.engine, a.claim.Key()})
	reply, err := a.handler(grpc.NewContextWithServerTransportStream(inner, c), a.req)
	x.last = a.answer(c, reply, err)

	end := semel.Ending{How: a.disposition(x.last)}
	if end.How == semel.Keep {
		end.Response, x.last = a.encode(ctx, x.last)
	}
	code := x.last.status.Code()
	if _, told := a.claim.Settlement(); !told && end.How == semel.Keep && isFailureOfServer(code) {
		end.How = semel.Free // rolled back, it has not happened
	}
	if end.How != semel.Keep {
		return semel.Ending{How: end.How}, nil
	}
	if x.short {
		end.Response = withoutBytes(x.last)
	}
	end.Refusal = code != codes.OK && !isFailureOfServer(code)
	return end, nil
}

// refuseUncommitted answers when nothing was committed, or nobody knows.
func (x *transacting) refuseUncommitted(key semel.Key, err error) error {
	ctx := x.outer
	extra := x.referenceOf(key)
	switch {
	case errors.Is(err, semel.ErrCommitUnknown):
		x.log(ctx, "it is not known whether a call is committed", err)
		d := detailsOf(semelhttp.ProblemStoreUnavailable)
		d.Detail, d.Extra = "It is not known whether the call was committed. Retry with the same key.", extra
		return x.render(ctx, x.method, semelhttp.ProblemStoreUnavailable, d)
	case errors.Is(err, semel.ErrTxEnded):
		x.log(ctx, "a call may be committed without its record", err)
		return x.refuse(ctx, x.method, semelhttp.ProblemOutcomeUnknown, extra)
	}
	for _, mistake := range []error{semel.ErrTxOwned, semel.ErrTxSpoiled, semel.ErrTooLarge, semel.ErrOverran, errNested} {
		if errors.Is(err, mistake) {
			x.log(ctx, "a call is not committed", err)
			return x.refuse(ctx, x.method, semelhttp.ProblemNotCommitted, extra)
		}
	}
	return x.refuseFailure(ctx, x.method, key, err)
}
