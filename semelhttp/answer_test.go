package semelhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// The first answer names the record as later ones do: it may be the only one
// that a client keeps.
func TestRefuseNamesTheRecord(t *testing.T) {
	mw := nestedMiddleware(t, semelhttp.Config{})
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mw.Refuse(w, r, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout)
	})
	first, again := postTo(t, mw.Wrap(refuse), "k"), postTo(t, mw.Wrap(refuse), "k")
	if first.Code != 504 || again.Code != 409 {
		t.Errorf("got %d, then %d, want 504, then 409", first.Code, again.Code)
	}
	if got, want := members(t, first)["ref"], members(t, again)["ref"]; got != want || want == nil {
		t.Errorf("got the reference %v, then %v", got, want)
	}
	if got, found := members(t, postTo(t, refuse, "k"))["ref"]; found {
		t.Errorf("got the reference %v without a claim", got)
	}
}

// A detail is a sentence, as those of the table are.
func TestRefusedKeyIsToldInASentence(t *testing.T) {
	handler := nestedMiddleware(t, semelhttp.Config{}).Wrap(http.HandlerFunc(pay))
	got := members(t, postTo(t, handler, "a b"))["detail"]
	if want := "The idempotency key has a byte that is not visible ASCII."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// members reads a problem.
func members(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
