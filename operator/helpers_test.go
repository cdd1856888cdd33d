package operator_test

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// office is a store with a desk. Its hooks fail what they are asked about.
type office struct {
	*memstore.Store
	t      *testing.T
	engine *semel.Engine
	desk   *operator.Desk

	audits  int                   // entries that were asked for
	audit   func(n int) error     // the nth entry fails with it
	resolve func() error          // called before a resolution
	purged  func(limit, done int) // called after a step
}

func (o *office) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	o.audits++
	if o.audit != nil {
		if err := o.audit(o.audits); err != nil {
			return semel.AuditEntry{}, err
		}
	}
	return o.Store.Audit(ctx, e)
}

func (o *office) Resolve(ctx context.Context, r semel.Resolution) error {
	if o.resolve != nil {
		if err := o.resolve(); err != nil {
			return err
		}
	}
	return o.Store.Resolve(ctx, r)
}

func (o *office) Purge(ctx context.Context, limit int) (int, error) {
	n, err := o.Store.Purge(ctx, limit)
	if o.purged != nil {
		o.purged(limit, n)
	}
	return n, err
}

// open returns an office whose engine has cfg.
func open(t *testing.T, cfg semel.Config) *office {
	t.Helper()
	o := &office{Store: memstore.New(memstore.Config{}), t: t}
	o.engine = must(semel.New(o, cfg))
	o.desk = must(operator.New(o.engine, operator.Config{Actor: "ann@bank"}))
	t.Cleanup(func() {
		if err := o.engine.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return o
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// reserve holds a slot for a lease, as an attempt of another process would.
func (o *office) reserve(id string, change ...func(*semel.Reservation)) semel.Record {
	o.t.Helper()
	r := semel.Reservation{
		Key: semel.Key{Scope: "acme", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")), Token: semel.NewToken(),
		Lease: 30 * time.Second, Retention: 24 * time.Hour, Owner: "host/1", Route: "POST /payments",
	}
	for _, f := range change {
		f(&r)
	}
	return must(o.Reserve(o.t.Context(), r))
}

// lapse lets every reservation so far lapse.
func (*office) lapse() { time.Sleep(time.Minute) }

// at returns what the slot of rec holds.
func (o *office) at(rec semel.Record) semel.Record {
	o.t.Helper()
	return must(o.desk.At(o.t.Context(), rec.Key.Slot()))
}

// trail returns the whole trail, the oldest entry first, without times.
func (o *office) trail() []semel.AuditEntry {
	o.t.Helper()
	var all []semel.AuditEntry
	for e, err := range o.Trail(o.t.Context(), semel.AuditFilter{}) {
		if err != nil {
			o.t.Fatal(err)
		}
		e.At = time.Time{}
		all = append(all, e)
	}
	slices.Reverse(all)
	return all
}

func decide(rec semel.Record) operator.Decision {
	return operator.Decision{Slot: rec.Key.Slot(), Fence: rec.Fence, Reason: "no charge at the provider"}
}

// untrailed is a store without a trail: it shows of memstore only what it names.
type untrailed struct {
	semel.Store
	inner *memstore.Store
}

func (u untrailed) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return u.inner.List(ctx, f)
}

func (u untrailed) Resolve(ctx context.Context, r semel.Resolution) error {
	return u.inner.Resolve(ctx, r)
}
