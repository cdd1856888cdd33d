package storetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// looksThenActs decides by a read what a later write was to decide.
func looksThenActs(m *mutant) {
	m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
		before := m.look(ctx, r.Key)
		vacant := before.State == semel.StateFree || over(before) || before.Lapsed && (r.TakeOver || r.TakeOverBlameless)
		time.Sleep(time.Nanosecond) // all the others look
		held, err := m.Store.Reserve(ctx, r)
		if vacant {
			held.Token, held.State = r.Token, semel.StateReserved
		}
		return held, err
	}
}

var raceSeeds = []seed{
	{
		"Reserve looks, then acts", looksThenActs,
		[]string{"race/absent", "race/released", "race/expired", "race/lapsed", "race/hot", "deferred/race"},
	},
	{"Complete and Release look, then act", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			before := m.look(ctx, c.Key)
			time.Sleep(time.Nanosecond)
			if err := m.Store.Complete(ctx, c); before.Token != c.Token {
				return err
			}
			return nil
		}
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			before := m.look(ctx, key)
			time.Sleep(time.Nanosecond)
			if err := m.Store.Release(ctx, key, token); before.Token != token {
				return err
			}
			return nil
		}
	}, []string{"race/settle"}},
	{"Complete loses a race without a word", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			time.Sleep(time.Nanosecond) // the other wins
			_ = m.Store.Complete(ctx, c)
			return nil
		}
	}, []string{"race/settle", "race/late-complete"}},
	{"the fence is drawn before the slot is won", func(m *mutant) {
		fence := int64(1 << 60)
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			held.Fence = fence - int64(held.Attempts)
			return held, err
		}
	}, []string{"race/hot"}},
}

// keepsInstead changes what Complete keeps.
func keepsInstead(change func(r *semel.Response)) func(*mutant) {
	return completes(func(_ context.Context, _ *mutant, _ semel.Record, c *semel.Completion) { change(&c.Response) })
}

// keepsBytes changes the bytes of header and body.
func keepsBytes(f func(b []byte) []byte) func(*mutant) {
	return keepsInstead(func(r *semel.Response) { r.Header, r.Body = f(r.Header), f(r.Body) })
}

func cutAt(n int) func(b []byte) []byte { return func(b []byte) []byte { return b[:min(len(b), n)] } }

var valueSeeds = []seed{
	{"bytes are made valid UTF-8", keepsBytes(func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("?")) }), []string{"values/bytes"}},
	{"bytes end at a zero", keepsBytes(func(b []byte) []byte { b, _, _ = bytes.Cut(b, []byte{0}); return b }), []string{"values/bytes"}},
	{"bytes are trimmed", keepsBytes(bytes.TrimSpace), []string{"values/bytes"}},
	{"lines end with LF", keepsBytes(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }), []string{"values/bytes"}},
	{"an empty body is null", keepsInstead(func(r *semel.Response) {
		if len(r.Body) == 0 {
			r.Body = []byte("null")
		}
	}), []string{"values/empty"}},
	{"a response without a body is not kept", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if len(c.Response.Body) == 0 {
				return errStore
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"values/empty"}},
	{"no status is 200", keepsInstead(func(r *semel.Response) {
		if r.Status == 0 {
			r.Status = 200
		}
	}), []string{"values/status", "values/empty"}},
	{"the status is one byte", keepsInstead(func(r *semel.Response) { r.Status %= 256 }), []string{"values/status"}},
	{"bodies are cut at 64 KiB", keepsBytes(cutAt(64 << 10)), []string{"values/large", "values/sizes"}},
	{"bodies are cut at 512 KiB", keepsBytes(cutAt(512 << 10)), []string{"values/large"}},
	{"bodies are cut at 255 bytes", keepsBytes(cutAt(255)), []string{"values/sizes", "values/bytes"}},
	{"only half of the fingerprint is kept", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		clear(r.Fingerprint[16:])
	}), []string{"values/fingerprint"}},
	{"the owner is not kept", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Owner = ""
	}), []string{"values/owner"}},
	{"an empty owner is unknown", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		if r.Owner == "" {
			r.Owner = "unknown"
		}
	}), []string{"values/owner"}},
}

// lists makes a mutant that is asked for another filter, or answers otherwise.
func lists(ask func(f *semel.Filter), answer func(f semel.Filter, records []semel.Record) []semel.Record) func(*mutant) {
	return func(m *mutant) {
		m.list = func(ctx context.Context, f semel.Filter) []semel.Record {
			asked := f
			ask(&asked)
			return answer(f, m.all(ctx, asked))
		}
	}
}

func asIs(_ semel.Filter, records []semel.Record) []semel.Record { return records }

// sifts changes what a Sift answers.
func sifts(change func(f semel.Filter, found *[]semel.Record, next *semel.Place)) func(*mutant) {
	return func(m *mutant) {
		m.sift = func(ctx context.Context, f semel.Filter, most int) ([]semel.Record, semel.Place) {
			found, next := m.sifted(ctx, f, most)
			change(f, &found, &next)
			return found, next
		}
	}
}

var listSeeds = []seed{
	{"a step ends the list", sifts(func(_ semel.Filter, _ *[]semel.Record, next *semel.Place) { *next = semel.Place{} }), []string{"list/sift"}},
	{"a step does not come further", sifts(func(f semel.Filter, _ *[]semel.Record, next *semel.Place) {
		if !next.IsZero() && !f.After.IsZero() {
			*next = f.After
		}
	}), []string{"list/sift"}},
	{"a step loses its last record", sifts(func(_ semel.Filter, found *[]semel.Record, _ *semel.Place) {
		*found = (*found)[:max(0, len(*found)-1)]
	}), []string{"list/sift"}},
	{"bodies are always listed", lists(func(f *semel.Filter) { f.Bodies = true }, asIs), []string{"list/records"}},
	{"bodies are never listed", lists(func(f *semel.Filter) { f.Bodies = false }, asIs), []string{"list/records"}},
	{"the oldest is listed first", lists(func(*semel.Filter) {}, func(_ semel.Filter, records []semel.Record) []semel.Record {
		slices.Reverse(records)
		return records
	}), []string{"list/order"}},
	{"the limit is ignored", lists(func(f *semel.Filter) { f.Limit = 0 }, asIs), []string{"list/order"}},
	{"the limit keeps the oldest", lists(func(f *semel.Filter) { f.Limit = 0 }, func(f semel.Filter, records []semel.Record) []semel.Record {
		if f.Limit == 0 {
			return records
		}
		return records[max(0, len(records)-f.Limit):]
	}), []string{"list/order"}},
	{"the scope is not filtered", lists(func(f *semel.Filter) { f.Scope = "" }, asIs), []string{"list/filter"}},
	{"the id is not filtered", lists(func(f *semel.Filter) { f.ID = "" }, asIs), []string{"list/filter"}},
	{"the slot is not filtered", lists(func(f *semel.Filter) { f.Slot = "" }, asIs), []string{"list/filter"}},
	{"the state is not filtered", lists(func(f *semel.Filter) { f.States = nil }, asIs), []string{"list/filter"}},
	{"one state is filtered only", lists(func(f *semel.Filter) { f.States = f.States[:min(1, len(f.States))] }, asIs), []string{"list/filter"}},
	{"the lapse is not filtered", lists(func(f *semel.Filter) { f.Lapsed = false }, asIs), []string{"list/filter"}},
	{"the margin is ignored in a filter", lists(func(f *semel.Filter) { f.Margin = 0 }, asIs), []string{"list/filter"}},
	{"the route is not filtered", lists(func(f *semel.Filter) { f.Route = "" }, asIs), []string{"list/filter"}},
	{"the place is ignored", lists(func(f *semel.Filter) { f.After = semel.Place{} }, asIs), []string{"list/pages"}},
	{"a page begins with what is younger than its place", lists(func(f *semel.Filter) {
		if !f.After.IsZero() {
			f.After.Slot = semel.Slot{}
		}
	}, asIs), []string{"list/pages"}},
	{"a page begins with its place", lists(func(f *semel.Filter) {
		if !f.After.IsZero() {
			f.After.CreatedAt = f.After.CreatedAt.Add(time.Microsecond)
		}
	}, asIs), []string{"list/pages"}},
	{"the least age is ignored", lists(func(f *semel.Filter) { f.MinAge = 0 }, asIs), []string{"list/age"}},
	{"the largest age is ignored", lists(func(f *semel.Filter) { f.MaxAge = 0 }, asIs), []string{"list/age"}},
	{"a list ends after a page", lists(func(*semel.Filter) {}, func(_ semel.Filter, records []semel.Record) []semel.Record {
		return records[:min(len(records), 10)]
	}), []string{"list/stop"}},
}

// resolves changes what Resolve is asked for.
func resolves(change func(ctx context.Context, m *mutant, before semel.Record, r *semel.Resolution)) func(*mutant) {
	return func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			change(ctx, m, m.look(ctx, r.Key), &r)
			return m.Store.Resolve(ctx, r)
		}
	}
}

var resolveSeeds = []seed{
	{"an operator's response loses its body", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		if r.Response != nil {
			r.Response = &semel.Response{Status: r.Response.Status}
		}
	}), []string{"resolve/response", "resolve/late-owner"}},
	{"a resolution to nothing deletes the record", func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			err := m.Store.Resolve(ctx, r)
			if err == nil && r.Response == nil {
				m.forget()
			}
			return err
		}
	}, []string{"resolve/free", "resolve/late-owner"}},
	{"a resolution leaves the token valid", func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			before := m.look(ctx, r.Key)
			if r.Response == nil || !before.Lapsed || before.Fence != r.Fence {
				return m.Store.Resolve(ctx, r)
			}
			return m.Store.Complete(ctx, semel.Completion{Key: r.Key, Token: before.Token, Response: *r.Response, Retention: r.Retention})
		}
	}, []string{"resolve/late-owner"}},
	{"a running attempt is resolved", resolves(func(ctx context.Context, m *mutant, before semel.Record, _ *semel.Resolution) {
		m.end(ctx, before)
	}), []string{"resolve/running"}},
	{"a resolution ignores the margin", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		r.Margin = 0
	}), []string{"resolve/running"}},
	{"a resolution ignores the fence", resolves(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Resolution) {
		r.Fence = before.Fence
	}), []string{"resolve/fence"}},
	{"a resolution takes any newer fence", resolves(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Resolution) {
		r.Fence = min(r.Fence, before.Fence)
	}), []string{"resolve/fence"}},
	{"a resolution of a settled slot is success", func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			if m.look(ctx, r.Key).State != semel.StateReserved {
				return nil
			}
			return m.Store.Resolve(ctx, r)
		}
	}, []string{"resolve/settled"}},
	{"a resolution keeps the old retention", resolves(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Resolution) {
		r.Retention = max(0, time.Until(before.ExpiresAt))
	}), []string{"resolve/retention"}},
	{"a reason is not kept", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		r.Reason = ""
	}), []string{"resolve/reason"}},
	{"a reason is kept with a response only", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		if r.Response == nil {
			r.Reason = ""
		}
	}), []string{"resolve/reason"}},
	{"a reason is cut at 255 bytes", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		r.Reason = r.Reason[:min(len(r.Reason), 255)]
	}), []string{"resolve/reason"}},
	{"a reason outlives its slot's next reservation", answers(func(_ semel.Reservation, before semel.Record, held *semel.Record) {
		if held.State == semel.StateReserved {
			held.Reason = before.Reason
		}
	}), []string{"resolve/reason"}},
	{"a replay does not tell the reason", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Reason = ""
	}), []string{"resolve/reason"}},
	{"a list does not tell the reason", lists(func(*semel.Filter) {}, func(_ semel.Filter, records []semel.Record) []semel.Record {
		for i := range records {
			records[i].Reason = ""
		}
		return records
	}), []string{"resolve/reason"}},
	{"a reason that is too long is cut", resolves(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Resolution) {
		r.Reason = r.Reason[:min(len(r.Reason), semel.MaxReasonLen)]
	}), []string{"resolve/reason-too-long"}},
	{"a reason that is too long is ErrLost", func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			if len(r.Reason) > semel.MaxReasonLen {
				return semel.ErrLost
			}
			return m.Store.Resolve(ctx, r)
		}
	}, []string{"resolve/reason-too-long"}},
	{"a reason that is too long is refused too late", func(m *mutant) {
		m.resolve = func(ctx context.Context, r semel.Resolution) error {
			long := len(r.Reason) > semel.MaxReasonLen
			if long {
				r.Reason = ""
			}
			if err := m.Store.Resolve(ctx, r); err != nil || !long {
				return err
			}
			return errStore
		}
	}, []string{"resolve/reason-too-long"}},
	{"the grade is none of three", func(m *mutant) { m.grade = semel.Grade{Letter: "D", Survives: "All."} }, []string{"health/ping-and-grade"}},
}
