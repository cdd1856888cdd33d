package cli

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/semel-go/semel"
)

// signed returns the reason to record: who it is that resolves, and text, which
// is why.
func signed(who, text string) (string, error) {
	const hint = "say how you know, such as --reason 'ledger: charge 17 is there'"
	text = strings.TrimSpace(text)
	if text == "" {
		return "", wrong(hint, "--reason is required: it is kept with the record")
	}
	if !utf8.ValidString(text) {
		return "", wrong("", "--reason is not UTF-8")
	}
	if i := strings.IndexFunc(text, breaks); i >= 0 {
		return "", wrong("write it in one line", "--reason has a control character at byte %d", i+1)
	}
	reason := who + ": " + text
	if len(reason) > semel.MaxReasonLen {
		return "", wrong("", "--reason has %d bytes, more than %d: %q is put before it",
			len(text), semel.MaxReasonLen-len(reason)+len(text), who+": ")
	}
	return reason, nil
}

// breaks reports whether r could end a line or move a cursor.
func breaks(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }

// whoami names the person at this machine, as far as the system tells.
func whoami() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown host"
	}
	return strings.Map(func(r rune) rune {
		if breaks(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, name+"@"+host)
}
