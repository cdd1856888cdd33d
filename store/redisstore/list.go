package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

const (
	scanCount = 1000 // keys that one SCAN looks at
	listPage  = 100  // records that are loaded at a time
)

// found is where a record was, and when it was made, in microseconds.
type found struct {
	slot    semel.Slot
	created int64
}

// List implements [semel.Lister]. A list by scope and id looks at one key. Any other,
// and so each page of it, looks through every key of every master
// first, remembering 40 bytes a chosen record, or no more than the limit needs,
// and loads the records while it yields. It ends when ctx does. A damaged
// response ends it only with [semel.Filter.Bodies].
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		all, err := s.index(ctx, &f)
		f.MinAge, f.MaxAge = 0, 0 // they were right when it was found
		for page := range slices.Chunk(all, listPage) {
			var records []semel.Record
			if err == nil {
				records, err = s.peek(ctx, page, &f)
			}
			if f.Scope == "" || f.ID == "" { // one key has no place in a list, and there is always a record of it
				records = asFound(records, page)
			}
			for _, rec := range records {
				if !yield(rec, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(semel.Record{}, explain("list", semel.Slot{}, err))
		}
	}
}

// asFound leaves out the records of a page that were reserved since it was found:
// they stand elsewhere in the list.
func asFound(records []semel.Record, page []found) []semel.Record {
	at := make(map[found]bool, len(page))
	for _, w := range page {
		at[w] = true
	}
	return slices.DeleteFunc(records, func(rec semel.Record) bool { return !at[placeOf(rec.Place())] })
}

// index finds the slots that f chooses, the youngest first.
func (s *Store) index(ctx context.Context, f *semel.Filter) ([]found, error) {
	if len(f.Slot) > 2*len(semel.Slot{}) || strings.Trim(strings.ToLower(f.Slot), "0123456789abcdef") != "" {
		return nil, errors.New("the filter's slot is not a prefix of 64 hexadecimal digits")
	}
	head := *f
	head.Bodies = false
	if f.Scope != "" && f.ID != "" { // one key has one slot
		return s.choose(ctx, nil, []found{{slot: semel.Key{Scope: f.Scope, ID: f.ID}.Slot()}}, &head)
	}
	masters, err := within(ctx, s, func(ctx context.Context) ([]*redis.Client, error) { return mastersOf(ctx, s.client) })
	if err != nil {
		return nil, err
	}
	var all []found
	for _, m := range masters {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var page []found
			if page, cursor, err = s.scan(ctx, m, cursor, f.Slot); err != nil {
				return nil, err
			}
			if all, err = s.choose(ctx, all, page, &head); err != nil {
				return nil, err
			}
		}
	}
	return youngest(all, f.Limit), nil
}

// scan reads one page of slots of one master.
func (s *Store) scan(ctx context.Context, m *redis.Client, cursor uint64, prefix string) ([]found, uint64, error) {
	match := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "^", `\^`).Replace(s.prefix) +
		"{" + strings.ToLower(prefix) + "*}"
	type answer struct {
		keys []string
		next uint64
	}
	a, err := within(ctx, s, func(ctx context.Context) (a answer, err error) {
		a.keys, a.next, err = m.Scan(ctx, cursor, match, scanCount).Result()
		return a, err
	})
	if err != nil {
		return nil, 0, err
	}
	page := make([]found, 0, len(a.keys))
	for _, key := range a.keys {
		var w found
		digits := strings.TrimSuffix(strings.TrimPrefix(key, s.prefix+"{"), "}")
		if len(digits) != 2*len(w.slot) {
			continue // somebody else's
		}
		if _, err := hex.Decode(w.slot[:], []byte(digits)); err == nil && key == s.keyOf(w.slot) {
			page = append(page, w)
		}
	}
	return page, a.next, nil
}

// choose appends to all what f chooses of a page.
func (s *Store) choose(ctx context.Context, all, page []found, f *semel.Filter) ([]found, error) {
	records, err := s.peek(ctx, page, f)
	for _, rec := range records {
		all = append(all, found{rec.Key.Slot(), rec.CreatedAt.UnixMicro()})
	}
	if f.Limit > 0 && len(all) > 2*f.Limit+scanCount { // memory stays bounded by the limit
		all = youngest(all, f.Limit)
	}
	return all, err
}

// youngest sorts slots by age, drops those that a SCAN returned twice and cuts
// the rest to the limit, if there is one.
func youngest(all []found, limit int) []found {
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(slices.Compare(a.slot[:], b.slot[:]), cmp.Compare(b.created, a.created))
	})
	all = slices.CompactFunc(all, func(a, b found) bool { return a.slot == b.slot })
	slices.SortFunc(all, func(a, b found) int { return behind(b, a) })
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all
}

// behind is less than zero when a is listed behind b.
func behind(a, b found) int {
	return cmp.Or(cmp.Compare(a.created, b.created), bytes.Compare(a.slot[:], b.slot[:]))
}

// placeOf is where a list goes on.
func placeOf(p semel.Place) found { return found{p.Slot, p.CreatedAt.UnixMicro()} }

// peek loads the records of a page that f chooses, in the order of the page.
func (s *Store) peek(ctx context.Context, page []found, f *semel.Filter) ([]semel.Record, error) {
	return within(ctx, s, func(ctx context.Context) (records []semel.Record, err error) {
		steps := make([]*step, len(page))
		for i, w := range page {
			steps[i] = &step{script: peekScript, key: s.keyOf(w.slot), args: []any{
				micros(f.Margin), flag(f.Bodies), micros(f.MinAge), micros(f.MaxAge),
			}}
		}
		s.router.doAll(context.WithoutCancel(ctx), steps)
		for i, p := range steps {
			if errors.Is(p.err, redis.Nil) {
				continue
			}
			reply, err := p.cmd.Text()
			if err = cmp.Or(p.err, err); err != nil {
				return records, fmt.Errorf("slot %s: %w", page[i].slot, err)
			}
			rec, err := decode(page[i].slot, reply, f.Bodies)
			if err != nil {
				return records, err
			}
			if chosen(&rec, f) {
				records = append(records, rec)
			}
		}
		return records, nil
	})
}

// chosen reports whether f wants the record.
func chosen(rec *semel.Record, f *semel.Filter) bool {
	return (f.Scope == "" || f.Scope == rec.Key.Scope) &&
		(f.ID == "" || f.ID == rec.Key.ID) &&
		(len(f.States) == 0 || slices.Contains(f.States, rec.State)) &&
		(f.Route == "" || f.Route == rec.Route) &&
		(!f.Lapsed || rec.Lapsed) &&
		(f.After.IsZero() || behind(placeOf(rec.Place()), placeOf(f.After)) < 0) &&
		(f.Slot == "" || strings.HasPrefix(rec.Key.Slot().String(), strings.ToLower(f.Slot)))
}
