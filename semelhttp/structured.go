package semelhttp

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoteKey writes a valid key as a structured-field String.
func quoteKey(id string) string {
	var b strings.Builder
	b.Grow(len(id) + 2)
	b.WriteByte('"')
	for i := range len(id) {
		if id[i] == '"' || id[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(id[i])
	}
	b.WriteByte('"')
	return b.String()
}

// parseQuoted reads an Item whose bare item is a String and returns the
// String's text (RFC 9651 sections 4.2.3 and 4.2.5), or why it cannot.
func parseQuoted(value string) (id, reason string) {
	id, rest, ok := cutString(value)
	switch {
	case !ok:
		return "", "is not a well-formed quoted string"
	case !validParameters(rest):
		return "", "is followed by something that is not a parameter"
	}
	return id, ""
}

// cutString takes a String from the front of s. It allocates only when the
// String has an escape.
func cutString(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	var unescaped []byte
	start := 1 // of what is not in unescaped yet; 1 until an escape comes
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if start == 1 {
				return s[1:i], s[i+1:], true
			}
			return string(append(unescaped, s[start:i]...)), s[i+1:], true
		case c == '\\':
			if i+1 == len(s) || s[i+1] != '"' && s[i+1] != '\\' {
				return "", s, false
			}
			unescaped = append(unescaped, s[start:i]...)
			i++
			start = i // the escaped byte itself
		case c < 0x20 || c > 0x7e:
			return "", s, false
		}
	}
	return "", s, false
}

// validParameters reports whether s is zero or more parameters and nothing else
// (RFC 9651 section 4.2.3.2).
func validParameters(s string) bool {
	for s != "" {
		if s[0] != ';' {
			return false
		}
		s = strings.TrimLeft(s[1:], " ")
		name := span(s, func(c byte) bool {
			return isLower(c) || isDigit(c) || strings.IndexByte("_-.*", c) >= 0
		})
		if name == 0 || !isLower(s[0]) && s[0] != '*' {
			return false
		}
		s = s[name:]
		if s != "" && s[0] == '=' {
			var ok bool
			if s, ok = cutBareItem(s[1:]); !ok {
				return false
			}
		}
	}
	return true
}

// cutBareItem drops a bare item of any type from the front of s (RFC 9651
// section 4.2.3.1).
func cutBareItem(s string) (rest string, ok bool) {
	if s == "" {
		return s, false
	}
	switch c := s[0]; {
	case c == '"':
		_, rest, ok = cutString(s)
		return rest, ok
	case c == '-' || isDigit(c):
		return cutNumber(s, true)
	case c == '@': // Date
		return cutNumber(s[1:], false)
	case c == '?': // Boolean
		if len(s) < 2 || s[1] != '0' && s[1] != '1' {
			return s, false
		}
		return s[2:], true
	case c == ':': // Byte Sequence
		text, rest, found := strings.Cut(s[1:], ":")
		_, err := base64.StdEncoding.DecodeString(text)
		return rest, found && err == nil && !strings.ContainsAny(text, "\r\n")
	case c == '%': // Display String
		return cutDisplay(s)
	case c == '*' || isLower(c) || isUpper(c): // Token
		return s[span(s, isTokenByte):], true
	}
	return s, false
}

// cutNumber drops an Integer of at most 15 digits or, when decimal is true, a
// Decimal of at most 12 and 3.
func cutNumber(s string, decimal bool) (rest string, ok bool) {
	s = strings.TrimPrefix(s, "-")
	whole := span(s, isDigit)
	rest = s[whole:]
	if !decimal || !strings.HasPrefix(rest, ".") {
		return rest, 1 <= whole && whole <= 15
	}
	fraction := span(rest[1:], isDigit)
	return rest[1+fraction:], 1 <= whole && whole <= 12 && 1 <= fraction && fraction <= 3
}

// cutDisplay drops a Display String: percent-encoded UTF-8 between %" and ".
func cutDisplay(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, `%"`) {
		return s, false
	}
	var text []byte
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[i+1:], utf8.Valid(text)
		case c == '%':
			if i+2 >= len(s) || strings.ToLower(s[i+1:i+3]) != s[i+1:i+3] {
				return s, false
			}
			b, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return s, false
			}
			text = append(text, byte(b))
			i += 2
		case c < 0x20 || c > 0x7e:
			return s, false
		default:
			text = append(text, c)
		}
	}
	return s, false
}

// span returns how many bytes at the front of s are in the set.
func span(s string, in func(byte) bool) int {
	for i := range len(s) {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isTokenByte reports whether c may follow in a Token: tchar, colon or slash.
func isTokenByte(c byte) bool {
	return isLower(c) || isUpper(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}
