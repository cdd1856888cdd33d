package verify

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

// hopping is a service whose Connection names a field, so that all can be tried.
var hopping = http.Header{"Connection": {"X-Hop"}, "X-Hop": {"1"}}

// The middleware of this repository keeps every rule, and none is left untried.
func TestEveryRuleHolds(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &bank{header: hopping}
	report := mustRun(t, targetOf(t, serve(t, b, guard(t, b, semelhttp.Config{}))), quick("ietf"))
	if passed := report.Count(Passed); passed != len(Rules()) {
		tell(t, report)
		t.Errorf("%d of %d rules hold", passed, len(Rules()))
	}
}

// Each preset of the middleware keeps the profile of its name: the profiles are written from
// the sources, and not from the middleware.
func TestPresetsKeepTheirProfiles(t *testing.T) {
	t.Parallel() // it mostly waits
	var all sync.WaitGroup
	for _, p := range semelhttp.Presets() {
		name := p.String()
		if p == semelhttp.GRPC { // its calls need HTTP/2; what is no call is answered as under ietf
			name = "ietf"
		}
		profile, err := ProfileOf(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if names := (semelhttp.Config{Preset: p}).WithPreset().Headers; len(names) != 1 || !strings.EqualFold(names[0], profile.Header) {
			t.Errorf("%s: the preset has its keys in %q, the profile in %s", p, names, profile.Header)
			continue
		}
		b := &bank{slow: 2 * time.Second} // longer than a busy machine takes for the two duplicates
		target := targetOf(t, serve(t, b, guard(t, b, semelhttp.Config{Preset: p})))
		all.Go(func() {
			cfg := quick(profile.Name)
			cfg.Profile.KeepsAll = cfg.Profile.KeepsAll || p == semelhttp.GRPC // it holds the key of a 503, see docs/rpc.md
			cfg.Pace, cfg.RequestTimeout, cfg.Timeout = 5*fast, 10*time.Second, 2*time.Minute
			report, err := Run(t.Context(), target, cfg)
			if err != nil {
				t.Errorf("%s: %v", p, err)
				return
			}
			for _, res := range report.Results {
				switch {
				case res.Status == Failed:
					t.Errorf("%s: %s: %s\n%v", p, res.Rule.ID, res.Detail, res.Evidence)
				case res.Status == Skipped && res.Rule.Skipped(target, cfg.Profile) == "" && res.Rule.ID != "replay-hop":
					t.Errorf("%s: %s is skipped: %s", p, res.Rule.ID, res.Detail)
				}
			}
		})
	}
	all.Wait()
}

// A duplicate that waits is as good as one that is refused.
func TestDuplicatesMayWait(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &bank{header: hopping}
	report := mustRun(t, targetOf(t, serve(t, b, guard(t, b, semelhttp.Config{Wait: 2 * time.Second}))), quick("ietf"))
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("broken are", failed)
	}
	if got := resultOf(t, report, "flight-duplicate"); got.Status != Passed || !strings.Contains(got.Detail, "waited") {
		t.Errorf("got %v: %s", got.Status, got.Detail)
	}
}

func resultOf(t *testing.T, r *Report, id string) Result {
	t.Helper()
	for _, res := range r.Results {
		if res.Rule.ID == id {
			return res
		}
	}
	t.Fatalf("no rule %s", id)
	return Result{}
}

// Where a second run answers like the first, equal answers prove nothing: a rule passes only
// when a marker or the counter tells.
func TestEqualAnswersProveNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &bank{alike: true}
	server := serve(t, b, b)
	target := targetOf(t, server)
	counter := target.Effects
	target.Effects = Counter{}
	report := mustRun(t, target, quick("minimal"))
	for _, id := range []string{"replay-status", "replay-body", "replay-fresh", "concurrent-answers", "scope-replay", "key-quoted", "key-space", "cut-before", "cut-within", "upload-half"} {
		if got := resultOf(t, report, id); got.Status != Skipped {
			t.Errorf("%s without a counter: %v: %s", id, got.Status, got.Detail)
		}
	}
	target.Effects = counter
	report = mustRun(t, target, quick("minimal"))
	for _, id := range []string{"replay-effect", "concurrent-effect", "key-quoted", "cut-before", "cut-within", "cut-effect"} {
		if got := resultOf(t, report, id); got.Status != Failed {
			t.Errorf("%s with a counter: %v: %s", id, got.Status, got.Detail)
		}
	}
	inner := guard(t, b, semelhttp.Config{})
	report = mustRun(t, targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		rec.Header().Del(fieldReplayed)
		write(w, rec)
	}))), quick("minimal"))
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("a guarded one with a counter: broken are", failed)
	}
	if got := resultOf(t, report, "replay-body"); got.Status != Passed {
		t.Errorf("a guarded one with a counter: %v: %s", got.Status, got.Detail)
	}
}

// Cookies of a first answer are worth a note, whatever becomes of them.
func TestCookiesAreNoted(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &bank{header: http.Header{"Set-Cookie": {"session=t0psecret"}}}
	report := mustRun(t, targetOf(t, serve(t, b, guard(t, b, semelhttp.Config{}))), quick("ietf"))
	got := resultOf(t, report, "replay-cookie")
	if got.Status != Noted || report.Broken(Should) > 0 {
		t.Errorf("got %v: %s, broken are %v", got.Status, got.Detail, having(report, Failed))
	}
}

// OASIS marks every answer; a client that sees no mark must not believe that keys count.
func TestMarkOnEveryAnswer(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{Headers: []string{"Repeatability-Request-ID"}})
	marks := func(status int) bool { return status < 300 }
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		if r.Method == http.MethodPost && r.Header.Get("Repeatability-First-Sent") == "" && r.Header.Get("Repeatability-Request-Id") != "" {
			t.Errorf("a %s without the time of the first try", r.Method)
		}
		switch {
		case marks(rec.Code):
			rec.Header().Set("Repeatability-Result", "accepted")
		case rec.Code == http.StatusUnprocessableEntity:
			rec.Code = http.StatusBadRequest
		}
		write(w, rec)
	}))
	report := mustRun(t, targetOf(t, server), quick("oasis-repeatable"))
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("broken are", failed)
	}
	marks = func(int) bool { return false }
	report = mustRun(t, targetOf(t, server), quick("oasis-repeatable"))
	if got := resultOf(t, report, "replay-unmarked"); got.Status != Failed {
		t.Errorf("without the mark: %v: %s", got.Status, got.Detail)
	}
}

// A replay may have a status of its own, and show the resource as it is now, where the
// profile says so. paypal does not ask for a key either: PayPal wants one with a payment source only.
func TestReplayOfAnotherStatus(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{Headers: []string{"PayPal-Request-Id"}, Optional: true})
	server := serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		if isReplay(rec) && rec.Code == http.StatusCreated {
			rec.Code = http.StatusOK
		}
		rec.Header().Del(fieldReplayed)
		write(w, rec)
	}))
	report := mustRun(t, targetOf(t, server), quick("paypal"))
	if failed := having(report, Failed); len(failed) > 0 {
		tell(t, report)
		t.Error("broken are", failed)
	}
	if got := resultOf(t, report, "replay-status"); got.Status != Passed {
		t.Errorf("replay-status: %v: %s", got.Status, got.Detail)
	}
}

// A refusal may have the key in its own field where the API is documented to give it back, and nowhere else.
func TestEchoIsPromised(t *testing.T) {
	t.Parallel()
	for _, p := range Profiles() {
		s := newSession(Target{}, Config{Profile: p})
		k := newKey()
		s.refused(&exchange{note: "x", key: k, answer: &answer{status: 409, header: http.Header{http.CanonicalHeaderKey(p.Header): {k}}}})
		want := Failed
		if slices.Contains([]string{"stripe", "stripe-v2", "adyen"}, p.Name) {
			want = Passed
		}
		if v, err := refusalKey(t.Context(), s); err != nil || v.status != want {
			t.Errorf("%s: %v: %s, %v", p.Name, v.status, v.detail, err)
		}
	}
}

// An endpoint that sends back what it got answers a retry like the first although both ran:
// with a body for each operation that would look like a replay.
func TestEchoIsNoReplay(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	target := targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.payments.Add(1)
		_, _ = w.Write(content(r))
	})))
	target.Body, target.Effects = `{"amount": {{n}}}`, Counter{}
	report := mustRun(t, target, quick("minimal"))
	for _, id := range []string{"replay-status", "replay-body", "concurrent-answers", "key-quoted", "scope-replay"} {
		if got := resultOf(t, report, id); got.Status != Skipped {
			t.Errorf("%s: %v: %s", id, got.Status, got.Detail)
		}
	}
}

// What an endpoint refuses under a fresh key too says nothing about keys.
func TestControls(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	target := targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch body := string(content(r)); {
		case strings.Contains(body, "101"), r.URL.RawQuery != "", !strings.Contains(r.Header.Get("Content-Type"), "/json") && r.Method == http.MethodPost:
			http.Error(w, "no", http.StatusUnprocessableEntity) // as a conflict is answered
		case strings.Contains(r.Header.Get("Authorization"), "bob"):
			http.Error(w, "who?", http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, r)
		}
	})))
	report := mustRun(t, target, quick("ietf"))
	for _, id := range []string{"conflict-body", "conflict-harmless", "conflict-query", "conflict-media", "scope-replay", "scope-silent"} {
		if got := resultOf(t, report, id); got.Status != Skipped || !strings.Contains(got.Detail, "under a fresh key too") {
			t.Errorf("%s: %v: %s", id, got.Status, got.Detail)
		}
	}
	target.Body = `{"card": "visa"}`
	report = mustRun(t, target, quick("ietf"))
	if got := resultOf(t, report, "conflict-body"); got.Status != Skipped || !strings.Contains(got.Detail, "give --other-body") {
		t.Errorf("a body without a number: %v: %s", got.Status, got.Detail)
	}
	target.OtherBody = `{"card": "amex"}`
	report = mustRun(t, target, quick("ietf"))
	if got := resultOf(t, report, "conflict-body"); got.Status != Passed {
		t.Errorf("another body: %v: %s", got.Status, got.Detail)
	}
}
