package operator

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/semel-go/semel"
)

// Sign returns the reason as it is kept with a record: who gave it, and the text
// without spaces around it. An error wraps [ErrReason]: there is no text, it is not one
// line of UTF-8, or both together are longer than [semel.MaxReasonLen].
func Sign(actor, text string) (string, error) {
	text, err := checkReason(text)
	if err != nil {
		return "", err
	}
	before := actor + ": "
	if room := semel.MaxReasonLen - len(before); len(text) > room {
		return "", fmt.Errorf("%w: it has %d bytes, more than %d, as %q is put before it", ErrReason, len(text), room, before)
	}
	return before + text, nil
}

func checkReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", fmt.Errorf("%w: say how you know", ErrReason)
	case !utf8.ValidString(text):
		return "", fmt.Errorf("%w: it is not UTF-8", ErrReason)
	case len(text) > semel.MaxAuditLen:
		return "", fmt.Errorf("%w: it has %d bytes, more than %d", ErrReason, len(text), semel.MaxAuditLen)
	case hasBreak(text):
		return "", fmt.Errorf("%w: it has a control character at byte %d", ErrReason, strings.IndexFunc(text, breaks)+1)
	}
	return text, nil
}

func hasBreak(text string) bool { return strings.ContainsFunc(text, breaks) }

// breaks reports whether r could end a line or move a cursor.
func breaks(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }
