package semelhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "done") }

// A key counts wherever it stands, and names the same slot everywhere.
func TestKeyPlaces(t *testing.T) {
	r := newRig(t, ok, func(c *semelhttp.Config) { c.KeyQuery, c.KeyMember = "request_id", "/meta/request~1id" })
	const body = `{"amount":1,"meta":{"request/id":"k-1"}}`
	for i, c := range []struct {
		header, path, body string
		status             int
		replayed           bool
	}{
		{"", "/payments", body, 200, false},
		{"", "/payments", body, 200, true},
		{"k-1", "/payments", body, 200, true},
		{`"k-1"`, "/payments", body, 200, true},
		{"k-1", "/payments", `{"amount":2}`, 422, false}, // the same slot
		{"", "/payments?request_id=k-1", `{"amount":1}`, 422, false},
		{"", "/payments?request_id=k%2D2", `{"amount":1}`, 200, false},
		{"k-2", "/payments?request_id=k-2", `{"amount":1}`, 422, false}, // another query
		{"", "/payments?request_id=k%2D2", `{"amount":1}`, 200, true},
		{"k-3", "/payments", body, 400, false},
		{"k-3", "/payments?request_id=k-4", `{}`, 400, false},
		{"", "/payments?request_id=k-4&request_id=k-4", `{}`, 400, false},
		{"", "/payments?request_id=", `{}`, 400, false},
		{"", "/payments?request_id=%zz", `{}`, 400, false},
		{"", "/payments", `{"meta":{"request/id":"k","REQUEST/ID":"k"}}`, 400, false},
		{"", "/payments", `{"meta":{"request/id":17}}`, 400, false},
		{"", "/payments", `{"meta":{"request/id":""}}`, 400, false},
		{"", "/payments", `{"meta":{"request/id":"k 1"}}`, 400, false},
		{"", "/payments", `{"meta":[]}`, 400, false},
		{"", "/payments", `{"meta":`, 400, false},
		{"", "/payments", `{"meta":{}}`, 400, false}, // missing
		{"", "/payments", `{}`, 400, false},
	} {
		a := r.do(r.request(http.MethodPost, c.path, c.header, c.body))
		if a.status != c.status || (a.header.Get("Idempotent-Replayed") == "true") != c.replayed {
			t.Errorf("%d: %s %s %q: got %d, replayed %q: %s", i, c.path, c.body, c.header, a.status, a.header.Get("Idempotent-Replayed"), a.body)
		}
	}
	r.wantRuns(2)
}

// A body that is no JSON has no key in it, and none where keys are optional passes, with its
// body.
func TestKeyMemberOfOtherBodies(t *testing.T) {
	echo := func(w http.ResponseWriter, q *http.Request) {
		var b strings.Builder
		_, _ = fmt.Fprint(&b, q.ContentLength, " ")
		buf := make([]byte, 100)
		n, _ := q.Body.Read(buf)
		b.Write(buf[:n])
		_, _ = fmt.Fprint(w, b.String())
	}
	for _, optional := range []bool{true, false} {
		r := newRig(t, echo, func(c *semelhttp.Config) { c.KeyMember, c.Optional = "/request_id", optional })
		for kind, body := range map[string]string{
			"text/plain": `{"request_id":"k"}`, "application/json": `{"amount":1}`, "": `{"request_id":"k"}`,
		} {
			q := r.request(http.MethodPost, "/payments", "", body)
			q.Header.Set("Content-Type", kind)
			a := r.do(q)
			if want := fmt.Sprint(len(body), " ", body); optional && (a.status != 200 || a.body != want) {
				t.Errorf("%q: got %d %q, want it passed on", kind, a.status, a.body)
			} else if !optional && a.status != 400 {
				t.Errorf("%q: got %d, want 400", kind, a.status)
			}
		}
		q := r.request(http.MethodPost, "/payments", "", `{"request_id":"k"}`)
		q.Header.Set("Content-Type", "application/merge-patch+json; charset=utf-8")
		if a := r.do(q); a.status != 200 || !strings.Contains(a.body, "request_id") {
			t.Errorf("got %d %q, want a guarded request", a.status, a.body)
		}
		n := r.runs.Load()
		if a := r.do(q.Clone(t.Context())); a.err != nil && r.runs.Load() != n {
			t.Error("a replay ran")
		}
	}
}

func TestKeyMemberIsAPointer(t *testing.T) {
	for _, bad := range []string{"request_id", "/a~2b", "a/b"} {
		if _, err := semelhttp.New(newRig(t, ok, nil).engine, semelhttp.Global(), semelhttp.Config{KeyMember: bad}); err == nil {
			t.Errorf("%q is taken for a pointer", bad)
		}
	}
}
