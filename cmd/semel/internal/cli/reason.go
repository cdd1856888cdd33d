package cli

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// breaks reports whether r could end a line or move a cursor.
func breaks(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }

// whoami names the person at this machine, as far as the system tells.
func whoami() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && u.Username != "" {
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
