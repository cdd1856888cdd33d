package verify

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Paint colours what a person should see first; nil for none.
type Paint func(s Status, text string) string

// WriteTable writes the report for a person: a line for each rule, and below a broken
// one what was seen, where the rule is from and what to change.
func (r *Report) WriteTable(w io.Writer, paint Paint) error {
	if paint == nil {
		paint = func(_ Status, text string) string { return text }
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, profile %s, key in %s\n\n", r.Target, r.Profile, r.KeyHeader)
	wide := 0
	for _, rule := range Rules() {
		wide = max(wide, len(rule.ID))
	}
	for i := range r.Results {
		res := &r.Results[i]
		fmt.Fprintf(&b, "%s  %-*s  %s", paint(res.Status, mark(res)), wide, res.Rule.ID, res.Rule.Title)
		if res.Status == Failed || res.Status == Passed {
			b.WriteString("\n")
		} else {
			fmt.Fprintf(&b, ": %s\n", plain(res.Detail))
		}
		if res.Status == Failed {
			res.writeWhy(&b, wide+8)
		}
	}
	b.WriteString("\n" + r.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// mark is the first column: four letters.
func mark(r *Result) string {
	if r.Status == Failed {
		return "FAIL"
	}
	return r.Status.String()
}

func (r *Result) writeWhy(b *strings.Builder, indent int) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "%*s%-7s %s\n", indent-2, "", name, text)
		}
	}
	line(r.Rule.Severity.String(), plain(r.Detail))
	const most = 4 // of many duplicates the first ones do
	for i, e := range r.Evidence {
		if i == most {
			line("…", fmt.Sprintf("%d more", len(r.Evidence)-most))
			break
		}
		line("sent", plain(e.String()))
	}
	line("source", r.Rule.Source)
	line("fix", r.Rule.Remedy)
}

// String is one line.
func (e Evidence) String() string {
	text := e.Note + ": " + e.Sent
	if e.Key != "" {
		text += ", key " + e.Key
	}
	text += fmt.Sprintf(" → %d", e.Status)
	if e.Status == 0 {
		text = strings.TrimSuffix(text, "0") + "no answer: " + e.Lost
	}
	if e.Body != "" {
		text += " " + e.Body
	}
	return text
}

// plain is text that moves no cursor and forges no line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '�'
		}
		return r
	}, text)
}

// Summary says in a line how it ended.
func (r *Report) Summary() string {
	text := fmt.Sprintf("%d pass, %d fail (%d must), %d skip, %d info; %d requests in %.1f s",
		r.Count(Passed), r.Count(Failed), r.Broken(Must), r.Count(Skipped), r.Count(Noted), r.Requests, r.Took.Seconds())
	if !r.Complete {
		text += "; cut short"
	}
	return text
}
