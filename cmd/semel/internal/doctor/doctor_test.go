package doctor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// patient is a store that says what a test wants.
type patient struct {
	*memstore.Store
	ping   func() error
	found  semel.Inspection
	failed error
	ahead  time.Duration // of the server's clock; 0 for none
}

func (p *patient) Ping(context.Context) error {
	if p.ping != nil {
		return p.ping()
	}
	return nil
}

func (p *patient) Inspect(context.Context) (semel.Inspection, error) {
	found := p.found
	if p.ahead != 0 {
		found.Clock = time.Now().Add(p.ahead)
	}
	return found, p.failed
}

func named(t *testing.T, r *Report, name string) (semel.Finding, bool) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Name == name {
			return f, true
		}
	}
	return semel.Finding{}, false
}

func TestExamine(t *testing.T) {
	weak := semel.Finding{Name: "fsync", Value: "off", Level: semel.Weak, Advice: "Turn it on."}
	p := &patient{
		Store: memstore.New(memstore.Config{}), ahead: time.Millisecond,
		found: semel.Inspection{Server: "Toy 1", Findings: []semel.Finding{{Name: "schema", Value: "1"}, weak}},
	}
	r, err := Examine(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if r.Server != "Toy 1" || r.Grade.Letter != "C" || len(r.Findings) != 2 || r.Worst() != semel.Weak {
		t.Errorf("got %+v", r)
	}
	if len(r.Trips) != 1 || r.Trips[0].Step != "ping" || r.Trips[0].Count != tries-1 || r.Trips[0].Slowest < r.Trips[0].Median {
		t.Errorf("got trips %+v", r.Trips)
	}
	if r.Clock == nil || (r.Clock.Ahead-time.Millisecond).Abs() > r.Clock.Within+time.Second {
		t.Errorf("got clock %+v", r.Clock)
	}
	if err := r.Probe(t.Context(), p); err != nil || len(r.Trips) != 4 {
		t.Errorf("got %v and trips %+v", err, r.Trips)
	}
	for rec := range p.List(t.Context(), semel.Filter{}) {
		if rec.Key.Scope != probeScope || rec.ExpiresAt.Sub(rec.CreatedAt) > time.Minute {
			t.Errorf("a probe leaves %v in scope %q behind", rec.Key, rec.Key.Scope)
		}
	}
}

func TestClocksApart(t *testing.T) {
	r, err := Examine(t.Context(), &patient{Store: memstore.New(memstore.Config{}), ahead: -time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := named(t, r, "clock"); !ok || f.Level != semel.Weak || f.Advice == "" {
		t.Errorf("got %+v, want the clock to be found weak", r.Findings)
	}
}

func TestFarAway(t *testing.T) {
	p := &patient{Store: memstore.New(memstore.Config{}), ping: func() error {
		time.Sleep(farAway + 5*time.Millisecond)
		return nil
	}}
	r, err := Examine(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := named(t, r, "distance"); !ok || f.Level != semel.Weak {
		t.Errorf("got %+v, want the distance to be found weak", r.Findings)
	}
}

func TestStoreThatCannotBeAsked(t *testing.T) {
	down := errors.New("down")
	for what, p := range map[string]*patient{
		"ping":    {Store: memstore.New(memstore.Config{}), ping: func() error { return down }},
		"inspect": {Store: memstore.New(memstore.Config{}), failed: down},
	} {
		if _, err := Examine(t.Context(), p); !errors.Is(err, down) {
			t.Errorf("%s: got %v, want the failure", what, err)
		}
	}
	unfit := &patient{Store: memstore.New(memstore.Config{}), ping: func() error { return down }, found: semel.Inspection{Server: "Toy 1"}}
	r, err := Examine(t.Context(), unfit)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := named(t, r, "ping"); !ok || f.Level != semel.Broken || f.Value != "down" {
		t.Errorf("got %+v, want the failed ping of a server that answers", r.Findings)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(down)
	if _, err := Examine(ctx, &patient{Store: memstore.New(memstore.Config{})}); !errors.Is(err, down) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

// taken is a store whose slots are all held by somebody else.
type taken struct{ *memstore.Store }

func (s taken) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	r.Token = semel.NewToken()
	return s.Store.Reserve(ctx, r)
}

func TestProbeFails(t *testing.T) {
	r := new(Report)
	if err := r.Probe(t.Context(), taken{memstore.New(memstore.Config{})}); err == nil {
		t.Error("got no error, want one: no slot of the probe was its own")
	}
}
