package semelhttp

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

type formPart struct{ header, content string }

// form renders parts as net/http clients do.
func form(t testing.TB, boundary string, parts ...formPart) string {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {p.header}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(p.content))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func formPrint(t testing.TB, boundary, body string) semel.Fingerprint {
	t.Helper()
	r, b := post("/", `multipart/form-data; boundary="`+boundary+`"`, body)
	return mustPrint(t, Fingerprint{Multipart: true}, r, b)
}

func TestMultipartIgnoresTheBoundary(t *testing.T) {
	parts := []formPart{{`form-data; name="a"`, "1"}, {`form-data; name="file"; filename="x"`, "\x00\r\n--\r\n"}, {`form-data; name="e"`, ""}}
	want := formPrint(t, "one", form(t, "one", parts...))
	if got := formPrint(t, "another", form(t, "another", parts...)); got != want {
		t.Error("another boundary gives another fingerprint")
	}
	r, body := post("/", "multipart/form-data; boundary=one", form(t, "one", parts...))
	if mustPrint(t, Fingerprint{}, r, body) == want {
		t.Error("the raw and the canonical form meet")
	}
}

// TestMultipartCountsTheRest lists what differs beside the boundary (I5).
func TestMultipartCountsTheRest(t *testing.T) {
	a, b := formPart{`form-data; name="a"`, "1"}, formPart{`form-data; name="b"`, "2"}
	seen := map[semel.Fingerprint]string{}
	for name, body := range map[string]string{
		"base":          form(t, "x", a, b),
		"order":         form(t, "x", b, a),
		"one part":      form(t, "x", a),
		"no parts":      "--x--\r\n",
		"again":         form(t, "x", a, b, b),
		"content":       form(t, "x", a, formPart{b.header, "3"}),
		"header":        form(t, "x", a, formPart{`form-data; name="c"`, "2"}),
		"swapped":       form(t, "x", formPart{a.header, "2"}, formPart{b.header, "1"}),
		"joined":        form(t, "x", formPart{a.header, "1\r\n--y\r\nContent-Disposition: " + b.header + "\r\n\r\n2"}),
		"preamble":      "hello\r\n" + form(t, "x", a, b),
		"epilogue":      form(t, "x", a, b) + "hello",
		"closed twice":  form(t, "x", a, b) + "--x--",
		"not closed":    strings.TrimSuffix(form(t, "x", a, b), "--x--\r\n"),
		"other marks":   form(t, "y", a, b),
		"not multipart": "hello",
		"empty":         "",
	} {
		fp := formPrint(t, "x", body)
		if other, ok := seen[fp]; ok {
			t.Errorf("%q and %q have one fingerprint", name, other)
		}
		seen[fp] = name
	}
}

func TestMultipartFallsBackToRawBytes(t *testing.T) {
	one := form(t, "x", formPart{"form-data", "1"})
	many := form(t, "x", make([]formPart, maxParts+1)...)
	for name, tc := range map[string]struct{ contentType, body string }{
		"no boundary":    {"multipart/form-data", one},
		"empty boundary": {`multipart/form-data; boundary=""`, one},
		"bad parameters": {"multipart/form-data; boundary=x; boundary=y", one},
		"too many parts": {"multipart/form-data; boundary=x", many},
		"bad header":     {"multipart/form-data; boundary=x", "--x\r\nno colon\r\n\r\n1\r\n--x--\r\n"},
		"other type":     {"multipart/mixed; boundary=x", one},
	} {
		r, body := post("/", tc.contentType, tc.body)
		if mustPrint(t, Fingerprint{Multipart: true}, r, body) != mustPrint(t, Fingerprint{}, r, body) {
			t.Errorf("%s: is not compared byte by byte", name)
		}
	}
	fits := form(t, "x", make([]formPart, maxParts)...)
	r, body := post("/", "multipart/form-data; boundary=x", fits)
	if mustPrint(t, Fingerprint{Multipart: true}, r, body) == mustPrint(t, Fingerprint{}, r, body) {
		t.Error("a form with many parts is compared byte by byte")
	}
}

// FuzzMultipart checks that no body panics, that a form keeps its fingerprint
// under another boundary, and that another content changes it.
func FuzzMultipart(f *testing.F) {
	f.Add([]byte("--x\r\nA: 1\r\n\r\n1\r\n--x--\r\n"), "1", "2")
	f.Add([]byte("--x--"), "", "\r\n--x--\r\n")
	f.Add([]byte("--x\n\n\n--x--\n"), "a\r\nb", "--")
	f.Fuzz(func(t *testing.T, raw []byte, one, two string) {
		_ = formPrint(t, "x", string(raw))

		const b1, b2 = "first-boundary-of-this-test", "second-boundary-of-this-test"
		if strings.Contains(one+two, "-boundary-of-this-test") {
			return
		}
		parts := []formPart{{`form-data; name="a"`, one}, {`form-data; name="b"`, two}}
		want := formPrint(t, b1, form(t, b1, parts...))
		if formPrint(t, b2, form(t, b2, parts...)) != want {
			t.Errorf("%q, %q: another boundary gives another fingerprint", one, two)
		}
		changed := []formPart{parts[0], {parts[1].header, two + "x"}}
		if formPrint(t, b1, form(t, b1, changed...)) == want {
			t.Errorf("%q, %q: another content has the same fingerprint", one, two)
		}
		if one != two {
			parts[0].content, parts[1].content = two, one
			if formPrint(t, b1, form(t, b1, parts...)) == want {
				t.Errorf("%q, %q: swapped contents have the same fingerprint", one, two)
			}
		}
	})
}

func ExampleFingerprint_Of() {
	f := Fingerprint{JSON: true, ExcludeMembers: []string{"/sent_at"}}
	r1, first := post("/payments", "application/json", `{"amount": 1.10, "to": "b", "sent_at": 1}`)
	r2, retry := post("/payments", "application/json", `{"to":"b","sent_at":2,"amount":1.10}`)
	r3, other := post("/payments", "application/json", `{"to":"b","sent_at":2,"amount":1.1}`)
	a, _ := f.Of(r1, first)
	b, _ := f.Of(r2, retry)
	c, _ := f.Of(r3, other)
	fmt.Println("retry is the same:", a == b)
	fmt.Println("another literal is not:", a != c)
	// Output:
	// retry is the same: true
	// another literal is not: true
}
