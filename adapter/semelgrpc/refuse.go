package semelgrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// refuse makes every refusal but those that say something of their own.
func (i *Interceptor) refuse(ctx context.Context, m *method, p semelhttp.Problem, extra map[string]any) error {
	d := detailsOf(p)
	d.Extra = extra
	return i.render(ctx, m, p, d)
}

// render makes a refusal of a unary call, and tells its stream what policies need. For a guard
// inside another one that stream is the other's capture, for it decides what leaves.
func (i *Interceptor) render(ctx context.Context, m *method, p semelhttp.Problem, d problem.Details) error {
	refused := i.refusal(ctx, m, p, d)
	_ = send(grpc.ServerTransportStreamFromContext(ctx), nil, refused.pushback()) // a client that is gone cannot be told
	return refused
}

// refuseStream refuses a streaming call.
func (i *Interceptor) refuseStream(ss grpc.ServerStream, m *method, p semelhttp.Problem) error {
	refused := i.refusal(ss.Context(), m, p, detailsOf(p))
	ss.SetTrailer(refused.pushback())
	return refused
}

// refusal is what a refusal says.
func (i *Interceptor) refusal(ctx context.Context, m *method, p semelhttp.Problem, d problem.Details) *refusalError {
	if p == semelhttp.ProblemOutcomeUnknown && cmp.Or(m.cfg.Lapsed, i.engine.Lapsed()) != semel.Hold {
		d.Retryable = true
		d.Detail = "A call with this key ended without an answer and may have taken effect. It is being found out. Retry with the same key."
	}
	if m.cfg.OnRefuse != nil {
		m.cfg.OnRefuse(ctx, m.name, d)
	}
	return newRefusal(p, d, m.cfg.Metadata[0])
}

// reference names the slot of a stored key to support without telling it.
func (i *Interceptor) reference(key semel.Key) map[string]any {
	return map[string]any{"ref": i.engine.Ref(key)}
}

// referenceOf is reference for a key of the client's.
func (i *Interceptor) referenceOf(key semel.Key) map[string]any {
	return i.reference(i.engine.StoredKey(key))
}

// refuseKey answers a key that is none with a sentence that is written for the client.
func (i *Interceptor) refuseKey(ctx context.Context, m *method, err error) error {
	d := detailsOf(semelhttp.ProblemKeyInvalid)
	text := err.Error()
	d.Detail = strings.ToUpper(text[:1]) + text[1:] + "."
	return i.render(ctx, m, semelhttp.ProblemKeyInvalid, d)
}

// refuseHeld answers when the slot is another's.
func (i *Interceptor) refuseHeld(ctx context.Context, m *method, key semel.Key, out semel.Outcome) error {
	p := semelhttp.ProblemInFlight
	switch {
	case out.Kind == semel.Conflict:
		p = semelhttp.ProblemKeyConflict
	case out.Lapsed:
		p = semelhttp.ProblemOutcomeUnknown
	}
	return i.refuse(ctx, m, p, i.referenceOf(key))
}

// refuseFailure answers when nothing is known about the slot: fail closed. The key is the
// client's.
func (i *Interceptor) refuseFailure(ctx context.Context, m *method, key semel.Key, err error) error {
	extra := i.referenceOf(key)
	switch {
	case errors.Is(err, semel.ErrInvalidKey):
		i.log(ctx, "the scope is not usable", err)
		return i.refuse(ctx, m, semelhttp.ProblemScopeMissing, nil) // there is no such slot
	case errors.Is(err, semel.ErrDamaged):
		return i.refuseDamaged(ctx, m, i.engine.StoredKey(key), err)
	case errors.Is(err, semel.ErrKeyUnavailable):
		i.log(ctx, "a call is refused because the key of the kept responses is not available", err)
		d := detailsOf(semelhttp.ProblemStoreUnavailable)
		d.Detail, d.Extra = "The keys of kept responses are not available. Retry with the same key.", extra
		return i.render(ctx, m, semelhttp.ProblemStoreUnavailable, d)
	case !errors.Is(err, context.Cause(ctx)): // the caller has not just left
		i.log(ctx, "a call is refused because the store failed", err)
	}
	return i.refuse(ctx, m, semelhttp.ProblemStoreUnavailable, extra)
}

// refuseDamaged answers when a kept response is not what was kept. Nothing runs again.
func (i *Interceptor) refuseDamaged(ctx context.Context, m *method, stored semel.Key, err error) error {
	i.cfg.Logger.ErrorContext(ctx, "a kept response is damaged", "ref", i.engine.Ref(stored), "err", err)
	return i.refuse(ctx, m, semelhttp.ProblemRecordDamaged, i.reference(stored))
}

func (i *Interceptor) log(ctx context.Context, msg string, err error) {
	i.cfg.Logger.ErrorContext(ctx, msg, "err", err) //nolint:sloglint // the callers' messages are constants
}

// replay answers from the kept record, if the method still authorises it.
func (i *Interceptor) replay(ctx context.Context, m *method, rec semel.Record) (any, error) {
	if m.cfg.OnReplay != nil {
		if err := m.cfg.OnReplay(ctx, m.name, rec); err != nil {
			i.cfg.Logger.InfoContext(ctx, "a replay is refused", "ref", i.engine.Ref(rec.Key), "err", err)
			return nil, i.refuse(ctx, m, semelhttp.ProblemReplayRefused, i.reference(rec.Key))
		}
	}
	return i.sendKept(ctx, m, rec, metadata.Pairs(MetadataReplayed, "true"))
}

// sendKept answers with a kept response. It is checked whole before anything is set.
func (i *Interceptor) sendKept(ctx context.Context, m *method, rec semel.Record, marks metadata.MD) (any, error) {
	kept, err := m.decode(rec.Response)
	switch {
	case err != nil:
		return nil, i.refuseDamaged(ctx, m, rec.Key, err)
	case kept.NotKept:
		extra := i.reference(rec.Key)
		extra["original_code"] = strconv.Itoa(rec.Response.Status)
		return nil, i.refuse(ctx, m, semelhttp.ProblemResponseNotKept, extra)
	}
	i.send(ctx, metadata.Join(kept.Header, marks), kept.Trailer)
	if kept.Status != nil {
		return nil, kept.Status.Err()
	}
	return kept.Message, nil
}

// decode opens a kept answer of m. One of another type is of no use to a client that decodes
// it as what the method returns now.
func (m *method) decode(r semel.Response) (Kept, error) {
	kept, err := Decode(r, m.cfg.Types)
	if err != nil || kept.Message == nil || m.output == "" {
		return kept, err
	}
	if got := kept.Message.ProtoReflect().Descriptor().FullName(); got != m.output {
		return Kept{}, fmt.Errorf("%w: its message is a %s, and the method returns a %s now", ErrBadBlob, got, m.output)
	}
	return kept, nil
}

// send sets header and trailer of the call. A client that is gone cannot be told.
func (i *Interceptor) send(ctx context.Context, header, trailer metadata.MD) {
	err := send(grpc.ServerTransportStreamFromContext(ctx), header, trailer)
	if err != nil && ctx.Err() == nil {
		i.log(ctx, "an answer leaves without its metadata: an interceptor outside has sent the header", err)
	}
}
