package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// datum is a text that came over the wire, or from a person, made fit to be shown: cut
// to a length, and with what cannot be seen, or would move what stands beside it, spelled
// out. The template escapes it.
type datum struct {
	Shown string
	// Bytes is the length of the whole when it was cut, and otherwise 0.
	Bytes int
}

// Lengths of a datum, in characters.
const (
	shortText = 80
	longText  = 1024
)

func clip(text string, length int) datum {
	var b strings.Builder
	rest := text
	for n := 0; rest != "" && n < length; n++ {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default: // control characters, and those that turn the direction of writing
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		rest = rest[size:]
	}
	if rest == "" {
		return datum{Shown: b.String()}
	}
	return datum{b.String() + "…", len(text)}
}

// span prints a length of time with its two largest units; a negative one is 0s.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", max(d, 0)/time.Second)
}

// moment is an instant as it is shown.
type moment struct {
	Text    string // for people
	Machine string // RFC 3339
	Ago     string // how far it is from now
}

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	m := moment{Text: t.Format("2006-01-02 15:04:05"), Machine: t.Format("2006-01-02T15:04:05.000Z"), Ago: span(now.Sub(t)) + " ago"}
	if t.After(now) {
		m.Ago = "in " + span(t.Sub(now))
	}
	return m
}

// took prints how long something took.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d/time.Microsecond)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// perSecond prints a rate.
func perSecond(n uint64, over time.Duration) string {
	rate := float64(n) / over.Seconds()
	switch {
	case n == 0:
		return "0"
	case rate < 0.05:
		return "< 0.1"
	case rate < 10:
		return fmt.Sprintf("%.1f", rate)
	}
	return grouped(uint64(rate + 0.5))
}

// grouped prints a number with thin spaces between its thousands.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// plural prints a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(uint64(n)) + " " + many //nolint:gosec // a count
}
