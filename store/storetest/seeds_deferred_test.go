package storetest

import (
	"context"
	"time"

	"github.com/semel-go/semel"
)

var deferredSeeds = []seed{
	{"a promise is not kept", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Deferred = false
	}), []string{"deferred/kept", "deferred/take-over", "deferred/race"}},
	{"a promise is told to its attempt only", answers(func(r semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Deferred = held.Deferred && held.Token == r.Token
	}), []string{"deferred/kept"}},
	{"a list shows no promise", lists(func(*semel.Filter) {}, func(_ semel.Filter, records []semel.Record) []semel.Record {
		for i := range records {
			records[i].Deferred = false
		}
		return records
	}), []string{"deferred/kept"}},
	{"every reservation is a promise", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Deferred = true
	}), []string{"reserve/first", "deferred/take-over"}},
	{"a repeated Reserve gives a promise", answers(func(r semel.Reservation, before semel.Record, held *semel.Record) {
		if held.State == semel.StateReserved && before.Token == r.Token {
			held.Deferred = r.Deferred
		}
	}), []string{"deferred/kept", "begin/repeat"}},
	{"nobody takes over only the blameless", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.TakeOverBlameless = false
	}), []string{"deferred/take-over", "deferred/hold", "deferred/race", "deferred/retention"}},
	{"a blameless reservation is not taken over with everything", asks(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Reservation) {
		r.TakeOver = r.TakeOver && !before.Blameless()
	}), []string{"deferred/take-over-any"}},
	{"a blameless take-over is a lapse", answers(func(_ semel.Reservation, before semel.Record, held *semel.Record) {
		if before.Blameless() && held.Token != before.Token {
			held.Lapses = 1
		}
	}), []string{"deferred/take-over", "deferred/take-over-any"}},
	{"a promise is inherited", answers(func(_ semel.Reservation, before semel.Record, held *semel.Record) {
		held.Deferred = held.Deferred || before.Deferred
	}), []string{"deferred/take-over"}},
	{"a blameless reservation is anybody's", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.TakeOverBlameless = true
	}), []string{"deferred/hold", "deferred/retention"}},
	{"a running blameless attempt is taken over", asks(func(ctx context.Context, m *mutant, before semel.Record, r *semel.Reservation) {
		if r.TakeOverBlameless && before.Blameless() && before.Token != r.Token {
			m.end(ctx, before)
		}
	}), []string{"deferred/hold", "deferred/margin", "deferred/renew"}},
	{"a blameless take-over ignores the fingerprint", asks(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Reservation) {
		if r.TakeOverBlameless && before.Blameless() {
			r.Fingerprint = before.Fingerprint
		}
	}), []string{"deferred/conflict"}},
	{"a blameless take-over ignores the margin", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		if r.TakeOverBlameless {
			r.Margin = 0
		}
	}), []string{"deferred/margin"}},
	{"everything lapsed is blameless", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.TakeOver = r.TakeOver || r.TakeOverBlameless
	}), []string{"deferred/blame", "begin/ends-the-promise", "begin/late"}},
	{"a promise makes up for a lapse", asks(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Reservation) {
		r.TakeOver = r.TakeOver || r.TakeOverBlameless && before.Deferred
	}), []string{"deferred/blame"}},
	{"the attempt that was blameless may still settle", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if m.look(ctx, key).Deferred {
				return nil
			}
			return m.Store.Release(ctx, key, token)
		}
	}, []string{"deferred/stale"}},
	{"a promise outlives its reservation", func(m *mutant) {
		promised := make(map[semel.Key]bool)
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			promised[r.Key] = promised[r.Key] || held.Deferred
			return held, err
		}
		m.list = func(ctx context.Context, f semel.Filter) []semel.Record {
			records := m.all(ctx, f)
			for i, rec := range records {
				records[i].Deferred = promised[rec.Key]
			}
			return records
		}
	}, []string{"deferred/settled"}},
	{"Purge deletes blameless reservations", purges(func(ctx context.Context, m *mutant, limit int) (int, error) {
		for _, rec := range m.all(ctx, semel.Filter{Lapsed: true}) {
			if rec.Blameless() {
				_ = m.Store.Resolve(ctx, semel.Resolution{Key: rec.Key, Fence: rec.Fence})
			}
		}
		return m.Store.Purge(ctx, limit)
	}), []string{"deferred/retention"}},
	{"a renewal ends a promise", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		for _, h := range holders {
			_ = m.Store.BeginEffects(ctx, h.Key, h.Token)
		}
		return m.Store.Renew(ctx, lease, holders)
	}), []string{"deferred/renew"}},
}

// begins makes a mutant whose BeginEffects is wrong.
func begins(begin func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error) func(*mutant) {
	return func(m *mutant) {
		m.begin = func(ctx context.Context, key semel.Key, token semel.Token) error {
			before := m.look(ctx, key)
			before.Key = key // also when it is absent
			return begin(ctx, m, before, token)
		}
	}
}

var beginSeeds = []seed{
	{"BeginEffects does nothing", begins(func(_ context.Context, _ *mutant, before semel.Record, token semel.Token) error {
		if before.State != semel.StateReserved || before.Token != token {
			return semel.ErrLost
		}
		return nil
	}), []string{"begin/ends-the-promise", "begin/repeat", "begin/late"}},
	{"BeginEffects does not check the token", begins(func(ctx context.Context, m *mutant, before semel.Record, _ semel.Token) error {
		return m.Store.BeginEffects(ctx, before.Key, before.Token)
	}), []string{"begin/lost", "foreign/running", "values/token", "deferred/stale"}},
	{"BeginEffects never fails", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		_ = m.Store.BeginEffects(ctx, before.Key, token)
		return nil
	}), []string{"begin/lost", "foreign/absent", "deferred/stale", "lapse/stale", "resolve/late-owner"}},
	{"a completed attempt may begin", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		if before.State == semel.StateCompleted && before.Token == token {
			return nil
		}
		return m.Store.BeginEffects(ctx, before.Key, token)
	}), []string{"begin/lost"}},
	{"BeginEffects makes a record", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		if before.Fence == 0 {
			_, _ = m.Store.Reserve(ctx, semel.Reservation{Key: before.Key, Token: semel.NewToken(), Lease: long, Retention: long})
		}
		return m.Store.BeginEffects(ctx, before.Key, token)
	}), []string{"begin/lost", "foreign/absent"}},
	{"beginning twice is ErrLost", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		if !before.Deferred {
			return semel.ErrLost
		}
		return m.Store.BeginEffects(ctx, before.Key, token)
	}), []string{"begin/repeat"}},
	{"an attempt that lapsed cannot begin", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		if before.Lapsed {
			return semel.ErrLost
		}
		return m.Store.BeginEffects(ctx, before.Key, token)
	}), []string{"begin/late"}},
	{"BeginEffects renews the lease", begins(func(ctx context.Context, m *mutant, before semel.Record, token semel.Token) error {
		_, _ = m.Store.Renew(ctx, long, []semel.Holder{{Key: before.Key, Token: token}})
		return m.Store.BeginEffects(ctx, before.Key, token)
	}), []string{"begin/late", "begin/ends-the-promise"}},
	{"BeginEffects looks, then acts", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			time.Sleep(time.Nanosecond) // the other looks
			return m.Store.Reserve(ctx, r)
		}
		m.begin = func(ctx context.Context, key semel.Key, token semel.Token) error {
			before := m.look(ctx, key)
			time.Sleep(2 * time.Nanosecond) // the other takes over
			if err := m.Store.BeginEffects(ctx, key, token); before.Token != token {
				return err
			}
			return nil
		}
	}, []string{"begin/race"}},
}
