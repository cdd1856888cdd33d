package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

func TestPagesHaveEveryRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for i := range 25 {
			o.reserve(fmt.Sprint("order-", i))
			time.Sleep(time.Millisecond * time.Duration(i%2)) // pairs as old as one another
		}
		seen := map[semel.Slot]bool{}
		filter := semel.Filter{Limit: 10}
		for _, want := range []int{10, 10, 5} {
			page := must(o.desk.List(t.Context(), filter))
			if len(page.Records) != want {
				t.Errorf("got a page of %d, want %d", len(page.Records), want)
			}
			for _, rec := range page.Records {
				seen[rec.Key.Slot()] = true
			}
			filter.After = page.Next
		}
		if len(seen) != 25 || !filter.After.IsZero() {
			t.Errorf("got %d records and a next page at %v, want 25 and none", len(seen), filter.After)
		}
		if n := len(must(o.desk.List(t.Context(), semel.Filter{Limit: 1 << 30})).Records); n != 25 {
			t.Errorf("got %d records, want all", n)
		}
	})
}

// sifting is a store that passes over records in steps, and notes how large they may be.
type sifting struct {
	*office
	most []int
}

func (s *sifting) Sift(ctx context.Context, f semel.Filter, most int) (found []semel.Record, next semel.Place, err error) {
	s.most = append(s.most, most)
	const most3 = 3
	left := most3
	for rec, err := range s.List(ctx, semel.Filter{After: f.After, Limit: most3, Margin: f.Margin}) {
		if err != nil {
			return nil, semel.Place{}, err
		}
		if f.Route == "" || rec.Route == f.Route {
			found = append(found, rec)
		}
		if left--; left == 0 {
			next = rec.Place()
		}
		if len(found) == f.Limit {
			return found, rec.Place(), nil
		}
	}
	return found, next, nil
}

// A page of a store that passes over many records ends when enough has been looked at, and
// says so; one that is full is not cut.
func TestPagesAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		s := &sifting{office: o}
		engine := must(semel.New(s, semel.Config{}))
		defer func() { must(0, engine.Close(context.WithoutCancel(t.Context()))) }()
		desk := must(operator.New(engine, operator.Config{Actor: "ann"}))
		for i := range 8 {
			o.reserve(fmt.Sprint("order-", i), func(r *semel.Reservation) {
				if i%4 == 0 {
					r.Route = "rare"
				}
			})
			time.Sleep(time.Millisecond)
		}
		filter := semel.Filter{Route: "rare"}
		for i, want := range []operator.Page{{Cut: true}, {Cut: true}, {}} {
			page := must(desk.List(t.Context(), filter))
			if page.Cut != want.Cut || page.Next.IsZero() == want.Cut || len(page.Records) != []int{0, 1, 1}[i] {
				t.Errorf("page %d: got %d records, cut %v, next %v", i, len(page.Records), page.Cut, page.Next)
			}
			filter.After = page.Next
		}
		if page := must(desk.List(t.Context(), semel.Filter{Limit: 2})); len(page.Records) != 2 || page.Cut || page.Next != page.Records[1].Place() {
			t.Errorf("got %d records, cut %v, want a full page of two", len(page.Records), page.Cut)
		}
		for _, most := range s.most {
			if most != operator.MaxSift {
				t.Errorf("got a look at %d records, want %d", most, operator.MaxSift)
			}
		}
	})
}

func TestFindRef(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{Secret: semel.Secret("a secret of the house")})
		old := o.reserve("old")
		time.Sleep(time.Millisecond)
		for i := range operator.MaxRefs {
			o.reserve(fmt.Sprint("order-", i))
		}
		_, next, err := o.desk.FindRef(t.Context(), o.desk.Ref(old), semel.Place{})
		if !errors.Is(err, operator.ErrNoRecord) || next.IsZero() {
			t.Fatalf("got %v and a place at %v, want none among the youngest, and a place", err, next)
		}
		if got, _, err := o.desk.FindRef(t.Context(), " "+strings.ToUpper(o.desk.Ref(old)), next); err != nil || got.Key != old.Key {
			t.Errorf("behind it: got %v, %v, want the record", got.Key, err)
		}
		if _, next, err := o.desk.FindRef(t.Context(), "000000000000", next); !errors.Is(err, operator.ErrNoRecord) || !next.IsZero() {
			t.Errorf("got %v and a place at %v, want no record and the end", err, next)
		}
		if _, _, err := o.desk.FindRef(t.Context(), "short", semel.Place{}); !errors.Is(err, operator.ErrSelector) {
			t.Errorf("got %v, want ErrSelector", err)
		}
	})
}

func TestWorklistHasTheOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for i := range 9 {
			o.reserve(fmt.Sprint("order-", i))
			time.Sleep(time.Millisecond)
		}
		o.reserve("blameless", func(r *semel.Reservation) { r.Deferred = true })
		o.reserve("sweeper", func(r *semel.Reservation) { r.Key = semel.Key{Scope: "semel", ID: "sweeper"} })
		o.lapse()
		o.reserve("running")
		work := must(o.desk.Worklist(t.Context(), 2))
		if len(work.Records) != 2 || work.Records[0].Key.ID != "order-0" || work.Records[1].Key.ID != "order-1" {
			t.Errorf("got %d records, want the two oldest", len(work.Records))
		}
		if work.More != 7 || work.Themselves != 2 || work.Cut {
			t.Errorf("got %d more, %d by themselves, cut %v; want 7, 2, false", work.More, work.Themselves, work.Cut)
		}
	})
}

func TestWorklistIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for i := range operator.MaxLook + 5 {
			o.reserve(fmt.Sprint("order-", i))
		}
		o.lapse()
		work := must(o.desk.Worklist(t.Context(), 50))
		if len(work.Records) != 50 || work.More != operator.MaxLook-50 || !work.Cut {
			t.Errorf("got %d records and %d more, cut %v; want 50, %d, true", len(work.Records), work.More, work.Cut, operator.MaxLook-50)
		}
	})
}

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{Secret: semel.Secret("a secret of the house")})
		rec := o.reserve("order-1")
		for i := range 300 { // so that any one digit is ambiguous
			o.reserve(fmt.Sprint("other-", i))
		}
		slot := rec.Key.Slot().String()
		for _, s := range []operator.Selector{
			{Slot: slot},
			{Slot: " " + strings.ToUpper(slot[:16]) + " "},
			{Ref: o.desk.Ref(rec)},
			{Scope: "acme", Key: "order-1"},
		} {
			got, err := o.desk.Find(t.Context(), s)
			if err != nil || got.Key != rec.Key {
				t.Errorf("%+v: got %v, %v", s, got.Key, err)
			}
		}
		for _, c := range []struct {
			selector operator.Selector
			want     error
		}{
			{operator.Selector{}, operator.ErrSelector},
			{operator.Selector{Slot: "xyz"}, operator.ErrSelector},
			{operator.Selector{Slot: strings.Repeat("0", 65)}, operator.ErrSelector},
			{operator.Selector{Ref: "short"}, operator.ErrSelector},
			{operator.Selector{Scope: "acme"}, operator.ErrSelector},
			{operator.Selector{Slot: "ab", Ref: "0123456789ab"}, operator.ErrSelector},
			{operator.Selector{Scope: "acme", Key: strings.Repeat("k", 256)}, operator.ErrSelector},
			{operator.Selector{Scope: "acme", Key: "order-2"}, operator.ErrNoRecord},
			{operator.Selector{Ref: "000000000000"}, operator.ErrNoRecord},
		} {
			if _, err := o.desk.Find(t.Context(), c.selector); !errors.Is(err, c.want) {
				t.Errorf("%+v: got %v, want %v", c.selector, err, c.want)
			}
		}
		var several *operator.AmbiguousError
		if _, err := o.desk.Find(t.Context(), operator.Selector{Slot: slot[:1]}); !errors.As(err, &several) || len(several.Records) != operator.MaxAmbiguous {
			t.Errorf("got %v, want %d records to choose from", err, operator.MaxAmbiguous)
		}
	})
}

func TestRevealIsTrailedAndOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{Sealer: flip{}})
		out := must(o.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: "order-1"}}))
		if err := out.Claim.Complete(t.Context(), semel.Response{Status: 201, Header: []byte("h"), Body: []byte("card 4711")}); err != nil {
			t.Fatal(err)
		}
		slot := out.Record.Key.Slot()
		if rec := o.at(out.Record); len(rec.Response.Body) != 0 {
			t.Errorf("got the body %q without a reveal", rec.Response.Body)
		}
		if _, err := o.desk.Reveal(t.Context(), slot, ""); !errors.Is(err, operator.ErrReason) {
			t.Errorf("got %v, want a reason asked for", err)
		}
		rec, err := o.desk.Reveal(t.Context(), slot, "dispute 7")
		if err != nil || string(rec.Response.Body) != "card 4711" || string(rec.Response.Header) != "h" {
			t.Errorf("got %q, %v, want the answer in clear", rec.Response.Body, err)
		}
		trail := o.trail()
		if len(trail) != 2 || trail[0].Action != semel.ActionReveal || trail[0].Key != out.Record.Key || trail[1].Result != semel.AuditDone {
			t.Errorf("got the trail %v", trail)
		}
		for _, e := range trail {
			if strings.Contains(fmt.Sprint(e.Reason, e.Result), "4711") {
				t.Error("the trail holds the answer")
			}
		}
	})
}

func TestRevealOfADamagedResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{Sealer: flip{}})
		rec := o.reserve("order-1")
		foreign := semel.Completion{Key: rec.Key, Token: rec.Token, Response: semel.Response{Status: 200, Body: []byte("plain")}}
		if err := o.Store.Complete(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		got, err := o.desk.Reveal(t.Context(), rec.Key.Slot(), "why 409")
		if !errors.Is(err, semel.ErrDamaged) || got.Key != rec.Key {
			t.Errorf("got %v, %v, want ErrDamaged and the record", got.Key, err)
		}
		if last := o.trail()[1].Result; !strings.HasPrefix(last, "failed: ") {
			t.Errorf("got the result %q in the trail", last)
		}
	})
}

func TestPurgeTellsHowItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for i := range 7 {
			rec := o.reserve(fmt.Sprint("order-", i))
			if err := o.Store.Release(t.Context(), rec.Key, rec.Token); err != nil {
				t.Fatal(err)
			}
		}
		o.reserve("lapsed")
		time.Sleep(25 * time.Hour)
		var steps []int
		n, err := o.desk.Purge(t.Context(), operator.Purging{Batch: 3, Progress: func(gone int) { steps = append(steps, gone) }})
		if err != nil || n != 7 || fmt.Sprint(steps) != "[3 6 7]" {
			t.Errorf("got %d, %v by %v, want 7 by [3 6 7]", n, err, steps)
		}
		if left := must(o.desk.List(t.Context(), semel.Filter{})).Records; len(left) != 1 {
			t.Errorf("got %d records left, want the reservation (I9)", len(left))
		}
		if trail := o.trail(); len(trail) != 2 || trail[0].Action != semel.ActionPurge || trail[1].Result != semel.AuditDone {
			t.Errorf("got the trail %v", trail)
		}
	})
}

func TestPurgeStopsBetweenSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for i := range 4 {
			rec := o.reserve(fmt.Sprint("order-", i))
			if err := o.Store.Release(t.Context(), rec.Key, rec.Token); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(25 * time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		o.purged = func(int, int) { stop() }
		n, err := o.desk.Purge(ctx, operator.Purging{Batch: 1})
		if n != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %d, %v, want one step", n, err)
		}
		if trail := o.trail(); len(trail) != 2 || !strings.Contains(trail[1].Result, "stopped after 1 records") {
			t.Errorf("got the trail %v, want how far it came", trail)
		}
	})
}

func TestTrailPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		for range 5 {
			must(0, o.desk.Perform(t.Context(), operator.Deed{Action: semel.ActionRotate}, func(context.Context) error { return nil }))
		}
		filter, ids := semel.AuditFilter{Limit: 4}, ""
		for range 3 {
			page := must(o.desk.Trail(t.Context(), filter))
			for _, e := range page.Entries {
				ids += fmt.Sprint(e.ID, " ")
			}
			filter.Before = page.Next
		}
		if ids != "10 9 8 7 6 5 4 3 2 1 " || filter.Before != 0 {
			t.Errorf("got the entries %s and a next page at %d", ids, filter.Before)
		}
	})
}

func TestSign(t *testing.T) {
	long := strings.Repeat("x", semel.MaxReasonLen-len("ann: "))
	if got, err := operator.Sign("ann", " "+long+" "); err != nil || got != "ann: "+long {
		t.Errorf("got %q, %v, want the longest reason kept", got, err)
	}
	for _, text := range []string{"", " \t ", "a\nb", "a\u2028b", "a\x1b[2Jb", "a\xffb", long + "y"} {
		if got, err := operator.Sign("ann", text); !errors.Is(err, operator.ErrReason) {
			t.Errorf("%q: got %q, %v, want ErrReason", text, got, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	engine := must(semel.New(memstore.New(memstore.Config{}), semel.Config{}))
	for _, cfg := range []operator.Config{
		{}, {Actor: "a\nb"}, {Actor: "\xff"}, {Actor: strings.Repeat("a", 256)}, {Actor: "ann", Retention: -1},
	} {
		if _, err := operator.New(engine, cfg); err == nil {
			t.Errorf("%+v: got a desk, want an error", cfg)
		}
	}
	if _, err := operator.New(nil, operator.Config{Actor: "ann"}); err == nil {
		t.Error("got a desk without an engine")
	}
	blind := must(semel.New(struct{ semel.Store }{memstore.New(memstore.Config{})}, semel.Config{}))
	if _, err := operator.New(blind, operator.Config{Actor: "ann"}); err == nil {
		t.Error("got a desk over a store that cannot list")
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{})
		h := o.desk.Health(t.Context())
		if h.Ping != nil || h.Grade.Letter != "C" || !h.Trail || h.Inspected {
			t.Errorf("got %+v", h)
		}
	})
}

// With hashed keys an operator still names records by what the client sent.
func TestFindByWhatIsStoredAsHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, semel.Config{HashKeys: true, Secret: semel.Secret("a secret of the house")})
		out := must(o.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: "order-1"}}))
		out.Claim.Abandon(t.Context())
		o.reserve("sweeper", func(r *semel.Reservation) { r.Key = semel.Key{Scope: "semel", ID: "sweeper"} })
		o.lapse()
		rec, err := o.desk.Find(t.Context(), operator.Selector{Scope: "acme", Key: "order-1"})
		if err != nil || rec.Key != out.Record.Key || !o.desk.Hashes() {
			t.Fatalf("got %v, %v", rec.Key, err)
		}
		if got := must(o.desk.List(t.Context(), semel.Filter{Scope: o.desk.Stored("acme", "").Scope})); len(got.Records) != 1 {
			t.Errorf("got %d records of the scope, want 1", len(got.Records))
		}
		if work := must(o.desk.Worklist(t.Context(), 9)); len(work.Records) != 1 || work.Themselves != 1 {
			t.Errorf("got %d records and %d by themselves, want 1 and the sweeper", len(work.Records), work.Themselves)
		}
		if err := o.desk.Complete(t.Context(), decide(rec), semel.Response{Status: 201}); err != nil {
			t.Fatal(err)
		}
		again := must(o.engine.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "acme", ID: "order-1"}}))
		if again.Kind != semel.Replay {
			t.Errorf("got %v, want the operator's answer", again.Kind)
		}
	})
}
