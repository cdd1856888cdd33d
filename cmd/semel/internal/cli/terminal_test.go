package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// The null device is a character device, but nobody sits at it.
func TestNullDeviceIsNoTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, v := range []any{null, file, new(bytes.Buffer), nil} {
		if isTerminal(v) {
			t.Errorf("%T is a terminal", v)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"acme":           "acme",
		"Grüße 世界":       "Grüße 世界",
		"":               "",
		"a\nb":           `"a\nb"`,
		"\x1b[2J":        `"\x1b[2J"`,
		"\xff":           `"\xff"`,
		"a\u202eb":       `"a\u202eb"`,
		"tab\tseparated": `"tab\tseparated"`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestIsText(t *testing.T) {
	for _, text := range []string{"", "{\n\t\"a\": \"ü\"\r\n}", strings.Repeat("x", 5000)} {
		if !isText([]byte(text)) {
			t.Errorf("%q is no text", text)
		}
	}
	for _, text := range []string{"\x00", "\x1b[2J", "a\xff", "\x7f"} {
		if isText([]byte(text)) {
			t.Errorf("%q is text", text)
		}
	}
}

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "59s": 59*time.Second + 999*time.Millisecond, "1m0s": time.Minute, "59m59s": time.Hour - 1,
		"23h59m": 24*time.Hour - 1, "1d0h": 24 * time.Hour, "30d5h": 725 * time.Hour,
	} {
		if got := span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestParseField(t *testing.T) {
	for line, want := range map[string]string{
		"Content-Type: text/plain": "Content-Type=text/plain", "X:": "X=", "X:  a:b \t": "X=a:b",
	} {
		name, value, err := parseField(line)
		if got := name + "=" + value; err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", line, got, err, want)
		}
	}
	for _, line := range []string{"", ":x", "a b: c", "X: a\r\nY: b", "X: \x00", "X : a", "no-colon"} {
		if name, value, err := parseField(line); err == nil {
			t.Errorf("%q: got %s=%s, want an error", line, name, value)
		}
	}
}

// Nothing that parseField accepts can split a message.
func FuzzParseField(f *testing.F) {
	for _, line := range []string{"X: y", "X", ":", "X: \r\n\r\nHTTP/1.1 200", "X:\t\x7f"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, value, err := parseField(line)
		if err == nil && (name == "" || strings.ContainsAny(name+value, "\r\n\x00") || strings.ContainsAny(name, ": ")) {
			t.Fatalf("%q: accepted as %q, %q", line, name, value)
		}
	})
}
