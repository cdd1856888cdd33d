package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

// maxResponse is what header and body may have together. Redis refuses a value
// of more than 512 MiB (proto-max-bulk-len), and closes the connection.
const maxResponse = 256 << 20

// Reserve implements [semel.Store]. The first one validates the server, see
// [Store.Validate].
func (s *Store) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	held, err := s.reserve(ctx, r)
	switch {
	case !errors.Is(err, ErrNotReplicated):
	case held.Token != r.Token:
		err = nil // this call wrote nothing
	case held.State == semel.StateReserved:
		err = errors.Join(err, s.giveBack(ctx, held))
	}
	if err != nil {
		return semel.Record{}, err
	}
	return held, nil
}

// reserve returns the record also with ErrNotReplicated.
func (s *Store) reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	slot := r.Key.Slot()
	if err := s.enter(); err != nil {
		return semel.Record{}, err
	}
	defer s.leave()
	if err := s.gate.pass(func() error { return s.validate(uncancelled()) }); err != nil {
		return semel.Record{}, explain("reserve", slot, err)
	}
	name := nameOf(r)
	cmd, err := s.run(ctx, &step{
		script: reserveScript, bytes: len(name), durable: true,
		args: []any{
			name, micros(r.Lease), micros(r.Retention), micros(r.Margin),
			flag(r.TakeOver), flag(r.TakeOverBlameless), flag(r.Deferred), s.touch(),
		},
	}, slot)
	if err != nil && !errors.Is(err, ErrNotReplicated) {
		return semel.Record{}, explain("reserve", slot, err)
	}
	reply, textErr := cmd.Text()
	if textErr != nil {
		return semel.Record{}, explain("reserve", slot, textErr)
	}
	held, badErr := decode(slot, reply, true)
	if badErr != nil {
		return semel.Record{}, explain("reserve", slot, badErr)
	}
	return held, explain("reserve", slot, err)
}

// giveBack ends a reservation that is not safe enough to run under. One that
// took over an attempt whose outcome is unknown is not released: it stays so (I7).
func (s *Store) giveBack(ctx context.Context, held semel.Record) error {
	err := error(nil)
	if held.Lapses > 0 {
		_, err = s.Renew(ctx, 0, []semel.Holder{{Key: held.Key, Token: held.Token}})
	} else {
		err = s.Release(ctx, held.Key, held.Token)
	}
	if errors.Is(err, semel.ErrLost) {
		return nil
	}
	return err
}

// Complete implements [semel.Completer]. A response of more than 256 MiB is
// refused with [semel.ErrTooLarge]. After [ErrNotReplicated] the response is
// kept, and repeating Complete waits again.
func (s *Store) Complete(ctx context.Context, c semel.Completion) error {
	if len(c.Response.Header)+len(c.Response.Body) > maxResponse {
		return fmt.Errorf("redisstore: complete: %w", semel.ErrTooLarge)
	}
	slot := c.Key.Slot()
	response := responseOf(slot, c.Response)
	return s.held(ctx, "complete", slot, &step{
		script: completeScript, bytes: len(response), durable: true,
		args: []any{c.Token[:], c.Response.Status, micros(c.Retention), response, s.touch()},
	})
}

// BeginEffects implements [semel.EffectBeginner]. It waits for replicas and for
// the log as Complete does; after [ErrNotReplicated] the reservation is not
// deferred any more, and repeating BeginEffects waits again.
func (s *Store) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	return s.held(ctx, "begin effects", key.Slot(), &step{script: beginScript, durable: true, args: []any{token[:], s.touch()}})
}

// Release implements [semel.Store]. Repeating it returns nil until somebody
// else takes the slot.
func (s *Store) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	return s.held(ctx, "release", key.Slot(), &step{script: releaseScript, args: []any{token[:]}})
}

// maxRenew is how many leases are renewed at a time.
const maxRenew = 1000

// Renew implements [semel.Renewer]. The holders share pipelines; each renewal is
// a step of its own, and those that fail, on a master that stands still perhaps,
// are named in a [*semel.UnrenewedError].
func (s *Store) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	var missed semel.UnrenewedError
	for some := range slices.Chunk(holders, maxRenew) {
		lost = append(lost, s.renew(ctx, lease, some, &missed)...)
	}
	if len(missed.Tokens) > 0 {
		return lost, &missed
	}
	return lost, nil
}

// renew returns the tokens that are lost, and adds those of failed steps to missed.
func (s *Store) renew(ctx context.Context, lease time.Duration, holders []semel.Holder, missed *semel.UnrenewedError) (lost []semel.Token) {
	steps := make([]*step, len(holders))
	for i, h := range holders {
		steps[i] = &step{
			script: renewScript, key: s.keyOf(h.Key.Slot()), args: []any{h.Token[:], micros(lease)},
		}
	}
	s.router.doAll(context.WithoutCancel(ctx), steps)
	for i, p := range steps {
		held, err := 0, p.err
		if err == nil {
			held, err = p.cmd.Int()
		}
		switch token := holders[i].Token; {
		case err != nil:
			missed.Tokens, missed.Err = append(missed.Tokens, token), explain("renew", holders[i].Key.Slot(), err)
		case held == 0:
			lost = append(lost, token)
		}
	}
	return lost
}

// Resolve implements [semel.Resolver]. It replaces the token of the lapsed
// attempt: when that comes back it gets ErrLost, not the operator's answer (I3).
func (s *Store) Resolve(ctx context.Context, r semel.Resolution) error {
	if len(r.Reason) > semel.MaxReasonLen {
		return fmt.Errorf("redisstore: resolve: the reason has %d bytes, and %d is the most", len(r.Reason), semel.MaxReasonLen)
	}
	slot, token := r.Key.Slot(), semel.NewToken()
	var status any = ""
	var response []byte
	if r.Response != nil {
		if len(r.Response.Header)+len(r.Response.Body) > maxResponse {
			return fmt.Errorf("redisstore: resolve: %w", semel.ErrTooLarge)
		}
		status, response = r.Response.Status, responseOf(slot, *r.Response)
	}
	return s.held(ctx, "resolve", slot, &step{
		script: resolveScript, bytes: len(response), durable: true,
		args: []any{r.Fence, micros(r.Margin), micros(r.Retention), token[:], status, response, r.Reason, s.touch()},
	})
}

// Purge implements [semel.Purger]. It has nothing to do: free and completed
// records have a time to live, and Redis deletes what is over.
func (s *Store) Purge(context.Context, int) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	s.leave()
	return 0, nil
}

// held runs a step that answers 1 when it is done, 0 when the token or the fence
// does not hold the slot, and 2 while the lease runs.
func (s *Store) held(ctx context.Context, name string, slot semel.Slot, p *step) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	cmd, err := s.run(ctx, p, slot)
	if err != nil && !errors.Is(err, ErrNotReplicated) {
		return explain(name, slot, err)
	}
	switch n, replyErr := cmd.Int(); {
	case replyErr != nil:
		return explain(name, slot, replyErr)
	case n == 0:
		return semel.ErrLost
	case n == 2:
		return semel.ErrInFlight
	}
	return explain(name, slot, err)
}

// run sends a step. The command is set also with an error.
func (s *Store) run(ctx context.Context, p *step, slot semel.Slot) (*redis.Cmd, error) {
	p.key = s.keyOf(slot)
	err := s.router.do(context.WithoutCancel(ctx), p)
	return p.cmd, err
}

// touch tells a script to write also when it repeats itself.
func (s *Store) touch() string { return flag(s.cfg.waits()) }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
