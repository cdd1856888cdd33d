package pgstore

import "strings"

// endsTx reports whether a text begins with a statement that would end its
// transaction, or begin another one. It finds what is written by accident; the
// server's own word about the transaction finds the rest.
func endsTx(text string) bool {
	first, text := nextWord(text)
	second, text := nextWord(text)
	switch first {
	case "COMMIT", "END", "ABORT", "BEGIN":
		return true
	case "START", "PREPARE":
		return second == "TRANSACTION"
	case "ROLLBACK": // [ WORK | TRANSACTION ] TO a savepoint is fine
		if second == "WORK" || second == "TRANSACTION" {
			second, _ = nextWord(text)
		}
		return second != "TO"
	}
	return false
}

// nextWord returns the word at the beginning, in upper case, and what follows.
func nextWord(text string) (word, rest string) {
	text = skipSpace(text)
	end := strings.IndexFunc(text, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && r != '_' })
	if end < 0 {
		end = len(text)
	}
	return strings.ToUpper(text[:end]), text[end:]
}

// skipSpace drops spaces, comments and empty statements. Comments nest.
func skipSpace(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v;")
		switch {
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			text = skipComment(text)
		default:
			return text
		}
	}
}

func skipComment(text string) string {
	depth := 0
	for i := 0; i < len(text)-1; i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return text[i+1:]
		}
	}
	return ""
}
