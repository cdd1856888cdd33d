package verify

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// A client can leave an answer in the middle only when it has begun: an endpoint that hangs
// up before is not said to have run twice.
func TestNoAnswerToLeave(t *testing.T) {
	t.Parallel() // it mostly waits
	b := new(bank)
	inner := guard(t, b, semelhttp.Config{})
	var seen sync.Map
	target := targetOf(t, serve(t, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, known := seen.LoadOrStore(key(r), true); !known && b.payments.Load() > 2 { // what a run begins with is served
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(w, r)
	})))
	got := resultOf(t, mustRun(t, target, quick("ietf")), "cut-within")
	if got.Status != Skipped || !strings.Contains(got.Detail, "no answer began") {
		t.Errorf("cut-within: %v: %s", got.Status, got.Detail)
	}
}
