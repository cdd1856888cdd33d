package verify

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Status is what became of a rule.
type Status uint8

// The statuses.
const (
	Skipped Status = iota // it could not be tried; the detail says why
	Passed                // it holds, as far as was seen
	Noted                 // something to know; it is no fault
	Failed                // it is broken
)

// String returns "skip", "pass", "info" or "fail".
func (s Status) String() string {
	switch s {
	case Skipped:
		return "skip"
	case Passed:
		return "pass"
	case Noted:
		return "info"
	case Failed:
		return "fail"
	}
	return "invalid"
}

// Result is what became of one rule.
type Result struct {
	Rule   Rule
	Status Status
	// Detail says in a sentence what was seen, or why it was skipped.
	Detail   string
	Evidence []Evidence
	Took     time.Duration
}

// Evidence is one request with its answer, without secrets.
type Evidence struct {
	// Note says what is particular about the request.
	Note string `json:"note"`
	// Sent is method and path; Key is the begin of the key.
	Sent string `json:"sent"`
	Key  string `json:"key,omitempty"`
	// Status is 0 without an answer, and Lost then says why.
	Status int    `json:"status"`
	Lost   string `json:"lost,omitempty"`
	// Header and Body of the answer; the body to its 200th byte, and no value of a cookie.
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
}

// Report is what a run has found.
type Report struct {
	// Target is method and URL; the query is left out.
	Target             string
	Profile, KeyHeader string
	Started            time.Time
	Took               time.Duration
	Requests           int
	Results            []Result
	// Complete: every rule was tried, or skipped because it cannot be.
	Complete bool
}

func (r *Report) add(result Result, complete bool) {
	r.Results = append(r.Results, result)
	r.Complete = r.Complete && complete
}

// Count is how many rules have a status.
func (r *Report) Count(s Status) (n int) {
	for i := range r.Results {
		if r.Results[i].Status == s {
			n++
		}
	}
	return n
}

// Broken is how many rules of at least this severity are broken.
func (r *Report) Broken(least Severity) (n int) {
	for i := range r.Results {
		if r.Results[i].Status == Failed && r.Results[i].Rule.Severity >= least {
			n++
		}
	}
	return n
}

// verdict is what a check says.
type verdict struct {
	status Status
	detail string
	seen   []*exchange
}

func pass(format string, args ...any) verdict {
	return verdict{status: Passed, detail: fmt.Sprintf(format, args...)}
}

func fail(format string, args ...any) verdict {
	return verdict{status: Failed, detail: fmt.Sprintf(format, args...)}
}

func skip(format string, args ...any) verdict {
	return verdict{status: Skipped, detail: fmt.Sprintf(format, args...)}
}

func note(format string, args ...any) verdict {
	return verdict{status: Noted, detail: fmt.Sprintf(format, args...)}
}

// of adds what was seen.
func (v verdict) of(seen ...*exchange) verdict {
	v.seen = append(v.seen, seen...)
	return v
}

// scrub removes secrets from a text.
func (s *session) scrub(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// show makes evidence of exchanges.
func (s *session) show(seen []*exchange) []Evidence {
	var all []Evidence
	for _, x := range seen {
		e := Evidence{Note: x.note, Sent: x.sent.method + " " + pathOf(x.sent), Key: short(x.key), Status: x.status}
		if x.status == 0 {
			e.Lost = s.scrub(fmt.Sprint(x.lost))
		} else {
			e.Header, e.Body = s.showHeader(x.header), excerpt([]byte(s.scrub(string(x.body))))
		}
		all = append(all, e)
	}
	return all
}

func (s *session) showHeader(h http.Header) map[string]string {
	shown := make(map[string]string, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		shown[name] = s.scrub(strings.Join(h[name], ", "))
		if name == "Set-Cookie" {
			shown[name] = "***"
		}
	}
	return shown
}

func pathOf(r request) string {
	path := r.url.EscapedPath()
	if path == "" {
		path = "/"
	}
	if r.url.RawQuery != "" {
		path += "?…"
	}
	return path
}

// short is enough of a key to find it in a log, and too little to use it.
func short(key string) string {
	if len(key) <= 8 {
		return strconv.QuoteToASCII(key)
	}
	shown := strings.Trim(strconv.QuoteToASCII(key[:8]), `"`)
	return shown + "…"
}

// excerpt is the begin of a body, if it is text.
func excerpt(body []byte) string {
	cut := body[:min(len(body), 200)]
	text := string(cut)
	if !utf8.ValidString(text) && len(cut) == len(body) {
		return fmt.Sprintf("%d bytes that are no text", len(body))
	}
	text = strings.ToValidUTF8(text, "")
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	if len(cut) < len(body) {
		text += "…"
	}
	return text
}
