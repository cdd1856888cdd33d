package semelhttp

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestParseKeyTakesWhatClientsSend has one row for each shape that SDKs put on
// the wire, and for each way to write the same key as a structured field.
func TestParseKeyTakesWhatClientsSend(t *testing.T) {
	long := strings.Repeat("k", 255)
	for value, want := range map[string]string{
		"8e03978e-40d5-43dd-bc93-6894a57f9324":                   "8e03978e-40d5-43dd-bc93-6894a57f9324", // not a Token: begins with a digit
		"ae03978e-40d5-43dd-bc93-6894a57f9324":                   "ae03978e-40d5-43dd-bc93-6894a57f9324",
		"1795423089611072448_Yucm_A":                             "1795423089611072448_Yucm_A",
		"stripe-node-retry-8e03978e-40d5-43dd-bc93-6894a57f9324": "stripe-node-retry-8e03978e-40d5-43dd-bc93-6894a57f9324",
		"q83vEjRWeJCrze8SNFZ4kA==":                               "q83vEjRWeJCrze8SNFZ4kA==",
		"a/b+c/d=":                                               "a/b+c/d=",
		"order-1":                                                "order-1",
		"12345":                                                  "12345",
		"a,b":                                                    "a,b",
		"a;p=1":                                                  "a;p=1", // bare: no parameters
		`a\b`:                                                    `a\b`,
		`"a\\b"`:                                                 `a\b`,
		`"a\"b"`:                                                 `a"b`,
		`"\\"`:                                                   `\`,
		`"\""`:                                                   `"`,
		`"\"\\\""`:                                               `"\"`,
		`"8e03978e-40d5-43dd-bc93-6894a57f9324"`:                 "8e03978e-40d5-43dd-bc93-6894a57f9324",
		" \t order-1\t ":                                         "order-1",
		" \t \"order-1\"\t ":                                     "order-1",
		`"k";p=1`:                                                "k",
		`"k";p`:                                                  "k",
		`"k"; p`:                                                 "k",
		`"k";a=-1;b=1.5;c="x;y\"";d=t/k:n;e=:aGk=:;f=?1;g=@-1;*h`: "k",
		`"k";d=%"f%c3%bc"`:                    "k",
		`"k";a_-.*9=*t`:                       "k",
		`"k";e=::`:                            "k",
		`"k";a=999999999999999`:               "k",
		`"k";a=999999999999.999`:              "k",
		long:                                  long,
		`"` + long + `"`:                      long,
		`"` + strings.Repeat(`\"`, 255) + `"`: strings.Repeat(`"`, 255),
		"~!@#$%^&*()_+{}|:<>?[]',./":          "~!@#$%^&*()_+{}|:<>?[]',./",
	} {
		got, err := ParseKey([]string{value})
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", value, got, err, want)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, values := range [][]string{
		nil,
		{""},
		{" \t"},
		{`""`},
		{"k", "k"}, // repeated, though equal
		{"k", ""},
		{"a b"},
		{"k, k"}, // two lines that a proxy joined
		{`"k", "k"`},
		{`"k","k"`},
		{`"a b"`},
		{strings.Repeat("k", 256)},
		{`"` + strings.Repeat("k", 256) + `"`},
		{`abc"`},
		{`a"b`},
		{`"abc`},
		{`"`},
		{`"abc\"`},
		{`"abc\`},
		{`"a\c"`},
		{`"abc"d`},
		{`"abc" ;p`},
		{"a\x00b"},
		{"a\x7f"},
		{"a\r\nb"},
		{"ключ"},
		{"\"\u00e9\""},
		{"\"a\tb\""},
		{`"k";`},
		{`"k";P`},
		{`"k";1`},
		{`"k";p=`},
		{`"k";p =1`},
		{`"k";p=1;`},
		{`"k";p=-`},
		{`"k";p=1.`},
		{`"k";p=1.1234`},
		{`"k";p=1234567890123.1`},
		{`"k";p=1234567890123456`},
		{`"k";p=--1`},
		{`"k";p=@1.5`},
		{`"k";p=@`},
		{`"k";p=?2`},
		{`"k";p=?`},
		{`"k";p=:aGk=`},
		{`"k";p=:a:`},
		{"\"k\";p=:aGk=\n:"},
		{`"k";p="x`},
		{`"k";p=%x`},
		{`"k";p=%"%C3%BC"`},
		{`"k";p=%"%c3"`},
		{`"k";p=%"%g0"`},
		{`"k";p=%"%c`},
		{`"k";p=%"x`},
		{"\"k\";p=%\"\x01\""},
		{`"k";p=(1 2)`},
		{`"k";p==`},
	} {
		got, err := ParseKey(values)
		var refused *KeyError
		if !errors.As(err, &refused) || refused.Reason == "" || got != "" {
			t.Errorf("%q: got %q, %v, want a KeyError", values, got, err)
		}
	}
}

func TestKeyErrorNeverContainsTheKey(t *testing.T) {
	const secret = "s3cr3t"
	for _, values := range [][]string{
		{secret + " x"},
		{secret, secret},
		{`"` + secret},
		{secret + `"`},
		{secret + "\x01"},
		{`"` + secret + `" x`},
		{strings.Repeat(secret, 60)},
	} {
		if _, err := ParseKey(values); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got the error %v", values, err)
		}
	}
}

func TestParseKeyDoesNotAllocate(t *testing.T) {
	bare, quoted := []string{" order-1 "}, []string{`"order-1";p=1`}
	h := http.Header{"Idempotency-Key": bare, "X-Idempotency-Key": quoted}
	names := []string{"Idempotency-Key", "X-Idempotency-Key"}
	got := testing.AllocsPerRun(100, func() {
		a, errA := ParseKey(bare)
		b, errB := ParseKey(quoted)
		c, found, errC := KeyHeader(h, names)
		if a != b || a != c || !found || errA != nil || errB != nil || errC != nil {
			t.Errorf("got %q, %q, %q, %v, %v, %v", a, b, c, errA, errB, errC)
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func TestKeyHeader(t *testing.T) {
	const a, b = "Idempotency-Key", "X-Idempotency-Key"
	for name, tc := range map[string]struct {
		h       http.Header
		id      string
		found   bool
		refused bool
	}{
		"none":                        {http.Header{"Other": {"k"}}, "", false, false},
		"no lines":                    {http.Header{a: {}}, "", false, false},
		"first":                       {http.Header{a: {"k"}}, "k", true, false},
		"second":                      {http.Header{b: {"k"}}, "k", true, false},
		"both, same":                  {http.Header{a: {"k"}, b: {`"k"`}}, "k", true, false},
		"both, different":             {http.Header{a: {"k"}, b: {"K"}}, "", true, true},
		"empty is not missing":        {http.Header{a: {""}}, "", true, true},
		"empty beside a key":          {http.Header{a: {"k"}, b: {""}}, "", true, true},
		"blank":                       {http.Header{a: {"  "}}, "", true, true},
		"repeated":                    {http.Header{a: {"k", "k"}}, "", true, true},
		"second invalid, first valid": {http.Header{a: {"k"}, b: {"k k"}}, "", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			id, found, err := KeyHeader(tc.h, []string{"idempotency-key", b})
			var refused *KeyError
			if id != tc.id || found != tc.found || errors.As(err, &refused) != tc.refused {
				t.Errorf("got %q, %v, %v, want %q, %v, refused %v", id, found, err, tc.id, tc.found, tc.refused)
			}
		})
	}
}

// FuzzParseKey checks that whatever is accepted is a key, and that its quoted
// form, with or without parameters, names the same slot as its bare form.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{
		"order-1", `"order-1"`, `"k";p=1;q="x";r=:aGk=:;s=%"%c3%bc"`, `"a\"b\\c"`, `abc"`, "a,b", "  k\t", "",
		"q83vEjRWeJCrze8SNFZ4kA==", `"k", "k"`, "a\x00", "ключ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		id, err := ParseKey([]string{value})
		if err != nil {
			var refused *KeyError
			if !errors.As(err, &refused) || id != "" {
				t.Fatalf("got %q beside %v", id, err)
			}
			return
		}
		if len(id) < 1 || len(id) > 255 || strings.IndexFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) >= 0 {
			t.Fatalf("accepted %q", id)
		}
		for _, same := range []string{quoteKey(id), quoteKey(id) + `;a;b="x"`, "\t" + quoteKey(id) + " "} {
			if got, err := ParseKey([]string{same}); err != nil || got != id {
				t.Errorf("%q: got %q, %v, want %q", same, got, err, id)
			}
		}
		if !strings.Contains(id, `"`) {
			if got, err := ParseKey([]string{id}); err != nil || got != id {
				t.Errorf("bare %q: got %q, %v", id, got, err)
			}
		}
	})
}

// FuzzParameters checks the byte sequences against encoding/base64 and that no
// parameter text panics.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{";p=1", ";p=:aGk=:", `;p=%"%c3%bc"`, ";*=?1", ";a=@9;b=tok/en"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !validParameters(text) {
			return
		}
		if text != "" && (text[0] != ';' || slices.ContainsFunc([]byte(text), func(c byte) bool { return c < 0x20 || c > 0x7e })) {
			t.Errorf("accepted %q", text)
		}
		if !validParameters(text + ";p=:" + base64.StdEncoding.EncodeToString([]byte(text)) + ":") {
			t.Errorf("refused a byte sequence after %q", text)
		}
	})
}
