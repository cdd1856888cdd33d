package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// sifting is a store whose lists pass over three records a step.
type sifting struct {
	*faulty
	steps int
	took  time.Duration // of a step
}

func (s *sifting) Sift(ctx context.Context, f semel.Filter, _ int) (found []semel.Record, next semel.Place, err error) {
	s.steps++
	time.Sleep(s.took)
	n := 0
	for rec, err := range s.List(ctx, semel.Filter{After: f.After, Limit: 3}) {
		if err != nil {
			return nil, semel.Place{}, err
		}
		if (f.Scope == "" || f.Scope == rec.Key.Scope) && (f.ID == "" || f.ID == rec.Key.ID) {
			found = append(found, rec)
		}
		if n++; n == 3 {
			next = rec.Place()
		}
	}
	return found, next, nil
}

// rare has a console over ten records, of which the two oldest have a scope of their own.
func rare(t *testing.T) (*site, *sifting) {
	t.Helper()
	store := &sifting{faulty: &faulty{Store: memstore.New(memstore.Config{})}}
	s := openOver(t, store, store.faulty, semel.Config{Secret: semel.Secret("secret of the house")})
	for i := range 10 {
		s.reserve(fmt.Sprint("order-", i), func(r *semel.Reservation) {
			if i < 2 {
				r.Key = semel.Key{Scope: "rare", ID: "rare"}
				r.Key.Scope += strings.Repeat("r", i)
			}
		})
		time.Sleep(time.Millisecond)
	}
	return s, store
}

// A list that was not looked through says so, and leads on; it looks at more only for who asks.
func TestListThatWasCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := rare(t)
		path, steps := "/records?scope=rare", 0
		for ; strings.Contains(path, "scope=rare") && steps < 9; steps++ {
			w := s.get(path)
			links := regexp.MustCompile(`href="(/records[?]after=[^"]*)" rel="next"`).FindStringSubmatch(text(w))
			if links == nil {
				s.want(w, http.StatusOK, "/records/"+semel.Key{Scope: "rare", ID: "rare"}.Slot().String(), "This is the last page")
				break
			}
			s.want(w, http.StatusOK, "Nothing fits so far", "not looked through to its end", "Look on for some seconds")
			path = links[1]
		}
		if steps != 3 || store.steps != 4 {
			t.Errorf("got %d pages in %d steps, want four of a step each", steps+1, store.steps)
		}
		s.want(s.get("/records?scope=rare&far=1"), http.StatusOK, "/records/"+semel.Key{Scope: "rare", ID: "rare"}.Slot().String())
		s.want(s.post("/search", url.Values{"key": {"rare"}}), http.StatusOK, "No scope has a record with this key so far", `name="after"`)
		w := s.post("/search", url.Values{"key": {"rare"}, "far": {"1"}})
		s.want(w, http.StatusOK, "Records with this key, one for each scope")
		if strings.Contains(text(w), "not looked through") {
			t.Error("a search that has come to its end says that it has not")
		}
	})
}

// Whoever looks on gets what there is, and where to go on, before the page's time is over.
func TestLookingOnEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := rare(t)
		store.took = time.Second
		start := time.Now()
		s.want(s.get("/records?scope=rare&far=1"), http.StatusOK, "Nothing fits so far", "not looked through to its end")
		if took := time.Since(start); took >= console.DefaultTimeout || store.steps != 3 {
			t.Errorf("took %v for %d steps, want three, which begin within half of %v", took, store.steps, console.DefaultTimeout)
		}
	})
}

// A reference is looked for among the youngest, and further back for who asks.
func TestReferenceFarBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		old := s.reserve("old")
		time.Sleep(time.Millisecond)
		for i := range operator.MaxRefs {
			s.reserve(fmt.Sprint("order-", i))
		}
		path := "/search?q=" + s.engine.Ref(old.Key)
		w := s.get(path)
		s.want(w, http.StatusOK, "No record has this reference so far", "not looked through to its end")
		on := regexp.MustCompile(`href="(/search[?]after=[^"]*)" rel="next"`).FindStringSubmatch(text(w))
		if on == nil {
			t.Fatal("the page does not lead on")
		}
		for _, address := range []string{on[1], path + "&far=1"} {
			if w := s.get(address); w.Code != http.StatusSeeOther || w.Header().Get("Location") != at(old) {
				t.Errorf("%s: got %d to %q, want the record", address, w.Code, w.Header().Get("Location"))
			}
		}
		s.want(s.get("/search?q=000000000000&far=1"), http.StatusNotFound)
		s.want(s.get("/search?q=000000000000&after=x"), http.StatusBadRequest)
	})
}
