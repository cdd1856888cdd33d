package sqlitestore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I3, I4: responses are sealed anew while their slots are purged, taken and completed by
// others. Each that is read is whole, and none is left behind.
func TestResealBesideOthers(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	const slots, rounds = 6, 60
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() {
			for n := range rounds {
				r := reservation(fmt.Sprint(i))
				r.Retention = time.Duration(1+n%2*1_000) * time.Microsecond
				held, err := s.Reserve(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				if held.State == semel.StateCompleted && !strings.HasPrefix(string(held.Response.Body), string(held.Response.Header)) {
					t.Errorf("got header %q with body %q", held.Response.Header, held.Response.Body)
				}
				if held.Token == r.Token {
					c := completion(r, "1 body")
					c.Response.Header = []byte("1")
					if err := s.Complete(t.Context(), c); err != nil {
						t.Error(err)
					}
					held.Token = r.Token
				}
				header := fmt.Sprint(n + 2)
				err = s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: held.Token}, []byte(header), []byte(header+" body"))
				if err != nil && !errors.Is(err, semel.ErrLost) {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range rounds {
				if _, err := s.Purge(t.Context(), 10); err != nil {
					t.Error(err)
				}
				for _, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	bodies := look(t, path, "SELECT count(*) FROM bodies")
	if kept := look(t, path, "SELECT count(*) FROM slots WHERE state = 2"); kept != bodies {
		t.Errorf("got %d bodies, want that of each of the %d completed slots", bodies, kept)
	}
}

// I8: a response in a transaction that is under way is there to be sealed when that has
// committed, and not when it was rolled back.
func TestResealBesideATransaction(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		for _, end := range []struct {
			name string
			do   func(begun) error
			want error
		}{
			{"commit", begun.Commit, nil},
			{"rollback", begun.Rollback, semel.ErrLost},
		} {
			r, _ := b.claim(end.name)
			tx := b.beginTx(b.db)
			b.must(tx.Lock(t.Context(), r.Key, r.Token))
			b.must(tx.Complete(t.Context(), completion(r, "booked")))
			sealed := make(chan error)
			go func() {
				sealed <- b.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, []byte("header"), []byte("sealed"))
			}()
			b.must(end.do(tx))
			if err := <-sealed; !errors.Is(err, end.want) {
				t.Errorf("%s: got error %v, want %v", end.name, err, end.want)
			}
			if end.want != nil {
				continue
			}
			if held, err := b.Reserve(t.Context(), heir(r)); err != nil || string(held.Response.Body) != "sealed" {
				t.Errorf("%s: got %q, error %v, want the body that was sealed", end.name, held.Response.Body, err)
			}
		}
	})
}

// A transaction says of what kind the request is, as every reservation does: for a slot
// that is fresh, and for one that is taken anew.
func TestRouteInATransaction(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r := reservation("a")
		for _, route := range []string{"POST /payments", "PUT /payments"} {
			r = again(r)
			r.Route, r.Retention = route, time.Microsecond
			tx := b.beginTx(b.db)
			held, err := tx.TxSteps.Reserve(t.Context(), r)
			if err != nil || held.Token != r.Token || held.Route != route {
				t.Errorf("got %+v, error %v, want it reserved with the route %q", held, err, route)
			}
			b.must(tx.Complete(t.Context(), completion(r, "body")))
			b.must(tx.Commit())
			if held, err := b.Look(t.Context(), r.Key); err != nil || held.Route != route {
				t.Errorf("got %+v, error %v, want the route %q", held, err, route)
			}
		}
	})
}

// Bodies are those of the records that are listed: a slot that was taken anew meanwhile
// stands elsewhere in the order, and is left out.
func TestListWithBodies(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), sqlitestore.Config{})
	for _, id := range []string{"a", "b", "c"} {
		r := reservation(id)
		r.Retention = time.Microsecond
		mustReserve(t, s, r)
		mustComplete(t, s, r, id)
	}
	var got []string
	for rec, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(rec.Response.Body))
		if rec.Key.ID == "c" {
			r := reservation("b") // its retention is over
			mustReserve(t, s, r)
			mustComplete(t, s, r, "b")
		}
	}
	if fmt.Sprint(got) != "[c a]" {
		t.Errorf("got bodies %q, want those of c and a", got)
	}
}

// A response that is too large to be kept is not sealed either.
func TestResealTooLarge(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), sqlitestore.Config{})
	r := reservation("a")
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	huge := make([]byte, 512<<20)
	if err := s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, []byte("h"), huge); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got error %v, want ErrTooLarge", err)
	}
	if held, err := s.Reserve(t.Context(), again(r)); err != nil || string(held.Response.Body) != "body" {
		t.Errorf("got %q, error %v, want the old body", held.Response.Body, err)
	}
}
