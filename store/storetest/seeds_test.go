package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

func seeds() []seed {
	var all []seed
	for _, some := range [][]seed{
		reserveSeeds, settleSeeds, foreignSeeds, lapseSeeds, deferredSeeds, beginSeeds, retentionSeeds, renewSeeds,
		purgeSeeds, raceSeeds, valueSeeds, keySeeds, listSeeds, resolveSeeds, resealSeeds, auditSeeds, messageSeeds,
	} {
		all = append(all, some...)
	}
	return all
}

// answers changes what Reserve answers, and nothing else.
func answers(change func(asked semel.Reservation, before semel.Record, held *semel.Record)) func(*mutant) {
	return func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			before := m.look(ctx, r.Key)
			held, err := m.Store.Reserve(ctx, r)
			change(r, before, &held)
			return held, err
		}
	}
}

// asks changes what Reserve is asked for.
func asks(change func(ctx context.Context, m *mutant, before semel.Record, r *semel.Reservation)) func(*mutant) {
	return func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			change(ctx, m, m.look(ctx, r.Key), &r)
			return m.Store.Reserve(ctx, r)
		}
	}
}

// completes changes what Complete is asked for.
func completes(change func(ctx context.Context, m *mutant, before semel.Record, c *semel.Completion)) func(*mutant) {
	return func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			change(ctx, m, m.look(ctx, c.Key), &c)
			return m.Store.Complete(ctx, c)
		}
	}
}

// end makes a reservation lapse, whatever its lease.
func (m *mutant) end(ctx context.Context, rec semel.Record) {
	_, _ = m.Store.Renew(ctx, 0, []semel.Holder{{Key: rec.Key, Token: rec.Token}})
}

var errStore = errors.New("the store failed")

var reserveSeeds = []seed{
	{"the first attempt has the number 0", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Attempts--
	}), []string{"reserve/first"}},
	{"the lease is taken for the retention", asks(func(_ context.Context, _ *mutant, _ semel.Record, r *semel.Reservation) {
		r.Retention = r.Lease
	}), []string{"reserve/first"}},
	{"a repeated Reserve is a new attempt", func(m *mutant) {
		var mu sync.Mutex
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			mu.Lock()
			defer mu.Unlock()
			if m.look(ctx, r.Key).Token == r.Token {
				_ = m.Store.Release(ctx, r.Key, r.Token)
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"reserve/repeat", "race/same-token", "steps/canceled"}},
	{"a repeated Reserve is told of another holder", answers(func(r semel.Reservation, before semel.Record, held *semel.Record) {
		if before.Token == r.Token {
			held.Token = semel.NewToken()
		}
	}), []string{"reserve/repeat"}},
	{"a repeated Reserve changes the owner", answers(func(r semel.Reservation, _ semel.Record, held *semel.Record) {
		if held.Token == r.Token {
			held.Owner = r.Owner
		}
	}), []string{"reserve/repeat"}},
	{"a running attempt is taken over", asks(func(ctx context.Context, m *mutant, before semel.Record, r *semel.Reservation) {
		if r.TakeOver && before.State == semel.StateReserved && before.Token != r.Token {
			m.end(ctx, before)
		}
	}), []string{"reserve/running", "renew/extends"}},
	{"everybody is told that the slot is theirs", answers(func(r semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Token = r.Token
	}), []string{"reserve/running", "race/absent", "race/hot"}},
	{"the fingerprint that is in the way is not told", answers(func(r semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Fingerprint = r.Fingerprint
	}), []string{"reserve/conflict", "values/fingerprint"}},
	{"a conflict is an error", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			if err == nil && held.Fingerprint != r.Fingerprint {
				err = semel.ErrConflict
			}
			return held, err
		}
	}, []string{"reserve/conflict"}},
	{"a replay lacks its header", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		held.Response.Header = nil
	}), []string{"reserve/replay", "complete/own"}},
	{"a taker runs again what is completed", asks(func(_ context.Context, m *mutant, before semel.Record, r *semel.Reservation) {
		if r.TakeOver && before.State == semel.StateCompleted {
			m.forget()
		}
	}), []string{"reserve/replay", "lapse/late-complete"}},
	{"a released slot is kept for the same request", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			if before := m.look(ctx, r.Key); before.State == semel.StateFree && before.Fence > 0 && before.Fingerprint != r.Fingerprint {
				return before, nil
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"reserve/after-release", "race/released"}},
	{"an expired response is replayed", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			if before := m.look(ctx, r.Key); before.State == semel.StateCompleted && over(before) {
				return before, nil
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"reserve/after-retention", "race/expired", "retention/not-extended"}},
	{"an expired response is in the way of another request", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			if before := m.look(ctx, r.Key); before.State == semel.StateCompleted && before.Fingerprint != r.Fingerprint {
				return before, nil
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"reserve/after-retention"}},
	{"attempts are counted on after an expiry", answers(func(r semel.Reservation, before semel.Record, held *semel.Record) {
		if over(before) {
			held.Attempts = before.Attempts + 1
		}
	}), []string{"reserve/after-retention", "reserve/after-free-retention"}},
	{"a reservation expires with its retention", asks(func(_ context.Context, m *mutant, before semel.Record, _ *semel.Reservation) {
		if before.State == semel.StateReserved && !before.ExpiresAt.After(time.Now()) {
			m.forget()
		}
	}), []string{"reserve/retention-over-while-held"}},
}

var settleSeeds = []seed{
	{"a completion counts as an attempt", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		if held.State == semel.StateCompleted {
			held.Attempts++
		}
	}), []string{"complete/own"}},
	{"a completion forgets its token", answers(func(_ semel.Reservation, _ semel.Record, held *semel.Record) {
		if held.State == semel.StateCompleted {
			held.Token = semel.Token{}
		}
	}), []string{"complete/own"}},
	{"a second completion replaces the first", func(m *mutant) {
		latest := make(map[semel.Token]semel.Response)
		m.complete = func(ctx context.Context, c semel.Completion) error {
			err := m.Store.Complete(ctx, c)
			if err == nil {
				latest[c.Token] = c.Response
			}
			return err
		}
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			held, err := m.Store.Reserve(ctx, r)
			if held.State == semel.StateCompleted {
				held.Response = latest[held.Token]
			}
			return held, err
		}
	}, []string{"complete/repeat"}},
	{"a second completion is refused", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if m.look(ctx, c.Key).State == semel.StateCompleted {
				return semel.ErrLost
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"complete/repeat"}},
	{"Complete does not check the token", completes(func(_ context.Context, _ *mutant, before semel.Record, c *semel.Completion) {
		c.Token = before.Token
	}), []string{"complete/by-another", "foreign/running", "foreign/completed", "lapse/stale", "values/token"}},
	{"Complete checks the token by its first 15 bytes", completes(func(_ context.Context, _ *mutant, before semel.Record, c *semel.Completion) {
		if [15]byte(c.Token[:15]) == [15]byte(before.Token[:15]) {
			c.Token = before.Token
		}
	}), []string{"values/token"}},
	{"a slot completed by another is success", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if m.look(ctx, c.Key).State == semel.StateCompleted {
				return nil
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"complete/by-another", "foreign/completed", "lapse/stale"}},
	{"a free slot can be completed", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if before := m.look(ctx, c.Key); before.State == semel.StateFree && before.Fence > 0 {
				_, _ = m.Store.Reserve(ctx, semel.Reservation{Key: c.Key, Token: c.Token, Lease: long, Retention: long})
			}
			return m.Store.Complete(ctx, c)
		}
	}, []string{"complete/after-release", "foreign/free"}},
	{"Release does not check the token", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, _ semel.Token) error {
			return m.Store.Release(ctx, key, m.look(ctx, key).Token)
		}
	}, []string{"release/repeat", "foreign/running", "lapse/stale", "values/token"}},
	{"a repeated Release fails", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if m.Store.Release(ctx, key, token) != nil {
				return errStore
			}
			return nil
		}
	}, []string{"release/repeat", "foreign/absent"}},
	{"a completed slot is released by its token", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if before := m.look(ctx, key); before.State == semel.StateCompleted && before.Token == token {
				m.forget()
				return nil
			}
			return m.Store.Release(ctx, key, token)
		}
	}, []string{"release/completed"}},
	{"Release deletes the record", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			err := m.Store.Release(ctx, key, token)
			if err == nil {
				m.forget()
			}
			return err
		}
	}, []string{"release/tombstone", "reserve/after-release"}},
	{"a canceled Reserve reserves for nobody", func(m *mutant) {
		m.reserve = func(ctx context.Context, r semel.Reservation) (semel.Record, error) {
			if ctx.Err() != nil {
				r.Token = semel.NewToken()
				_, _ = m.Store.Reserve(ctx, r)
				return semel.Record{}, ctx.Err()
			}
			return m.Store.Reserve(ctx, r)
		}
	}, []string{"steps/canceled"}},
	{"a canceled Complete keeps half a response", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if ctx.Err() == nil {
				return m.Store.Complete(ctx, c)
			}
			c.Response.Body = nil
			_ = m.Store.Complete(ctx, c)
			return ctx.Err()
		}
	}, []string{"steps/canceled"}},
	{"a canceled Release is success without effect", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if ctx.Err() != nil {
				return nil
			}
			return m.Store.Release(ctx, key, token)
		}
	}, []string{"steps/canceled"}},
}

var foreignSeeds = []seed{
	{"Complete makes a record", func(m *mutant) {
		m.complete = func(ctx context.Context, c semel.Completion) error {
			if m.look(ctx, c.Key).Fence > 0 {
				return m.Store.Complete(ctx, c)
			}
			_, _ = m.Store.Reserve(ctx, semel.Reservation{Key: c.Key, Token: semel.NewToken(), Lease: long, Retention: long})
			return semel.ErrLost
		}
	}, []string{"foreign/absent"}},
	{"Release of a free slot deletes it", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			if m.look(ctx, key).State == semel.StateFree {
				m.forget()
				return semel.ErrLost
			}
			return m.Store.Release(ctx, key, token)
		}
	}, []string{"foreign/free"}},
	{"the slot is found by the token alone", completes(func(ctx context.Context, m *mutant, _ semel.Record, c *semel.Completion) {
		for _, rec := range m.all(ctx, semel.Filter{}) {
			if rec.Token == c.Token {
				c.Key = rec.Key
			}
		}
	}), []string{"foreign/other-slot"}},
	{"a refused step is no error", func(m *mutant) {
		m.release = func(ctx context.Context, key semel.Key, token semel.Token) error {
			_ = m.Store.Release(ctx, key, token)
			return nil
		}
	}, []string{"foreign/absent", "foreign/free", "foreign/running", "foreign/completed", "foreign/other-slot"}},
	{"the list shows reservations without their token", func(m *mutant) {
		m.list = func(ctx context.Context, f semel.Filter) []semel.Record {
			all := m.all(ctx, f)
			for i := range all {
				all[i].Token = semel.Token{}
			}
			return all
		}
	}, []string{"reserve/first"}}, // by the look at the records after it
	{"a slot has two records", func(m *mutant) {
		m.list = func(ctx context.Context, f semel.Filter) []semel.Record {
			return append(m.all(ctx, f), m.all(ctx, f)...)
		}
	}, []string{"reserve/first"}},
}

var keySeeds = []seed{
	{"scopes are ignored", reads(func(k semel.Key) semel.Key { return semel.Key{Scope: "s", ID: k.ID} }), []string{"keys/scope", "keys/length"}},
	{"scope and id are joined", reads(joined("")), []string{"keys/boundary"}},
	{"scope and id are joined by a colon", reads(joined(":")), []string{"keys/boundary"}},
	{"scope and id are joined by a zero byte", reads(joined("\x00")), []string{"keys/boundary"}},
	{"keys are folded", reads(each(strings.ToLower)), []string{"keys/bytes"}},
	{"keys are trimmed", reads(each(strings.TrimSpace)), []string{"keys/bytes"}},
	{"keys are padded", reads(each(func(s string) string { return strings.TrimRight(s, " ") })), []string{"keys/bytes"}},
	{"keys end at a zero byte", reads(each(func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s })), []string{"keys/bytes"}},
	{"keys are made valid UTF-8", reads(each(func(s string) string { return strings.ToValidUTF8(s, "\ufffd") })), []string{"keys/bytes"}},
	{"keys are cut at 254 bytes", reads(each(func(s string) string { return s[:min(len(s), 254)] })), []string{"keys/length"}},
	{"long keys are found by their end", reads(each(func(s string) string { return s[max(0, len(s)-254):] })), []string{"keys/length"}},
}

func reads(key func(semel.Key) semel.Key) func(*mutant) { return func(m *mutant) { m.key = key } }

func joined(by string) func(semel.Key) semel.Key {
	return func(k semel.Key) semel.Key { return semel.Key{Scope: "s", ID: k.Scope + by + k.ID} }
}

func each(f func(string) string) func(semel.Key) semel.Key {
	return func(k semel.Key) semel.Key { return semel.Key{Scope: f(k.Scope), ID: f(k.ID)} }
}
