package storetest

import (
	"context"
	"iter"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// mutant is a right store with one wrong step: a hook that is set replaces it.
type mutant struct {
	*memstore.Store
	life     context.Context           //nolint:containedctx // ends with the case
	key      func(semel.Key) semel.Key // how it reads every key
	reserve  func(context.Context, semel.Reservation) (semel.Record, error)
	complete func(context.Context, semel.Completion) error
	release  func(context.Context, semel.Key, semel.Token) error
	begin    func(context.Context, semel.Key, semel.Token) error
	renew    func(context.Context, time.Duration, []semel.Holder) ([]semel.Token, error)
	purge    func(context.Context, int) (int, error)
	list     func(context.Context, semel.Filter) []semel.Record
	sift     func(context.Context, semel.Filter, int) ([]semel.Record, semel.Place)
	resolve  func(context.Context, semel.Resolution) error
	reseal   func(context.Context, semel.Holder, []byte, []byte) error
	audit    func(context.Context, semel.AuditEntry) (semel.AuditEntry, error)
	trail    func(context.Context, semel.AuditFilter) []semel.AuditEntry
	send     func(context.Context, string) error
	listen   func(ctx context.Context, ready func(), heard func(string)) error
	grade    semel.Grade
}

func (m *mutant) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	switch {
	case m.reserve != nil:
		return m.reserve(ctx, r)
	case m.key != nil:
		asked := r.Key
		r.Key = m.key(r.Key)
		held, err := m.Store.Reserve(ctx, r)
		held.Key = asked
		return held, err
	}
	return m.Store.Reserve(ctx, r)
}

func (m *mutant) Complete(ctx context.Context, c semel.Completion) error {
	switch {
	case m.complete != nil:
		return m.complete(ctx, c)
	case m.key != nil:
		c.Key = m.key(c.Key)
	}
	return m.Store.Complete(ctx, c)
}

func (m *mutant) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	switch {
	case m.release != nil:
		return m.release(ctx, key, token)
	case m.key != nil:
		key = m.key(key)
	}
	return m.Store.Release(ctx, key, token)
}

func (m *mutant) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	if m.begin != nil {
		return m.begin(ctx, key, token)
	}
	if m.key != nil {
		key = m.key(key)
	}
	return m.Store.BeginEffects(ctx, key, token)
}

func (m *mutant) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	if m.renew != nil {
		return m.renew(ctx, lease, holders)
	}
	return m.Store.Renew(ctx, lease, holders)
}

func (m *mutant) Purge(ctx context.Context, limit int) (int, error) {
	if m.purge != nil {
		return m.purge(ctx, limit)
	}
	return m.Store.Purge(ctx, limit)
}

func (m *mutant) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	if m.list == nil {
		return m.Store.List(ctx, f)
	}
	return func(yield func(semel.Record, error) bool) {
		for _, rec := range m.list(ctx, f) {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (m *mutant) Sift(ctx context.Context, f semel.Filter, most int) ([]semel.Record, semel.Place, error) {
	sift := m.sifted
	if m.sift != nil {
		sift = m.sift
	}
	found, next := sift(ctx, f, most)
	return found, next, nil
}

// sifted is a right Sift of a store whose list passes over nothing.
func (m *mutant) sifted(ctx context.Context, f semel.Filter, most int) (found []semel.Record, next semel.Place) {
	if f.Limit == 0 || f.Limit > most {
		f.Limit = most
	}
	if found = m.all(ctx, f); len(found) == f.Limit {
		next = found[f.Limit-1].Place()
	}
	return found, next
}

func (m *mutant) Resolve(ctx context.Context, r semel.Resolution) error {
	if m.resolve != nil {
		return m.resolve(ctx, r)
	}
	return m.Store.Resolve(ctx, r)
}

func (m *mutant) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	if m.reseal != nil {
		return m.reseal(ctx, holder, header, body)
	}
	return m.Store.Reseal(ctx, holder, header, body)
}

func (m *mutant) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if m.audit != nil {
		return m.audit(ctx, e)
	}
	return m.Store.Audit(ctx, e)
}

func (m *mutant) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	if m.trail == nil {
		return m.Store.Trail(ctx, f)
	}
	return func(yield func(semel.AuditEntry, error) bool) {
		for _, e := range m.trail(ctx, f) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *mutant) Grade() semel.Grade {
	if m.grade != (semel.Grade{}) {
		return m.grade
	}
	return m.Store.Grade()
}

// look reads a slot without touching it; an absent one is the zero Record.
func (m *mutant) look(ctx context.Context, key semel.Key) (found semel.Record) {
	for _, rec := range m.all(ctx, semel.Filter{Scope: key.Scope, ID: key.ID, Bodies: true}) {
		found = rec
	}
	return found
}

func (m *mutant) all(ctx context.Context, f semel.Filter) (records []semel.Record) {
	for rec := range m.Store.List(ctx, f) {
		records = append(records, rec)
	}
	return records
}

// over reports whether the record's retention is over.
func over(rec semel.Record) bool {
	return rec.State != semel.StateReserved && rec.Fence > 0 && !rec.ExpiresAt.After(time.Now())
}

// forget deletes every record, as no step of a store may.
func (m *mutant) forget() { m.Store = memstore.New(memstore.Config{}) }

// seed is a defect and the cases that must see it.
type seed struct {
	defect string
	plant  func(m *mutant)
	caught []string
}

// Each seeded defect is seen by the cases that are there for it, and each case
// sees one: a case that cannot fail checks nothing.
func TestSuiteSeesDefects(t *testing.T) {
	all := make(map[string]testCase)
	for _, c := range cases() {
		if _, twice := all[c.name]; twice {
			t.Errorf("two cases are named %s", c.name)
		}
		all[c.name] = c
	}
	unseen := maps.Clone(all)
	for _, s := range seeds() {
		t.Run(s.defect, func(t *testing.T) {
			for _, name := range s.caught {
				c, ok := all[name]
				if !ok {
					t.Fatalf("there is no case %s", name)
				}
				delete(unseen, name)
				synctest.Test(t, func(t *testing.T) {
					life, end := context.WithCancel(t.Context())
					defer end()
					m := &mutant{Store: memstore.New(memstore.Config{}), life: life}
					s.plant(m)
					if got := try(t, c, m); len(got.errors) == 0 || len(got.skips) > 0 {
						t.Errorf("%s: got errors %q, skips %q, want the defect to be seen", name, got.errors, got.skips)
					} else if testing.Verbose() {
						t.Logf("%s: %s", name, got.errors[0])
					}
				})
			}
		})
	}
	for name := range unseen {
		t.Errorf("no defect is seeded for %s", name)
	}
}
