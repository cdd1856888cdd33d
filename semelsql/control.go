package semelsql

import "strings"

// command is what a statement wants of the transaction that it runs in.
type command uint8

const (
	plain  command = iota
	ends           // it would end the transaction, or begin another one
	backTo         // it rolls back to a savepoint
)

// commandOf reads the first words of a statement. It sees what is written by
// accident, as by libraries that were not told whose transaction it is; a
// stored procedure that commits is found by the store's steps, if at all. ender knows
// what else commits in this database; it may be nil.
func commandOf(query string, ender Ender) command {
	var words [5]string
	for i := range words {
		words[i], query = word(query)
	}
	first, second, third := words[0], words[1], words[2]
	switch first {
	case "COMMIT", "END", "ABORT", "XA":
		return ends
	case "ROLLBACK":
		if second == "TO" || third == "TO" && (second == "WORK" || second == "TRANSACTION") {
			return backTo
		}
		return ends
	case "BEGIN":
		if second != "NOT" { // BEGIN NOT ATOMIC is a block of MariaDB
			return ends
		}
	case "START", "PREPARE":
		if second == "TRANSACTION" {
			return ends
		}
	case "SET":
		if second == "AUTOCOMMIT" {
			return ends
		}
	}
	if ender != nil && ender.Ends(words) {
		return ends
	}
	return plain
}

// word returns the next word in upper case, and the rest behind it. Spaces and
// comments before it do not count; anything but letters is no word.
func word(query string) (upper, rest string) {
	query = skip(query)
	n := 0
	for n < len(query) && (query[n]|0x20 >= 'a' && query[n]|0x20 <= 'z' || query[n] == '_') {
		n++
	}
	return strings.ToUpper(query[:n]), query[n:]
}

func skip(query string) string {
	for {
		query = strings.TrimLeft(query, " \t\r\n\f\v;")
		var end string
		switch {
		case strings.HasPrefix(query, "--"), strings.HasPrefix(query, "#"):
			end = "\n"
		case strings.HasPrefix(query, "/*"):
			end = "*/"
		default:
			return query
		}
		_, rest, ok := strings.Cut(query[1:], end)
		if !ok {
			return ""
		}
		query = rest
	}
}
