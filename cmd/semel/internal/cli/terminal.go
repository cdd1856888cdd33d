package cli

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isTerminal reports whether v is a character device that is not the null
// device.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// colors reports whether results may be painted, see https://no-color.org.
func (a *app) colors() bool {
	return isTerminal(a.out.w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

func (a *app) getenv(name string) string {
	for _, line := range a.env {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// confirm asks before something is changed for good. Without a terminal nobody
// can answer, so it refuses and names the flags that answer instead.
func (a *app) confirm(ctx context.Context, question string, yes bool, instead string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.in) {
		return refused("look with --dry-run, then add "+instead, "nobody can be asked: standard input is no terminal")
	}
	_, _ = io.WriteString(a.err, "semel: "+question+" [y/N] ")
	answer := make(chan string, 1)
	go func() { // a read of a terminal cannot be cancelled; it ends with the process
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		_, _ = io.WriteString(a.err, "\n")
		return refused("", "stopped; nothing was changed")
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
		return refused("", "not confirmed; nothing was changed")
	}
}

// printable returns text that may go to a terminal. What came over the wire
// must not move a cursor or forge a line.
func printable(text string) string {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.QuoteToGraphic(text)
		}
	}
	return text
}

// isText reports whether a body can be shown as it is.
func isText(body []byte) bool {
	for len(body) > 0 {
		r, n := utf8.DecodeRune(body)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
		body = body[n:]
	}
	return true
}
