package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// release is the form as the page of rec has it.
func release(rec semel.Record) url.Values {
	return url.Values{"fence": {strconv.FormatInt(rec.Fence, 10)}, "reason": {"no charge, case 7"}, "sure": {"yes"}}
}

func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		s.want(s.get("/lapsed"), http.StatusOK, rec.Key.Slot().String()[:12], "1m 0s")
		page := s.ask(http.MethodGet, at(rec), writeToken, nil)
		s.want(page, http.StatusOK, "Outcome unknown", "Release the key", strconv.FormatInt(rec.Fence, 10))
		clean(t, "", page.Body.String())
		s.want(s.post(at(rec, "/release"), release(rec)), http.StatusOK, "Released", "ann: no charge, case 7", "ann said that nothing happened")
		if now := s.at(rec); now.State != semel.StateFree {
			t.Errorf("got a %s record, want it free", now.State)
		}
		s.want(s.get("/audit"), http.StatusOK, "no charge, case 7", "release", "done")
		s.want(s.get("/lapsed"), http.StatusOK, "Nothing needs a decision")
	})
}

// The answer of an operator is replayed as the service's own would be.
func TestComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		form := url.Values{
			"fence": {strconv.FormatInt(rec.Fence, 10)}, "reason": {"charge 17 is in the ledger"}, "status": {"201"}, "type": {"application/json"},
			"fields": {"Location: /payments/17\r\nX-Two: a\r\nX-Two: b\r\n"}, "body": {"{\r\n  \"id\": 17\r\n}\r\n"},
		}
		s.want(s.post(at(rec, "/complete"), form), http.StatusOK, "Completed", "Every retry gets 201 with 15 bytes")
		kept, err := semelhttp.Decode(s.at(rec).Response)
		if err != nil {
			t.Fatal(err)
		}
		h := kept.Header
		if kept.Status != 201 || string(kept.Body) != "{\n  \"id\": 17\n}\n" || h.Get("Location") != "/payments/17" ||
			h.Get("Content-Type") != "application/json" || strings.Join(h.Values("X-Two"), ",") != "a,b" {
			t.Errorf("got %d %v %q", kept.Status, kept.Header, kept.Body)
		}
	})
}

func TestMistakesInAFormCostNothingTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		fence := strconv.FormatInt(rec.Fence, 10)
		for _, c := range []struct {
			name, path string
			form       url.Values
			says       string
		}{
			{"no reason", "/release", url.Values{"reason": {" "}, "sure": {"yes"}}, "Give a reason"},
			{"not sure", "/release", url.Values{"reason": {"typed text"}}, "Confirm that"},
			{"two lines", "/release", url.Values{"reason": {"typed text\nanother"}, "sure": {"yes"}}, "in one line"},
			{"no status", "/complete", url.Values{"reason": {"typed text"}, "body": {"typed body"}}, "200 to 599"},
			{"a status", "/complete", url.Values{"reason": {"typed text"}, "status": {"99"}}, "200 to 599"},
			{"a body of 204", "/complete", url.Values{"reason": {"typed text"}, "status": {"204"}, "body": {"x"}}, "has no body"},
			{"a field", "/complete", url.Values{"reason": {"typed text"}, "status": {"200"}, "fields": {"no colon"}}, "is not a field"},
			{"a name", "/complete", url.Values{"reason": {"typed text"}, "status": {"200"}, "fields": {"a b: c"}}, "is not a field"},
			{"a value", "/complete", url.Values{"reason": {"typed text"}, "status": {"200"}, "fields": {"A: b\x00c"}}, "control character"},
			{"a type", "/complete", url.Values{"reason": {"typed text"}, "status": {"200"}, "body": {"x"}, "type": {"a\nb: c"}}, "control character"},
			{"no reason to keep", "/complete", url.Values{"status": {"200"}}, "Give a reason"},
			{"no reason to look", "/reveal", url.Values{}, "A reason in one line"},
		} {
			c.form.Set("fence", fence)
			w := s.post(at(rec, c.path), c.form)
			if w.Code != http.StatusUnprocessableEntity || !strings.Contains(text(w), c.says) || !strings.Contains(text(w), "Nothing was") {
				t.Errorf("%s: got %d, want 422 with %q", c.name, w.Code, c.says)
			}
			if strings.TrimSpace(c.form.Get("reason")) != "" && !strings.Contains(text(w), "typed text") {
				t.Errorf("%s: what was typed is gone", c.name)
			}
			clean(t, "", w.Body.String())
		}
		if w := s.post(at(rec, "/release"), url.Values{"reason": {"x"}, "sure": {"yes"}}); w.Code != http.StatusBadRequest {
			t.Errorf("no fence: got %d, want 400", w.Code)
		}
		if now := s.at(rec); now.State != semel.StateReserved || len(s.trail()) != 0 {
			t.Errorf("got a %s record and %d entries, want nothing touched", now.State, len(s.trail()))
		}
	})
}

func TestRefusalsSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		lapsed := s.reserve("lapsed")
		s.lapse()
		running, kept := s.reserve("running"), s.keep("kept", semelhttp.Kept{Status: 200})
		free := s.reserve("free")
		if err := s.store.Release(t.Context(), free.Key, free.Token); err != nil {
			t.Fatal(err)
		}
		s.want(s.post(at(running, "/release"), release(running)), http.StatusConflict, "may be running", "lease is not over")
		s.want(s.post(at(kept, "/release"), release(kept)), http.StatusConflict, "the record is completed")
		s.want(s.post(at(free, "/release"), release(free)), http.StatusConflict, "the record is free")
		older := lapsed
		older.Fence--
		s.want(s.post(at(lapsed, "/release"), release(older)), http.StatusConflict, "changed meanwhile", "Release the key")
		s.want(s.post("/records/"+strings.Repeat("0", 64)+"/release", release(lapsed)), http.StatusNotFound, "No such record")
		// Somebody comes between the look and the action.
		s.store.resolve = func() error { return semel.ErrInFlight }
		s.want(s.post(at(lapsed, "/release"), release(lapsed)), http.StatusConflict, "may be running", "refused: the lease is not over")
	})
}

func TestNothingIsDoneWithoutATrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		s.store.audit = func(int64) error { return errors.New("disk full") }
		s.want(s.post(at(rec, "/release"), release(rec)), http.StatusServiceUnavailable, "Nothing was done")
		s.want(s.post(at(rec, "/reveal"), release(rec)), http.StatusServiceUnavailable, "Nothing was done")
		if now := s.at(rec); now.State != semel.StateReserved {
			t.Errorf("got a %s record, want it untouched", now.State)
		}
	})
}

func TestResultThatIsNotInTheTrailIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		s.store.audit = func(n int64) error {
			if n == 2 {
				return errors.New("disk full")
			}
			return nil
		}
		s.want(s.post(at(rec, "/release"), release(rec)), http.StatusOK, "Released, and the trail does not say so", "entry 1", "how it ended is not recorded")
	})
}

func TestActionThatTakesTooLongGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		rec := s.reserve("order-1")
		s.lapse()
		s.store.resolve = func() error {
			time.Sleep(time.Minute)
			return nil
		}
		start := time.Now()
		w := s.post(at(rec, "/release"), release(rec))
		s.want(w, http.StatusAccepted, "Not known yet")
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited for %v, want twice the timeout", waited)
		}
		time.Sleep(time.Hour)
		if now := s.at(rec); now.State != semel.StateFree || len(s.trail()) != 2 {
			t.Errorf("got a %s record and %d entries, want it done", now.State, len(s.trail()))
		}
	})
}

func TestRevealIsTheOnlyWayToKeyAndBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Sealer: turn{}})
		rec := s.keep("secret-key-1", semelhttp.Kept{
			Status: 201, Header: http.Header{"Content-Type": {"application/json"}, "X-Card": {"secret-header"}}, Body: []byte(`{"card":"secret-body"}`),
		})
		must(t, s.desk.Perform(t.Context(), deedOn(rec), func(context.Context) error { return nil }))
		for _, path := range append([]string{at(rec), "/search?q=" + rec.Key.Slot().String()}, paths...) {
			for _, token := range []string{readToken, writeToken} {
				if w := s.ask(http.MethodGet, path, token, nil); strings.Contains(w.Body.String(), "secret-") {
					t.Errorf("%s shows a secret", path)
				}
			}
		}
		before := len(s.trail())
		w := s.post(at(rec, "/reveal"), url.Values{"reason": {"dispute 7"}, "fence": {"1"}})
		s.want(w, http.StatusOK, "Revealed", "secret-key-1", "secret-header", `{"card":"secret-body"}`)
		clean(t, "", w.Body.String())
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("got Cache-Control %q, want the page kept nowhere", w.Header().Get("Cache-Control"))
		}
		trail := s.trail()
		if len(trail) != before+2 || trail[1].Action != semel.ActionReveal || trail[1].Reason != "dispute 7" || trail[1].Actor != "ann" {
			t.Errorf("got the trail %v", trail)
		}
	})
}

func TestRevealOfWhatCannotBeShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Sealer: turn{}})
		reveal := url.Values{"reason": {"dispute 7"}, "fence": {"1"}}
		binary := s.keep("binary", semelhttp.Kept{Status: 200, Body: []byte(strings.Repeat("\x00\xff", 1<<14))})
		s.want(s.post(at(binary, "/reveal"), reveal), http.StatusOK, "which is no text", "00 ff 00 ff", "The rest is not shown")
		long := s.keep("long", semelhttp.Kept{Status: 200, Body: []byte(strings.Repeat("<é>", 1<<18))})
		w := s.post(at(long, "/reveal"), reveal)
		s.want(w, http.StatusOK, "1048576 bytes", "The rest is not shown")
		if w.Body.Len() > 1<<20 {
			t.Errorf("got a page of %d bytes", w.Body.Len())
		}
		clean(t, "", w.Body.String())
		streamed := s.keep("streamed", semelhttp.Kept{Status: 200, NotKept: true})
		s.want(s.post(at(streamed, "/reveal"), reveal), http.StatusOK, "retries get 410")
		running := s.reserve("running")
		s.want(s.post(at(running, "/reveal"), reveal), http.StatusOK, "none is kept", "running")
		plain := s.reserve("plain")
		must(t, s.store.Complete(t.Context(), semel.Completion{Key: plain.Key, Token: plain.Token, Response: semel.Response{Status: 200, Body: []byte("x")}}))
		s.want(s.post(at(plain, "/reveal"), reveal), http.StatusOK, "cannot be read")
		sealed, err := s.engine.SealResponse(t.Context(), semel.Key{Scope: "acme", ID: "grpc"}, semel.Response{Body: []byte("of another transport")})
		must(t, err)
		other := s.reserve("grpc")
		must(t, s.store.Complete(t.Context(), semel.Completion{Key: other.Key, Token: other.Token, Response: sealed}))
		s.want(s.post(at(other, "/reveal"), reveal), http.StatusOK, "these are its bytes", "of another transport")
	})
}
