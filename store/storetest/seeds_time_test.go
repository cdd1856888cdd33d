package storetest

import (
	"context"
	"math"
	"time"

	"github.com/semel-go/semel"
)

var lapseSeeds = []seed{
	{"a lapsed reservation is anybody's", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.TakeOver = true
	}), []string{"lapse/hold"}},
	{"a lapse is not told", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Lapsed = false
	}), []string{"lapse/hold", "lapse/repeat-when-lapsed", "renew/zero"}},
	{"nobody takes over", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.TakeOver = false
	}), []string{"lapse/take-over", "race/lapsed"}},
	{"a take-over counts no lapse", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Lapses = 0
	}), []string{"lapse/take-over", "lapse/count"}},
	{"a take-over keeps the fence", answers(func(_ semel.Reservation, before semel.Record, held *semel.Record) {
		if before.State == semel.StateReserved {
			held.Fence = before.Fence
		}
	}), []string{"lapse/take-over"}},
	{"a take-over keeps the old lease", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			if held.Lapses > 0 && held.Token == r.Token {
				m.end(ctx, held)
				held.Lapsed = true
			}
			return held, err
		}
	}, []string{"lapse/take-over"}},
	{"a take-over ignores the fingerprint", asks(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Reservation) {
		if r.TakeOver && before.State == semel.StateReserved {
			r.Fingerprint = before.Fingerprint
		}
	}), []string{"lapse/take-over-conflict", "values/fingerprint"}},
	{"the margin is ignored", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Margin = 0
	}), []string{"lapse/margin"}},
	{"the margin counts twice", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Margin *= 3
	}), []string{"lapse/margin"}},
	{"lapses are forgotten on a repeat", answers(func(r semel.Reservation, before semel.Record, held *semel.Record) {
		if before.Token == r.Token {
			held.Lapses = 0
		}
	}), []string{"lapse/repeat"}},
	{"an attempt takes itself over", asks(func(ctx context.Context, m *mutant, before semel.Record, r *semel.Reservation) {
		if other := *r; r.TakeOver && before.Token == r.Token {
			other.Token = semel.NewToken()
			_, _ = m.Store.Reserve(ctx, other)
		}
	}), []string{"lapse/repeat-when-lapsed"}},
	{"lapses survive a release", func(m *mutant) {
		lapses := 0
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			lapses = m.look(ctx, key).Lapses
			return m.Store.Release(ctx, key, token)
		}
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			held.Lapses += lapses
			return held, err
		}
	}, []string{"lapse/count"}},
	{"a late completion is refused", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if m.look(ctx, c.Key).Lapsed {
				return semel.ErrLost
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"lapse/late-complete"}},
	{"a late release is refused", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if m.look(ctx, key).Lapsed {
				return semel.ErrLost
			}
			return m.Store.Release(ctx, key, token)
		}
	}, []string{"lapse/late-release"}},
	{"a take-over leaves the old token valid", func(m *mutant) {
		next := make(map[semel.Token]semel.Token)
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			before := m.look(ctx, r.Key)
			held, err := m.Store.Reserve(ctx, r)
			if before.State == semel.StateReserved && held.Token != before.Token {
				next[before.Token] = held.Token
			}
			return held, err
		}
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if token, ok := next[c.Token]; ok {
				c.Token = token
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"lapse/stale"}},
}

var retentionSeeds = []seed{
	{"a completion shortens the retention", func(m *mutant) {
		var ends time.Time
		m.complete = func(ctx context.Context, c semel.Completion) error {
			ends = time.Now().Add(c.Retention)
			return m.Store.Complete(ctx, c)
		}
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			if !ends.IsZero() && !ends.After(time.Now()) {
				m.forget()
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"retention/not-shortened"}},
	{"a completion in time restarts the retention", completes(func(ctx context.Context, m *mutant, before semel.Record, _ *semel.Completion) {
		m.end(ctx, before)
	}), []string{"retention/not-extended"}},
	{"a late completion does not restart the retention", completes(func(_ context.Context, _ *mutant, _ semel.Record, c *semel.Completion) {
		c.Retention = 0
	}), []string{"retention/restarted", "retention/restarted-after-all", "renew/zero-complete", "purge/current-retention"}},
	{"a take-over keeps the old retention", asks(func(_ context.Context, _ *mutant, before semel.Record, r *semel.Reservation) {
		if before.Lapsed && r.TakeOver {
			r.Retention = max(0, time.Until(before.ExpiresAt))
		}
	}), []string{"retention/take-over"}},
	{"a term of many years is over at once", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		if r.Retention > math.MaxInt32*time.Millisecond {
			r.Retention = 0
		}
	}), []string{"retention/unlimited"}},
}

// renews makes a mutant whose Renew is wrong.
func renews(renew func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error)) func(*mutant) {
	return func(m *mutant) {
		m.renew = func(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
			return renew(ctx, m, lease, holders)
		}
	}
}

var renewSeeds = []seed{
	{"Renew does nothing", renews(func(context.Context, *mutant, time.Duration, []semel.Holder) ([]semel.Token, error) {
		return nil, nil
	}), []string{"renew/extends", "renew/revives", "renew/zero", "renew/mixed", "renew/thousand"}},
	{"Renew makes leases longer only", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		return m.Store.Renew(ctx, max(lease, long), holders)
	}), []string{"renew/extends", "renew/zero"}},
	{"Renew ignores the tokens", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		for _, h := range holders {
			h.Token = m.look(ctx, h.Key).Token
			_, _ = m.Store.Renew(ctx, lease, []semel.Holder{h})
		}
		return nil, nil
	}), []string{"renew/mixed", "foreign/running", "foreign/other-slot", "lapse/stale"}},
	{"Renew finds every slot of the key", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		_, _ = m.Store.Renew(ctx, lease, holders)
		for _, h := range holders {
			if m.look(ctx, h.Key).Fence == 0 {
				lost = append(lost, h.Token)
			}
		}
		return lost, nil
	}), []string{"foreign/free", "foreign/completed", "renew/mixed"}},
	{"a lapsed lease is not renewed", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		for _, h := range holders {
			some, _ := m.Store.Renew(ctx, lease, []semel.Holder{h})
			if m.look(ctx, h.Key).Lapsed {
				some = []semel.Token{h.Token}
			}
			lost = append(lost, some...)
		}
		return lost, nil
	}), []string{"renew/zero"}},
	{"lapsed attempts are lost", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		for _, h := range holders {
			some := []semel.Token{h.Token}
			if !m.look(ctx, h.Key).Lapsed {
				some, _ = m.Store.Renew(ctx, lease, []semel.Holder{h})
			}
			lost = append(lost, some...)
		}
		return lost, nil
	}), []string{"renew/revives", "renew/mixed"}},
	{"a lease of zero waits for the margin", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		return m.Store.Renew(ctx, max(lease, 1), holders)
	}), []string{"renew/zero"}},
	{"a lease of zero frees the slot", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		if lease > 0 {
			return m.Store.Renew(ctx, lease, holders)
		}
		for _, h := range holders {
			if m.Store.Release(ctx, h.Key, h.Token) != nil {
				lost = append(lost, h.Token)
			}
		}
		return lost, nil
	}), []string{"renew/zero", "renew/zero-complete"}},
	{"a batch stops at the first that is lost", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		for _, h := range holders {
			if lost, _ = m.Store.Renew(ctx, lease, []semel.Holder{h}); lost != nil {
				break
			}
		}
		return lost, nil
	}), []string{"renew/mixed", "renew/thousand"}},
	{"a batch is renewed whole or not at all", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
		if lost, _ = m.Store.Renew(ctx, lease, holders); lost == nil {
			return nil, nil
		}
		for _, h := range holders {
			lost = append(lost, h.Token)
		}
		return lost, nil
	}), []string{"renew/mixed", "renew/thousand"}},
	{"an empty batch fails", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		if len(holders) == 0 {
			return nil, errStore
		}
		return m.Store.Renew(ctx, lease, holders)
	}), []string{"renew/empty"}},
	{"a batch is cut at 500", renews(func(ctx context.Context, m *mutant, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
		return m.Store.Renew(ctx, lease, holders[:min(len(holders), 500)])
	}), []string{"renew/thousand"}},
}

// purges makes a mutant whose Purge is wrong.
func purges(purge func(ctx context.Context, m *mutant, limit int) (int, error)) func(*mutant) {
	return func(m *mutant) {
		m.purge = func(ctx context.Context, limit int) (int, error) { return purge(ctx, m, limit) }
	}
}

var purgeSeeds = []seed{
	{"Purge does nothing", purges(func(context.Context, *mutant, int) (int, error) {
		return 0, nil
	}), []string{"purge/removes", "purge/limit", "purge/current-retention"}},
	{"Purge counts what it does not delete", func(m *mutant) {
		calls := 0
		m.purge = func(ctx context.Context, limit int) (int, error) {
			if calls++; calls > 1 {
				return 0, nil
			}
			return min(limit, len(m.all(ctx, semel.Filter{}))), nil
		}
	}, []string{"purge/removes"}},
	{"Purge ignores its limit", purges(func(ctx context.Context, m *mutant, _ int) (int, error) {
		return m.Store.Purge(ctx, math.MaxInt)
	}), []string{"purge/limit"}},
	{"Purge says that it is done when it is not", func(m *mutant) {
		calls := 0
		m.purge = func(ctx context.Context, limit int) (int, error) {
			if calls++; calls%2 == 0 {
				return 0, nil
			}
			return m.Store.Purge(ctx, limit)
		}
	}, []string{"purge/limit"}},
	{"Purge deletes lapsed reservations", purges(func(ctx context.Context, m *mutant, limit int) (int, error) {
		for _, rec := range m.all(ctx, semel.Filter{Lapsed: true}) {
			_ = m.Store.Resolve(ctx, semel.Resolution{Key: rec.Key, Fence: rec.Fence})
		}
		return m.Store.Purge(ctx, limit)
	}), []string{"purge/spares-reservations"}},
	{"Purge deletes running reservations whose retention is over", purges(func(ctx context.Context, m *mutant, limit int) (int, error) {
		for _, rec := range m.all(ctx, semel.Filter{States: []semel.State{semel.StateReserved}}) {
			if !rec.Lapsed && !rec.ExpiresAt.After(time.Now()) {
				m.end(ctx, rec)
				_ = m.Store.Resolve(ctx, semel.Resolution{Key: rec.Key, Fence: rec.Fence})
			}
		}
		return m.Store.Purge(ctx, limit)
	}), []string{"purge/spares-reservations"}},
	{"Purge deletes what is still kept", purges(func(_ context.Context, m *mutant, _ int) (int, error) {
		m.forget()
		return 0, nil
	}), []string{"purge/spares-kept"}},
	{"Purge deletes free records at once", purges(func(ctx context.Context, m *mutant, _ int) (int, error) {
		n := len(m.all(ctx, semel.Filter{States: []semel.State{semel.StateFree}}))
		if n > 0 {
			m.forget()
		}
		return n, nil
	}), []string{"purge/spares-kept"}},
	{"Purge goes by the retention of the first attempt", purges(func(ctx context.Context, m *mutant, limit int) (int, error) {
		for _, rec := range m.all(ctx, semel.Filter{}) {
			if rec.Attempts > 1 {
				return 0, nil
			}
		}
		return m.Store.Purge(ctx, limit)
	}), []string{"purge/current-retention"}},
}
