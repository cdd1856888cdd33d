package verify

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestCounter(t *testing.T) {
	for _, row := range []struct {
		url, body string
		want      int64 // -1: an error
	}{
		{"http://h/", "7", 7},
		{"http://h/", " 7\n", 7},
		{"http://h/", "9007199254740993", 9007199254740993}, // not by way of a float
		{"http://h/", "", -1},
		{"http://h/", "7 8", -1},
		{"http://h/", "7x", -1},
		{"http://h/", "seven", -1},
		{"http://h/", "7.5", -1},
		{"http://h/", `"7"`, -1},
		{"http://h/", `{"n": 7}`, -1},
		{"http://h/#/n", `{"n": 7}`, 7},
		{"http://h/#/n", `{"m": 7}`, -1},
		{"http://h/#/a/1/b", `{"a": [0, {"b": 7}]}`, 7},
		{"http://h/#/a/2", `{"a": [0, 1]}`, -1},
		{"http://h/#/a/-1", `{"a": [0, 1]}`, -1},
		{"http://h/#/a~1b/~0", `{"a/b": {"~": 7}}`, 7},
		{"http://h/#/~01", `{"~1": 7}`, 7},
		{"http://h/#/", `{"": 7}`, 7},
	} {
		c, err := ParseCounter(row.url)
		if err != nil {
			t.Fatalf("%s: %v", row.url, err)
		}
		got, err := c.parse([]byte(row.body))
		if err != nil {
			got = -1
		}
		if got != row.want {
			t.Errorf("%s of %s: got %d, %v, want %d", row.url, row.body, got, err, row.want)
		}
	}
	for _, text := range []string{"", "h/stats", "ftp://h/", "http://", "http://h/#n", "http://u:p@h/", "http://h/%zz"} {
		if c, err := ParseCounter(text); err == nil {
			t.Errorf("%s is taken: %+v", text, c)
		}
	}
}

// Whatever a counter answers, a number is one that stands in it.
func FuzzCounter(f *testing.F) {
	for _, seed := range [][2]string{{"", "7"}, {"/n", `{"n": 7}`}, {"/a/0", `{"a": [7]}`}, {"/~0/~1", `{"~": {"/": 1}}`}, {"/", `{"": -1}`}, {"/n", `{"n": 1e3}`}} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, pointer string, body []byte) {
		n, err := Counter{Pointer: pointer}.parse(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is not JSON and counts %d", body, n)
		}
		if pointer == "" {
			if got, err := strconv.ParseInt(string(json.RawMessage(trim(body))), 10, 64); err != nil || got != n {
				t.Fatalf("%q counts %d", body, n)
			}
		}
	})
}

func trim(body []byte) []byte {
	var n json.Number
	_ = json.Unmarshal(body, &n)
	return []byte(n)
}

func TestOtherBody(t *testing.T) {
	for body, want := range map[string]string{
		`{"amount": 100, "n": 7}`:   `{"amount": 101, "n": 7}`,
		`[{"a": "1"}, -1]`:          `[{"a": "1"}, 0]`,
		`{"rate": 1.5, "amount":9}`: `{"rate": 1.5, "amount":10}`,
		`{"n": {{n}}}`:              `{"n": {{n}}}`, // is another one for each operation
		`{"card": "visa"}`:          "",
		`amount=100`:                "",
		``:                          "",
	} {
		s := newSession(Target{Body: body}, Config{})
		if got, _ := s.otherBody(); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

// Another body is as valid as the first, and is another one.
func FuzzOtherBody(f *testing.F) {
	for _, seed := range []string{`{"amount": 100}`, `[1, 2]`, `7`, `{"a": 9223372036854775807}`, `{"a": "1", "b": -0}`, `x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		other, ok := newSession(Target{Body: body}, Config{}).otherBody()
		if !ok || strings.Contains(body, "{{n}}") {
			return
		}
		if other == body || json.Valid([]byte(body)) && !json.Valid([]byte(other)) {
			t.Fatalf("%s becomes %s", body, other)
		}
	})
}
