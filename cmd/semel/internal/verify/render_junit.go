package verify

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// JUnit's form, as CI systems read it: https://github.com/testmoapp/junitxml.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string          `xml:"name,attr"`
		Tests     int             `xml:"tests,attr"`
		Failures  int             `xml:"failures,attr"`
		Errors    int             `xml:"errors,attr"`
		Skipped   int             `xml:"skipped,attr"`
		Time      string          `xml:"time,attr"`
		Timestamp string          `xml:"timestamp,attr"`
		Props     []junitProperty `xml:"properties>property"`
		Cases     []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitError   `xml:"error"`
		Skipped *junitSkipped `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	junitError struct {
		Message string `xml:"message,attr"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes the report as JUnit XML. A broken rule below least is no failure
// there, as it is none for the exit code: what was seen is in its output. A run that was
// cut short has an error, or a CI system would take what was not tried for a success.
func (r *Report) WriteJUnit(w io.Writer, least Severity) error {
	suite := junitSuite{
		Name: "semel verify " + plain(r.Target), Tests: len(r.Results), Failures: r.Broken(least), Skipped: r.Count(Skipped),
		Time: seconds(r.Took), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		Props: []junitProperty{{"profile", r.Profile}, {"key_header", r.KeyHeader}, {"requests", fmt.Sprint(r.Requests)}, {"complete", fmt.Sprint(r.Complete)}},
	}
	for i := range r.Results {
		res := &r.Results[i]
		c := junitCase{Class: "semel.verify." + res.Rule.Group(), Name: res.Rule.ID, Time: seconds(res.Took)}
		detail := plain(res.Detail)
		switch res.Status {
		case Failed:
			var why strings.Builder
			res.writeWhy(&why, 2)
			if res.Rule.Severity >= least {
				c.Failure = &junitFailure{Message: res.Rule.Title + ": " + detail, Type: res.Rule.Severity.String(), Text: "\n" + why.String()}
			} else {
				c.Out = "broken: " + res.Rule.Title + "\n" + why.String()
			}
		case Skipped:
			c.Skipped = &junitSkipped{detail}
		case Passed, Noted:
			c.Out = res.Rule.Title + ": " + detail
		}
		suite.Cases = append(suite.Cases, c)
	}
	if !r.Complete {
		suite.Tests++
		suite.Errors++
		suite.Cases = append(suite.Cases, junitCase{
			Class: "semel.verify.run", Name: "run-complete", Time: seconds(0), Error: &junitError{"run cut short: not every rule was tried"},
		})
	}
	all := junitSuites{Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: suite.Time, Suite: suite}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
