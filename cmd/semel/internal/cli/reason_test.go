package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// A reason is one line of text, and fits into a record with its author.
func TestSigned(t *testing.T) {
	const who = "op@host"
	room := semel.MaxReasonLen - len(who+": ")
	for text, want := range map[string]string{
		"charge 17 is there":         "op@host: charge 17 is there",
		"  spaces around ":           "op@host: spaces around",
		"Überweisung ✓":              "op@host: Überweisung ✓",
		strings.Repeat("x", room):    "op@host: " + strings.Repeat("x", room),
		strings.Repeat("ü", room/2):  "op@host: " + strings.Repeat("ü", room/2),
		" \n" + "line breaks around": "op@host: line breaks around",
	} {
		if got, err := signed(who, text); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                 "--reason is required",
		" \t\n":                            "--reason is required",
		"two\nlines":                       "control character at byte 4",
		"a\x1b[2J":                         "control character at byte 2",
		"a\u0085b":                         "control character at byte 2",
		"a\u2028b":                         "control character at byte 2",
		"a\x7f":                            "control character at byte 2",
		"a\x00b":                           "control character at byte 2",
		"a\xffb":                           "is not UTF-8",
		strings.Repeat("x", room+1):        "has 1016 bytes, more than 1015",
		strings.Repeat("ü", room/2) + "xx": "more than 1015",
	} {
		got, err := signed(who, text)
		if f := (*fault)(nil); got != "" || !errors.As(err, &f) || f.code != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestWhoami(t *testing.T) {
	who := whoami()
	name, host, found := strings.Cut(who, "@")
	if !found || name == "" || host == "" || strings.ContainsFunc(who, breaks) {
		t.Errorf("got %q", who)
	}
	if _, err := signed(who, "why"); err != nil {
		t.Error(err)
	}
}
