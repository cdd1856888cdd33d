// Package verify_test runs the built semel verify against endpoints that are guarded in
// different ways.
package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/semel-go/semel/interop/internal/command"
)

var update = flag.Bool("update", false, "write docs/comparison.md")

// report is what the tests read of the JSON form.
type report struct {
	Complete bool  `json:"complete"`
	Requests int   `json:"requests"`
	Millis   int64 `json:"duration_ms"`
	Results  []struct {
		Rule, Title, Severity, Status, Detail string
	}
}

func (r report) status(t *testing.T, rule string) string {
	t.Helper()
	for _, res := range r.Results {
		if res.Rule == rule {
			return res.Status
		}
	}
	t.Fatalf("no rule %s", rule)
	return ""
}

// check runs semel verify with everything that can be given.
func check(t *testing.T, at endpoint) (report, int) {
	t.Helper()
	args := append([]string{
		"verify", at.url + "/payments", "--output", "json",
		"--header", "Authorization: Bearer alice", "--other-header", "Authorization: Bearer bob",
		"--body", `{"amount": 100}`, "--slow-body", `{"kind": "slow", "amount": 1}`,
		"--declined-body", `{"kind": "declined"}`, "--transient-body", `{"kind": "busy"}`,
		"--other-url", at.url + "/refunds", "--effects", at.stat + "/stats#/payments",
	}, at.args...)
	cmd := command.New(t, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	code := 0
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: exit code %d, %s%s", err, code, out.Bytes(), said.Bytes())
	}
	if !r.Complete || len(r.Results) == 0 {
		t.Errorf("%s: cut short: %s", at.name, said.Bytes())
	}
	// docs/verify.md has these figures. They are no reason to fail: a busy machine is slow.
	t.Logf("%s: exit code %d, %d requests, %d ms", at.name, code, r.Requests, r.Millis)
	return r, code
}

// The report tells endpoints apart, and docs/comparison.md is made of it.
func TestComparison(t *testing.T) {
	endpoints := []endpoint{library(t), sidecar(t), fibers(t), naive(t)}
	reports := make([]report, len(endpoints))
	for i, at := range endpoints {
		r, code := check(t, at)
		reports[i] = r
		guarded := i < 2
		if want := 1; guarded && code != 0 || !guarded && code != want {
			t.Errorf("%s: exit code %d", at.name, code)
		}
		for _, res := range r.Results {
			if guarded && res.Status == "fail" {
				t.Errorf("%s: %s: %s", at.name, res.Rule, res.Detail)
			}
		}
	}
	fiber, none := reports[2], reports[3]
	for _, rule := range []string{"replay-body", "concurrent-effect", "cut-effect"} { // it is a guard
		if fiber.status(t, rule) != "pass" || none.status(t, rule) != "fail" {
			t.Errorf("%s: fiber %s, no guard %s", rule, fiber.status(t, rule), none.status(t, rule))
		}
	}
	for _, rule := range []string{"conflict-body", "scope-replay"} { // it compares nothing and knows no caller
		if fiber.status(t, rule) != "fail" {
			t.Errorf("%s: fiber %s", rule, fiber.status(t, rule))
		}
	}
	compare(t, endpoints, reports)
}

// compare checks the table on the page, or writes it.
func compare(t *testing.T, endpoints []endpoint, reports []report) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| rule | |")
	for _, at := range endpoints {
		fmt.Fprintf(&b, " %s |", at.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(endpoints)) + "\n")
	for i, res := range reports[0].Results {
		fmt.Fprintf(&b, "| [`%s`](verify.md#rules) %s | %s |", res.Rule, res.Title, res.Severity)
		for _, r := range reports {
			status := r.Results[i].Status
			if status == "fail" {
				status = "**FAIL**"
			}
			fmt.Fprintf(&b, " %s |", status)
		}
		b.WriteString("\n")
	}
	const path, begin, end = "../../docs/comparison.md", "<!-- table -->\n", "<!-- end of table -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if got == b.String() {
		return
	}
	if !*update {
		want := strings.Split(b.String(), "\n")
		for line := range strings.SplitSeq(got, "\n") {
			if !slices.Contains(want, line) {
				t.Errorf("%s is stale: %s", path, line)
			}
		}
		t.Fatalf("%s: go test ./verify -update in interop", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
