package semelhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAttemptsFromIsFalseForOthers(t *testing.T) {
	r := request(t, "POST", "")
	for _, resp := range []*http.Response{nil, {}, {Request: r}} {
		if got, ok := AttemptsFrom(resp); ok || got != (Attempts{}) {
			t.Errorf("got %v, %v", got, ok)
		}
	}
}

// silent answers without saying for which request, as a RoundTripper may.
type silent struct{}

func (silent) RoundTrip(*http.Request) (*http.Response, error) { return response(200, ""), nil }

func TestAttemptsAreToldForAnyBase(t *testing.T) {
	got := mustTrip(t, mustTransport(t, silent{}, TransportConfig{}), request(t, "POST", ""))
	if !got.told || got.attempts.Count != 1 {
		t.Errorf("got %+v, want one attempt", got)
	}
}

func TestAttemptsDoNotPrintTheKey(t *testing.T) {
	a := Attempts{Count: 2, Replayed: true, Key: "s3cr3t"}
	asJSON, err := json.Marshal(struct{ A Attempts }{a})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a), fmt.Sprintf("%v", &a), fmt.Sprintf("%d", a), fmt.Sprintf("%x", a), fmt.Sprintf("%#v", []Attempts{a}), string(asJSON),
	} {
		if strings.Contains(text, a.Key) || strings.Contains(text, fmt.Sprintf("%x", a.Key)) {
			t.Errorf("the key is in %s", text)
		}
	}
	if got, want := a.String(), "2 attempts, replayed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
