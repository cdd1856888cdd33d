package semelgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// attempt is one call that may run its handler.
type attempt struct {
	*Interceptor
	*method
	req     any
	handler grpc.UnaryHandler
	claim   *semel.Claim
}

// answer is what a handler has returned, and set on the way.
type answer struct {
	reply           any
	err             error
	status          *status.Status // of err; OK without one
	header, trailer metadata.MD
}

// run lets the handler make its answer. Whatever leaves without finishing, a panic above all,
// holds the key.
func (a *attempt) run(outer context.Context) (any, error) {
	ctx := a.claim.Attach(outer)
	defer a.claim.Detach()
	c := newCapture(outer, a.name)
	why := "panic" // or runtime.Goexit
	defer func() {
		c.end()
		a.claim.Doubt(why)
		a.claim.Abandon(ctx)
	}()
	reply, err := a.handler(grpc.NewContextWithServerTransportStream(ctx, c), a.req)
	reply, err = a.finish(ctx, outer, a.answer(c, reply, err))
	why = "the answer could not be kept"
	return reply, err
}

// answer is what the client is to see, as gRPC makes it of what the handler has returned.
func (a *attempt) answer(c *capture, reply any, err error) answer {
	header, trailer := c.end()
	out := answer{reply: reply, err: err, header: header, trailer: trailer}
	if err != nil {
		s, ok := status.FromError(err)
		switch {
		case !ok:
			s = status.FromContextError(err)
		case s.Code() == codes.OK:
			s = status.New(codes.Internal, "the handler has returned an error with the status OK")
			out.err = s.Err()
		}
		if text := strings.ToValidUTF8(s.Message(), "\uFFFD"); text != s.Message() { // else it could not be kept
			p := s.Proto()
			p.Message = text
			s = status.FromProto(p)
			out.err = s.Err()
		}
		out.reply, out.status = nil, s
	}
	return out
}

// finish settles the attempt after the handler has returned, and answers. ctx is that of the
// attempt, outer that of the call.
func (a *attempt) finish(ctx, outer context.Context, got answer) (any, error) {
	if how, ended := a.claim.Settled(); ended {
		if how != semel.Keep {
			return a.reply(outer, got)
		}
		out, err := a.claim.Confirm(ctx)
		_, ended := a.claim.Settled()
		switch {
		case ended && err == nil && out.Kind == semel.Replay && out.Record.Token == a.claim.Token():
			return a.sendKept(outer, a.method, out.Record, nil)
		case ended:
			return a.instead(ctx, outer, out, err, semel.ErrLost)
		case got.err == nil: // it does not know that its transaction was rolled back
			return a.unsent(ctx, errRolledBack)
		}
	}
	if got.err != nil && a.claim.Deferred() && a.claim.Locked() { // a refusal may follow what was committed
		_, _ = a.claim.Confirm(ctx)
	}
	if a.claim.IsUnknown() {
		return a.unsent(ctx, semel.ErrTxEnded)
	}
	if wish, told := a.claim.Settlement(); got.err == nil && a.claim.Locked() && (!told || wish == semel.Unknown) {
		return a.uncompleted(ctx, outer)
	}
	how := a.disposition(got)
	if how == semel.Keep {
		return a.keep(ctx, outer, got)
	}
	if how == semel.Free {
		err := a.claim.Release(ctx)
		if err != nil && !errors.Is(err, semel.ErrLost) && !errors.Is(err, semel.ErrSettled) {
			a.log(ctx, "a key is not free yet", err)
		}
		return a.reply(outer, got)
	}
	a.claim.Doubt(a.doubt(got))
	a.claim.Abandon(ctx)
	return a.reply(outer, got)
}

// unsent answers for a handler whose reply says that a transaction is committed which is not.
// If it has had no effect but in that, nothing has happened; else the outcome is not known.
// cause is for the log.
func (a *attempt) unsent(ctx context.Context, cause error) (any, error) {
	p := semelhttp.ProblemOutcomeUnknown
	if a.claim.Deferred() {
		p = semelhttp.ProblemNotCommitted
	}
	a.claim.Doubt("the answer's transaction was not seen to commit")
	a.claim.Abandon(ctx)
	a.log(ctx, "a handler has returned and its answer does not count", cause)
	return nil, a.refuse(ctx, a.method, p, a.reference(a.claim.Key()))
}

// uncompleted answers for a handler that has locked its slot in a transaction and succeeds without
// CompleteIn: whether that is committed nobody knows, so nothing of it is told, and it does not run
// again by the promise of its method.
func (a *attempt) uncompleted(ctx, outer context.Context) (any, error) {
	out, err := a.claim.Confirm(ctx)
	if err == nil && out.Kind != semel.Reserved {
		return a.instead(ctx, outer, out, nil, semel.ErrLost)
	}
	cause := errUncompleted
	if err != nil {
		cause = fmt.Errorf("%w, and the transaction may still be open: %w", cause, err)
	}
	a.claim.EndPromise(ctx)
	a.claim.Doubt("LockIn without CompleteIn")
	return a.unsent(ctx, cause)
}

var (
	errRolledBack  = errors.New("semelgrpc: the transaction of the answer was not seen to commit with it: it was rolled back, or never committed after CompleteIn")
	errUncompleted = errors.New("semelgrpc: a handler has locked its key by LockIn and succeeds without CompleteIn: whether its transaction was committed is not known")
)

// disposition is how the answer ends the attempt, unless the handler has said so. No refusal of
// Semel, by an interceptor of another engine inside, is an outcome.
func (a *attempt) disposition(got answer) semel.Disposition {
	if how, told := a.claim.Settlement(); told {
		return how
	}
	if refused, ok := errors.AsType[*refusalError](got.err); ok {
		if refused.details.ReuseKey && !refused.details.Retryable { // it happened, or may have
			return semel.Unknown
		}
		return semel.Free
	}
	return a.cfg().Settle(got.status)
}

func (a *attempt) cfg() *Config { return a.method.cfg }

// doubt says why an answer holds the key, for the log.
func (a *attempt) doubt(got answer) string {
	if _, told := a.claim.Settlement(); told {
		return "the handler said hold"
	}
	if refused, ok := errors.AsType[*refusalError](got.err); ok {
		return "refused as " + refused.details.Code
	}
	return "status " + got.status.Code().String() + " by the settle table"
}

// keep completes the attempt with the whole answer and sends it: persist before send (I14).
func (a *attempt) keep(ctx, outer context.Context, got answer) (any, error) {
	whole, got := a.encode(ctx, got)
	err := a.claim.Complete(ctx, whole)
	if errors.Is(err, semel.ErrTooLarge) {
		a.log(ctx, "an answer is not kept, as the store has no room for one of its size: a retry is told response-not-kept", err)
		err = a.claim.Complete(ctx, withoutBytes(got))
	}
	switch {
	case err == nil:
	case errors.Is(err, semel.ErrNotStored), errors.Is(err, semel.ErrTooLarge):
		got.header = metadata.Join(got.header, metadata.Pairs(MetadataStored, "false"))
	default:
		out, confirmErr := a.claim.Confirm(ctx)
		return a.instead(ctx, outer, out, confirmErr, err)
	}
	return a.reply(outer, got)
}

// encode is what is to be kept of an answer, and the answer: a reply that cannot be encoded is
// to the client what gRPC makes of it, a failure.
func (a *attempt) encode(ctx context.Context, got answer) (semel.Response, answer) {
	kept := Kept{Status: got.status, Header: a.without(got.header), Trailer: a.without(got.trailer)}
	if got.err == nil {
		message, ok := got.reply.(proto.Message)
		if !ok && got.reply != nil { // of another codec, which knows how to send it
			return withoutBytes(got), got
		}
		kept.Message = message
	}
	whole, err := kept.Encode()
	if err != nil {
		a.log(ctx, "a handler has returned what cannot be sent", err)
		got.status = status.New(codes.Internal, "the response cannot be encoded")
		got.reply, got.err = nil, got.status.Err()
		kept.Message, kept.Status = nil, got.status
		if whole, err = kept.Encode(); err != nil {
			return withoutBytes(got), got
		}
	}
	if len(whole.Body) > a.cfg().MaxResponse {
		return withoutBytes(got), got
	}
	return whole, got
}

// withoutBytes says that there was an answer.
func withoutBytes(got answer) semel.Response {
	bare, _ := Kept{Status: got.status, NotKept: true}.Encode() // without a message it cannot fail
	return bare
}

// without leaves out what the config omits.
func (a *attempt) without(md metadata.MD) metadata.MD {
	if len(a.cfg().Omit) == 0 || len(md) == 0 {
		return md
	}
	md = lowered(md).Copy()
	for _, name := range a.cfg().Omit {
		md.Delete(name)
	}
	return md
}

// reply sends the attempt's own answer.
func (a *attempt) reply(outer context.Context, got answer) (any, error) {
	a.send(outer, got.header, got.trailer)
	return got.reply, got.err
}

// instead answers for an attempt whose own answer is not the one that is kept: with that, or
// with the truth that it is unknown.
func (a *attempt) instead(ctx, outer context.Context, out semel.Outcome, err, cause error) (any, error) {
	stored := a.claim.Key()
	a.Interceptor.cfg.Logger.ErrorContext(ctx, "an attempt does not send its own answer, as it is not the one that is kept",
		"ref", a.engine.Ref(stored), "fence", a.claim.Fence(), "err", cause)
	switch {
	case err == nil && out.Kind == semel.Replay:
		return a.replay(outer, a.method, out.Record)
	case errors.Is(err, semel.ErrDamaged):
		return nil, a.refuseDamaged(ctx, a.method, stored, err)
	case err != nil:
		a.log(ctx, "the outcome of a lost attempt could not be read", err)
	}
	return nil, a.refuse(ctx, a.method, semelhttp.ProblemOutcomeUnknown, a.reference(stored))
}
