package verify

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// sample is a report with a result of each kind, one of them full of what must not reach a
// terminal or break XML.
func sample() *Report {
	named := func(id string) Rule {
		for _, r := range Rules() {
			if r.ID == id {
				return r
			}
		}
		panic(id)
	}
	sent := Evidence{
		Note: "first", Sent: "POST /payments", Key: "3f2a9c01…", Status: 201,
		Header: map[string]string{"Location": "/payments/1"}, Body: `{"id": 1} <&>]]>`,
	}
	lost := Evidence{Note: "retry", Sent: "POST /payments", Key: "3f2a9c01…", Lost: "EOF"}
	return &Report{
		Target: "POST http://127.0.0.1:3000/payments", Profile: "ietf", KeyHeader: "Idempotency-Key",
		Started: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), Took: 1234 * time.Millisecond, Requests: 97, Complete: true,
		Results: []Result{
			{Rule: named("replay-status"), Status: Passed, Detail: "201 both times", Took: time.Millisecond},
			{Rule: named("replay-body"), Status: Failed, Detail: "the retry got\x1b[31m\nno answer", Evidence: []Evidence{sent, lost}, Took: 2 * time.Millisecond},
			{Rule: named("replay-marker"), Status: Failed, Detail: "the retry has no Idempotent-Replayed: true", Evidence: []Evidence{sent}},
			{Rule: named("replay-cookie"), Status: Noted, Detail: "the retry sets the cookies of the first answer once more"},
			{Rule: named("scope-replay"), Status: Skipped, Detail: "give --other-header, the credentials of another caller"},
		},
	}
}

// The three forms are what their files say.
func TestForms(t *testing.T) {
	r := sample()
	var table, junit, strict bytes.Buffer
	if err := errors.Join(r.WriteTable(&table, nil), r.WriteJUnit(&junit, Must), r.WriteJUnit(&strict, Should)); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.MarshalIndent(r.View(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"report.txt": table.Bytes(), "report.xml": junit.Bytes(), "report-strict.xml": strict.Bytes(), "report.json": append(asJSON, '\n'),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not\n%s", path, got)
		}
	}
	if strings.ContainsAny(table.String(), "\x1b\r") {
		t.Error("the table moves a cursor")
	}
}

// A CI system reads the counts of JUnit; they are those of the cases.
func TestJUnitCounts(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJUnit(&b, Should); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suite    struct {
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	failed, skipped := 0, 0
	for _, c := range read.Suite.Cases {
		if c.Failure != nil {
			failed++
		}
		if c.Skipped != nil {
			skipped++
		}
	}
	if read.Tests != 5 || len(read.Suite.Cases) != 5 || failed != 2 || read.Failures != 2 || read.Suite.Failures != 2 || skipped != 1 || read.Suite.Skipped != 1 {
		t.Errorf("%+v", read)
	}
}

// A run that was cut short is no success for a CI system, whatever its rules say.
func TestCutShortIsAnError(t *testing.T) {
	r := sample()
	r.Results, r.Complete = r.Results[:1], false
	var b bytes.Buffer
	if err := r.WriteJUnit(&b, Should); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<testsuites tests="2" failures="0" errors="1" `, ` tests="2" failures="0" errors="1" skipped="0" `, `<error message="run cut short: `,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

// Whatever an endpoint sends, the JUnit form is XML and the table has no control characters.
func FuzzForms(f *testing.F) {
	f.Add("detail", []byte("body"))
	f.Add("\x00\x1b]0;x\a\xff", []byte("\xff\xfe\x00]]>&<"))
	f.Fuzz(func(t *testing.T, detail string, body []byte) {
		s := newSession(Target{}, Config{})
		s.keys.add(detail)
		r := sample()
		x := &exchange{note: "x", sent: request{method: "POST", url: mustURL("http://h/")}, key: detail, answer: &answer{status: 200, header: http.Header{"X": {detail}}, body: body}}
		lost := &exchange{note: "x", sent: x.sent, answer: &answer{lost: errors.New(detail)}}
		r.Results[1].Detail, r.Results[1].Evidence = detail, s.show([]*exchange{x, lost})
		r.Results[4].Detail = detail
		var table, junit bytes.Buffer
		if err := errors.Join(r.WriteTable(&table, nil), r.WriteJUnit(&junit, Must)); err != nil {
			t.Fatal(err)
		}
		dec := xml.NewDecoder(&junit)
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range table.String() {
			if c < ' ' && c != '\n' || c == 0x7f {
				t.Fatalf("the table has %q", c)
			}
		}
		if _, err := json.Marshal(r.View()); err != nil {
			t.Fatal(err)
		}
	})
}

// Each rule says what it is, where it is from and what to do, in sentences; an ID is there once.
func TestRulesAreExplained(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || r.ID != strings.ToLower(r.ID) || r.Group() == r.ID {
			t.Errorf("the ID %q", r.ID)
		}
		seen[r.ID] = true
		if r.Title == "" || strings.HasSuffix(r.Title, ".") || r.Source == "" || !strings.HasSuffix(r.Remedy, ".") || r.check == nil || r.Severity.String() == "invalid" {
			t.Errorf("%s is not explained: %+v", r.ID, r)
		}
	}
}

// docs/verify.md has the rules and the profiles of the code.
func TestPage(t *testing.T) {
	path := "../../../../docs/verify.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	var rules, profiles strings.Builder
	rules.WriteString("| rule | | what holds | source | what to change |\n|---|---|---|---|---|\n")
	for _, r := range Rules() {
		_, _ = fmt.Fprintf(&rules, "| `%s` | %s | %s | %s | %s |\n", r.ID, r.Severity, r.Title, r.Source, r.Remedy)
	}
	profiles.WriteString("| profile | key in | key | no key | other request | in flight | refusals | marks replays | source |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range Profiles() {
		_, _ = fmt.Fprintf(&profiles, "| %s |\n", strings.Join(p.row(), " | "))
	}
	for name, want := range map[string]string{"rules": rules.String(), "profiles": profiles.String()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the %s", path, name)
		}
		if got == want {
			continue
		}
		if !*update {
			t.Errorf("%s: the %s are not those of the code: go test -run TestPage -update", path, name)
		}
		page = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// row is a profile as the page has it.
func (p Profile) row() []string {
	most, missing, form, marks := "any length", "served", map[Form]string{FormAny: "any", FormProblem: "RFC 9457", FormStripe: "Stripe's"}[p.Form], "no"
	if p.MaxKey > 0 {
		most = fmt.Sprintf("to %d", p.MaxKey)
	}
	if p.Required {
		missing = say(p.Missing)
	}
	if p.Marker != "" {
		marks = fmt.Sprintf("`%s: %s`", p.Marker, p.Mark)
	}
	if p.MarksAll {
		marks += " on every answer"
	}
	return []string{"`" + p.Name + "`", "`" + p.Header + "`", most, missing, say(p.Conflict), say(p.InFlight), form, marks, p.Source}
}
