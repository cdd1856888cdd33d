package semelhttp_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// heldReasons returns the reasons of the lines about held attempts.
func (r *rig) heldReasons() []string {
	var found []string
	for line := range strings.Lines(r.log.String()) {
		if _, rest, ok := strings.Cut(line, `msg="an attempt is held: its outcome is not known" reason=`); ok {
			reason, _, _ := strings.Cut(rest, " ref=")
			found = append(found, strings.Trim(reason, `"`))
		}
	}
	return found
}

// TestHeldReason: the line of a held attempt says why it is held, once, with nothing of
// the request or the answer.
func TestHeldReason(t *testing.T) {
	rules := func(c *semelhttp.Config) {
		c.Settle = semelhttp.SettleBy(semelhttp.Settle, semelhttp.SettleRule{From: 404, To: 404, How: semel.Unknown})
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		change  func(*semelhttp.Config)
		want    string
	}{
		"panic":  {func(http.ResponseWriter, *http.Request) { panic("secret-amount") }, nil, "panic"},
		"abort":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "panic"},
		"goexit": {func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, nil, "panic"},
		"502":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, nil, "status 502 by the settle table"},
		"rule":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, rules, "status 404 by the settle table"},
		"hold": {func(_ http.ResponseWriter, r *http.Request) {
			semel.FromContext(r.Context()).Settle(semel.Unknown)
		}, nil, "the handler said hold"},
		"own words": {func(_ http.ResponseWriter, r *http.Request) {
			semel.FromContext(r.Context()).Doubt("card network timed out")
			panic("secret-amount")
		}, nil, "card network timed out"},
		"short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "20")
			io.WriteString(w, "secret-amount")
		}, nil, "the answer has another length than it declares"},
		"flushed": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(504)
			w.(http.Flusher).Flush()
		}, nil, "status 504 by the settle table"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.handler, c.change)
			_ = r.post(secretKey, "secret-amount")
			r.wantProblem(r.post(secretKey, "secret-amount"), 409, semelhttp.ProblemOutcomeUnknown)
			if got := r.heldReasons(); len(got) != 1 || got[0] != c.want {
				t.Errorf("got the reasons %q, want %q", got, c.want)
			}
		})
	}
}

// TestHeldReasonOfRefusal: a handler that refuses in Semel's words holds for that reason.
func TestHeldReasonOfRefusal(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
		r.mw.Refuse(w, q, semelhttp.ProblemOutcomeUnknown, 504)
	}, nil)
	r.wantProblem(r.post(secretKey, "x"), 504, semelhttp.ProblemOutcomeUnknown)
	if got := r.heldReasons(); len(got) != 1 || got[0] != "refused as outcome_unknown" {
		t.Errorf("got the reasons %q, want that it was refused", got)
	}
}
