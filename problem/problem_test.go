package problem_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/semel-go/semel/problem"
)

func TestMarshalWritesMembersInOrder(t *testing.T) {
	got, err := json.Marshal(problem.Details{
		Type: "https://example.com/p", Title: "T", Status: 409, Detail: "D", Instance: "/i/1", Code: "c",
		Retryable: true, ReuseKey: true, Extra: map[string]any{"zeta": 1, "alpha": []string{"x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"https://example.com/p","title":"T","status":409,"detail":"D","instance":"/i/1","code":"c",` +
		`"retryable":true,"reuse_key":true,"alpha":["x"],"zeta":1}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMarshalOfZeroTellsTheFlags(t *testing.T) {
	got, err := json.Marshal(problem.Details{})
	if want := `{"retryable":false,"reuse_key":false}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestExtraCannotOverride(t *testing.T) {
	d := problem.Details{Status: 409, Extra: map[string]any{
		"type": "x", "title": "x", "status": 200, "detail": "x", "instance": "x", "code": "x",
		"retryable": true, "reuse_key": true, "kept": "yes",
	}}
	got, err := json.Marshal(d)
	if want := `{"status":409,"retryable":false,"reuse_key":false,"kept":"yes"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestMarshalReportsWhatIsNotJSON(t *testing.T) {
	_, err := json.Marshal(problem.Details{Extra: map[string]any{"n": math.NaN()}})
	if err == nil {
		t.Error("got no error for NaN")
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	h := w.Header()
	for _, name := range []string{
		"Content-Encoding", "ETag", "Last-Modified", "Content-Range", "Accept-Ranges", "Expires", "Trailer",
		"Content-Language", "Content-Location", "Content-Disposition", "Transfer-Encoding",
	} {
		h.Set(name, "left by a handler")
	}
	h.Set("Content-Length", "999")
	h.Set("Cache-Control", "max-age=60")
	h.Set("Retry-After", "1")

	problem.Details{Status: 409, Title: "a <b>", Extra: map[string]any{"bad": func() {}, "good": 1}}.Write(w)

	if w.Code != 409 {
		t.Errorf("got status %d, want 409", w.Code)
	}
	wantBody := `{"title":"a <b>","status":409,"retryable":false,"reuse_key":false,"good":1}`
	if w.Body.String() != wantBody {
		t.Errorf("got body  %s\nwant      %s", w.Body, wantBody)
	}
	wantHeader := http.Header{
		"Content-Type": {"application/problem+json"}, "Content-Length": {"75"}, "Cache-Control": {"no-store"},
		"X-Content-Type-Options": {"nosniff"}, "Retry-After": {"1"},
	}
	if got := w.Result().Header; !reflect.DeepEqual(got, wantHeader) {
		t.Errorf("got header  %v\nwant header %v", got, wantHeader)
	}
}

func TestWriteTurnsAStatusThatIsNoErrorInto500(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 100, 200, 204, 304, 399, 600, 1000} {
		w := httptest.NewRecorder()
		problem.Details{Status: status}.Write(w)
		d, err := problem.Parse(w.Header().Get("Content-Type"), w.Body.Bytes())
		if w.Code != 500 || d.Status != 500 || err != nil {
			t.Errorf("status %d: got %d and member %d (%v), want 500 twice", status, w.Code, d.Status, err)
		}
	}
}

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want problem.Details
	}{
		"all members": {
			`{"type":"u","title":"t","status":409,"detail":"d","instance":"i","code":"c","retryable":true,"reuse_key":true}`,
			problem.Details{
				Type: "u", Title: "t", Status: 409, Detail: "d", Instance: "i", Code: "c",
				Retryable: true, ReuseKey: true,
			},
		},
		"empty object": {`{}`, problem.Details{}},
		// RFC 9457 section 3.1: a member of the wrong type is ignored.
		"wrong types": {
			`{"type":1,"title":null,"status":"409","detail":[],"instance":{},"code":true,"retryable":"true","reuse_key":1}`,
			problem.Details{},
		},
		"status is no status":  {`{"status":99}`, problem.Details{}},
		"status over the end":  {`{"status":600}`, problem.Details{}},
		"status is a fraction": {`{"status":409.5}`, problem.Details{}},
		"status is huge":       {`{"status":1e400}`, problem.Details{}},
		"other members": {
			`{"balance":30,"big":9007199254740993,"accounts":["/a"],"Title":"x","nothing":null}`,
			problem.Details{Extra: map[string]any{
				"balance": json.Number("30"), "big": json.Number("9007199254740993"),
				"accounts": []any{"/a"}, "Title": "x", "nothing": nil,
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := problem.Parse("Application/Problem+JSON ; charset=utf-8", []byte(tc.body))
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %#v, %v\nwant %#v", got, err, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, body string
		want              error
	}{
		"other type":   {"application/json", `{}`, problem.ErrNotProblem},
		"longer type":  {"application/problem+jsonx", `{}`, problem.ErrNotProblem},
		"no type":      {"", `{}`, problem.ErrNotProblem},
		"empty body":   {problem.ContentType, ``, problem.ErrMalformed},
		"null":         {problem.ContentType, `null`, problem.ErrMalformed},
		"array":        {problem.ContentType, `[]`, problem.ErrMalformed},
		"cut short":    {problem.ContentType, `{"title":"x"`, problem.ErrMalformed},
		"two values":   {problem.ContentType, `{} {}`, problem.ErrMalformed},
		"one byte too": {problem.ContentType, `{}` + strings.Repeat(" ", problem.MaxLen-1), problem.ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := problem.Parse(tc.contentType, []byte(tc.body))
			if !errors.Is(err, tc.want) || !reflect.DeepEqual(got, problem.Details{}) {
				t.Errorf("got %#v, %v, want nothing and %v", got, err, tc.want)
			}
		})
	}
	if _, err := problem.Parse(problem.ContentType, []byte(`{}`+strings.Repeat(" ", problem.MaxLen-2))); err != nil {
		t.Errorf("got %v for a body of exactly MaxLen bytes", err)
	}
}

// FuzzParse checks that no body makes Parse panic, and that what it returns
// survives being written and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"type":"u","status":409,"retryable":true,"x":{"y":[1.10,"z"]}}`,
		`{"title":"\ud800","status":1e2}`, `{"":0,"a":{"a":{"a":null}}}`, `{"a":1,"a":2}`, "{\"\xff\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := problem.Parse(problem.ContentType, body)
		if err != nil {
			if !reflect.DeepEqual(d, problem.Details{}) {
				t.Fatalf("got %#v beside the error %v", d, err)
			}
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("what was parsed cannot be written: %v", err)
		}
		if len(again) > problem.MaxLen { // escapes may make it longer
			return
		}
		back, err := problem.Parse(problem.ContentType, again)
		if err != nil || !reflect.DeepEqual(back, d) {
			t.Errorf("wrote %s\ngot  %#v, %v\nwant %#v", again, back, err, d)
		}
		w := httptest.NewRecorder()
		d.Write(w)
		if !json.Valid(w.Body.Bytes()) || !bytes.HasPrefix(w.Body.Bytes(), []byte("{")) {
			t.Errorf("Write sent %q", w.Body)
		}
	})
}
