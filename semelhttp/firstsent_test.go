package semelhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func sentAt(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// oasis sends a request with the fields of OASIS Repeatable Requests; an empty one is
// left out.
func oasis(h http.Handler, id, sent string) int {
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	for name, value := range map[string]string{"Repeatability-Request-ID": id, headerFirstSent: sent} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// The bounds of First-Sent, to the second, for a long and for a short retention.
func TestFirstSentBounds(t *testing.T) {
	for retention, skew := range map[time.Duration]time.Duration{24 * time.Hour: maxSkew, 8 * time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			h := withConfig(t, Config{Preset: OASISRepeatable, Retention: retention}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			for _, c := range []struct {
				ago  time.Duration
				want int
			}{
				{0, 200},
				{-skew, 200},
				{-skew - time.Second, 400},
				{retention - 2*skew, 200},
				{retention - 2*skew + time.Second, 412},
				{100 * 365 * 24 * time.Hour, 412},
			} {
				sent := sentAt(time.Now().Add(-c.ago))
				if got := oasis(h, c.ago.String(), sent); got != c.want { // each its own key
					t.Errorf("retention %v, first sent %v ago: got %d, want %d", retention, c.ago, got, c.want)
				}
			}
		})
	}
}

// I10: with First-Sent no retry runs again, however late it comes and however wrong the
// clock of its client is, as long as it sends what it sent first.
func TestFirstSentNeverRunsAgain(t *testing.T) {
	const retention = time.Hour
	for off := -20 * time.Minute; off <= 20*time.Minute; off += time.Minute {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			h := withConfig(t, Config{Preset: OASISRepeatable, Retention: retention}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
			time.Sleep(30 * time.Minute)
			sent := sentAt(time.Now().Add(off))
			for range 200 {
				oasis(h, "k", sent)
				time.Sleep(time.Minute)
			}
			if runs > 1 || runs == 0 && off >= -maxSkew && off <= maxSkew {
				t.Errorf("a clock that is off by %v: got %d runs", off, runs)
			}
		})
	}
}

// I10: a retry whose head is in time and whose body is not does not run again either.
func TestFirstSentOfASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		h := withConfig(t, Config{Preset: OASISRepeatable, Retention: time.Hour}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
		sent := sentAt(time.Now())
		send := func(takes time.Duration) int {
			r := httptest.NewRequest(http.MethodPost, "/", &slowBody{takes: takes})
			r.Header.Set("Repeatability-Request-ID", "k")
			r.Header.Set(headerFirstSent, sent)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		send(0)
		time.Sleep(49 * time.Minute)
		if got := send(12 * time.Minute); got != http.StatusPreconditionFailed || runs != 1 {
			t.Errorf("got %d and %d runs, want 412 and one", got, runs)
		}
	})
}

// slowBody is empty, and says so late.
type slowBody struct{ takes time.Duration }

func (b *slowBody) Read([]byte) (int, error) {
	time.Sleep(b.takes)
	return 0, io.EOF
}

// Half of the fields that belong together is refused also where a key is optional; neither
// is a request that nobody wants guarded.
func TestFirstSentAlone(t *testing.T) {
	now := sentAt(time.Now())
	for _, c := range []struct {
		optional bool
		id, sent string
		want     int
	}{
		{false, "", now, 400},
		{true, "", now, 400},
		{false, "k", "", 400},
		{true, "k", "", 400},
		{false, "", "", 400},
		{true, "", "", 200},
		{true, "k", now, 200},
	} {
		for _, member := range []string{"", "/id"} {
			h := withConfig(t, Config{Preset: OASISRepeatable, Optional: c.optional, KeyMember: member}).
				Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			if got := oasis(h, c.id, c.sent); got != c.want {
				t.Errorf("optional %v, id %q, first sent %q: got %d, want %d", c.optional, c.id, c.sent, got, c.want)
			}
		}
	}
}

// A shadow refuses nothing and tells what would have been refused.
func TestFirstSentInAShadow(t *testing.T) {
	now := time.Now()
	for sent, want := range map[string]Problem{
		"": ProblemKeyInvalid, "yesterday": ProblemKeyInvalid, sentAt(now.Add(time.Hour)): ProblemKeyInvalid,
		sentAt(now.Add(-48 * time.Hour)): ProblemRequestTooOld, sentAt(now): "",
	} {
		var would []Shadowed
		h := withConfig(t, Config{Preset: OASISRepeatable, Shadow: func(_ *http.Request, s Shadowed) { would = append(would, s) }}).
			Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if got := oasis(h, "k", sent); got != 200 || len(would) != 1 || would[0].Problem != want || (want != "") != (would[0].Err != nil) {
			t.Errorf("first sent %q: got %d, %+v, want %q", sent, got, would, want)
		}
	}
}

// First-Sent is needed beside a key that the body has, too, and before anything runs.
func TestFirstSentBesideTheBody(t *testing.T) {
	now := time.Now()
	for sent, want := range map[string]int{"": 400, sentAt(now.Add(-48 * time.Hour)): 412, sentAt(now): 200} {
		ran, shadowed := 0, Shadowed{}
		cfg := Config{Preset: OASISRepeatable, KeyMember: "/id"}
		for _, shadow := range []bool{false, true} {
			if shadow {
				cfg.Shadow = func(_ *http.Request, s Shadowed) { shadowed = s }
			}
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"id":"k"}`))
			r.Header.Set("Content-Type", "application/json")
			if sent != "" {
				r.Header.Set(headerFirstSent, sent)
			}
			w := httptest.NewRecorder()
			withConfig(t, cfg).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran++ })).ServeHTTP(w, r)
			if !shadow && (w.Code != want || (ran == 1) != (want == 200)) || shadow && w.Code != 200 {
				t.Errorf("first sent %q, in a shadow %v: got %d after %d runs, want %d", sent, shadow, w.Code, ran, want)
			}
		}
		if (shadowed.Problem == "") != (want == 200) || want != 200 && shadowed.Problem.Details().Status != want {
			t.Errorf("first sent %q: a shadow tells %q, want what has %d", sent, shadowed.Problem, want)
		}
	}
}

// The longest key counts wherever a key may stand.
func TestLongestKeyIsEverywhere(t *testing.T) {
	h := withConfig(t, Config{MaxKey: 4, KeyQuery: "key", KeyMember: "/id"}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for key, want := range map[string]int{"abcd": 200, "abcde": 400} {
		head := httptest.NewRequest(http.MethodPost, "/head", http.NoBody)
		head.Header.Set(DefaultHeader, `"`+key+`"`)
		query := httptest.NewRequest(http.MethodPost, "/query?key="+key, http.NoBody)
		body := httptest.NewRequest(http.MethodPost, "/body", strings.NewReader(`{"id":"`+key+`"}`))
		body.Header.Set("Content-Type", "application/json")
		for _, r := range []*http.Request{head, query, body} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want && w.Code != http.StatusUnprocessableEntity { // one key, three requests
				t.Errorf("%s with %d bytes: got %d %s, want %d", r.URL.Path, len(key), w.Code, w.Body, want)
			}
			if want == 400 && w.Code != 400 {
				t.Errorf("%s: a long key got %d", r.URL.Path, w.Code)
			}
		}
	}
}

func FuzzFirstSent(f *testing.F) {
	for _, seed := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Mon, 06 Nov 1994 08:49:37 GMT",
		"sun, 06 nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37.5 GMT",
		"Sat, 31 Dec 2016 23:59:60 GMT", "Thu, 30 Feb 2023 00:00:00 GMT", " Sun, 06 Nov 1994 08:49:37 GMT", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		sent, err := parseFirstSent([]string{line})
		if err != nil {
			if bad := (*KeyError)(nil); !errors.As(err, &bad) {
				t.Errorf("%q: got %T, want a sentence for the client", line, err)
			}
			return
		}
		if sentAt(sent) != line || sent.Location() != time.UTC {
			t.Errorf("%q is read as %v", line, sent)
		}
	})
}
