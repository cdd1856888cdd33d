package verify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// Who runs each time and answers 200 with a new identifier looks like a replay that shows the
// newest state: no rule takes it for one (I3), with a counter or without.
func TestNewestStateProvesNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	target := targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		b.ServeHTTP(rec, r)
		if rec.Code == http.StatusCreated {
			rec.Code = http.StatusOK
		}
		for _, name := range []string{"Etag", "Location"} {
			rec.Header().Del(name)
		}
		write(w, rec)
	})))
	counter := target.Effects
	for _, effects := range []Counter{counter, {}} {
		target.Effects = effects
		report := mustRun(t, target, quick("paypal"))
		for _, id := range []string{"replay-status", "replay-header", "conflict-harmless", "concurrent-answers"} {
			if got := resultOf(t, report, id); got.Status == Passed {
				t.Errorf("%s with the counter %v passes: %s", id, effects.URL, got.Detail)
			}
		}
	}
}

// A request that is declined alike each time proves no replay: no answer was kept (I3).
func TestAlikeErrorsProveNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	declines := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(string(content(r)), "declined") {
			http.Error(w, "declined", http.StatusPaymentRequired)
			return
		}
		b.ServeHTTP(w, r)
	})
	report := mustRun(t, targetOf(t, serve(t, b, declines)), quick("minimal"))
	if got := resultOf(t, report, "replay-error"); got.Status != Skipped || !strings.Contains(got.Detail, "declined alike") {
		t.Errorf("no idempotency: %v: %s", got.Status, got.Detail)
	}
	report = mustRun(t, targetOf(t, serve(t, b, guard(t, declines, semelhttp.Config{}))), quick("ietf"))
	if got := resultOf(t, report, "replay-error"); got.Status != Passed {
		t.Errorf("a marked one: %v: %s", got.Status, got.Detail)
	}
}

// An endpoint that is not there says nothing about keys.
func TestOtherEndpointThatIsNone(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	report := mustRun(t, targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refunds" {
			http.Error(w, "no", http.StatusUnprocessableEntity) // as a conflict is answered
			return
		}
		inner.ServeHTTP(w, r)
	}))), quick("ietf"))
	if got := resultOf(t, report, "conflict-path"); got.Status != Skipped || !strings.Contains(got.Detail, "422 under a fresh key too") {
		t.Errorf("%v: %s", got.Status, got.Detail)
	}
}

// Refusals of requests without a key cannot have repeated one.
func TestRefusalsWithoutKeys(t *testing.T) {
	s := newSession(Target{}, Config{})
	bare := &exchange{note: "no key", answer: &answer{status: 400}}
	s.refused(bare)
	if got, _ := refusalKey(t.Context(), s); got.status != Skipped {
		t.Errorf("only refusals without a key: %v: %s", got.status, got.detail)
	}
	s.refused(&exchange{note: "a key", key: "k", answer: &answer{status: 409}})
	if got, _ := refusalKey(t.Context(), s); got.status != Passed || got.detail != "1 refusals" {
		t.Errorf("one with a key: %v: %s", got.status, got.detail)
	}
	s.refused(&exchange{note: "a key", key: "k3y", answer: &answer{status: 409, body: []byte("k3y is used")}})
	if got, _ := refusalKey(t.Context(), s); got.status != Failed {
		t.Errorf("one that repeats it: %v: %s", got.status, got.detail)
	}
}

// Who has the right to be silent about an odd key, and who has not.
func TestHungUp(t *testing.T) {
	s := newSession(Target{}, Config{Profile: ietf})
	late := fmt.Errorf("read: %w", &lateError{})
	for _, row := range []struct {
		status  int
		lost    error
		plain   bool
		counted int64
		want    Status
	}{
		{400, nil, true, 0, Passed},
		{400, nil, true, 1, Failed},
		{500, nil, true, 0, Failed},
		{500, nil, false, 0, Failed},
		{302, nil, false, 0, Failed},
		{0, io.EOF, false, 0, Passed},
		{0, io.EOF, false, 2, Failed},
		{0, io.EOF, true, 0, Failed},
		{0, late, false, 0, Failed},
	} {
		x := &exchange{answer: &answer{status: row.status, lost: row.lost}}
		if got := s.turnedAway(x, x, row.plain, row.counted); got.status != row.want {
			t.Errorf("%+v: %v: %s", row, got.status, got.detail)
		}
	}
	served := &exchange{answer: &answer{status: 201}}
	refused := &exchange{answer: &answer{status: 400}}
	broke := &exchange{answer: &answer{status: 500}}
	for _, row := range []struct {
		again   *exchange
		counted int64
		want    Status
	}{{refused, 1, Passed}, {refused, 2, Failed}, {broke, 1, Failed}} {
		if got := s.turnedAway(served, row.again, true, row.counted); got.status != row.want {
			t.Errorf("served, then %d, counted %d: %v: %s", row.again.status, row.counted, got.status, got.detail)
		}
	}
}

type lateError struct{}

func (*lateError) Error() string   { return "i/o timeout" }
func (*lateError) Timeout() bool   { return true }
func (*lateError) Temporary() bool { return true }
