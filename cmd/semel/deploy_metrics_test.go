package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"go.yaml.in/yaml/v3"
)

const (
	rulesFile     = "../../deploy/prometheus/rules.yaml"
	dashboardFile = "../../deploy/grafana/semel.json"
)

// rule is one of rules.yaml.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// dashboardExpressions returns all that the dashboard asks of Prometheus, by the panel.
func dashboardExpressions(t *testing.T) map[string]string {
	t.Helper()
	var board struct {
		Panels []struct {
			ID          int
			Title, Type string
			Targets     []struct{ RefID, Expr string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
		Templating  struct {
			List []struct{ Name, Definition string }
		}
	}
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	all, ids := map[string]string{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || (p.Type != "row") != (len(p.Targets) > 0) {
			t.Errorf("panel %d %q: want an id of its own, a title, and something to show", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			all[p.Title+"/"+target.RefID] = target.Expr
		}
	}
	for _, a := range board.Annotations.List {
		all[a.Name] = a.Expr
	}
	for _, v := range board.Templating.List {
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector, _, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ", ")
			all["variable "+v.Name] = selector
		}
	}
	return all
}

// plain is an expression as Prometheus gets it from Grafana.
func plain(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$job", "semel", "$instance", "x", "$route", "/pay").Replace(expr)
}

// promtool runs it and fails the test with what it says.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), servertest.Program(t, "promtool"), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestRules: the rules are valid, and each alert does what its unit tests say.
func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", filepath.Join(filepath.Dir(rulesFile), "rules_test.yaml"))
	tests, err := os.ReadFile(filepath.Join(filepath.Dir(rulesFile), "rules_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readRules(t) {
		if r.Alert != "" && !strings.Contains(string(tests), r.Alert) {
			t.Errorf("no unit test names %s", r.Alert)
		}
	}
}

// TestDashboardParses: every expression of the dashboard is one of Prometheus.
func TestDashboardParses(t *testing.T) {
	t.Parallel()
	type recorded struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []recorded
	all := dashboardExpressions(t)
	for _, expr := range all {
		rules = append(rules, recorded{fmt.Sprintf("semel:panel:%d", len(rules)), plain(expr)})
	}
	if len(rules) < 20 {
		t.Fatalf("got %d expressions, want a dashboard", len(rules))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// exportedMetrics is what a running sidecar with one route exports, after a request and a
// duplicate that has waited in vain.
func exportedMetrics(t *testing.T) string {
	t.Helper()
	runs, gate := make(chan struct{}, 1), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs <- struct{}{}
		<-gate
		w.WriteHeader(http.StatusCreated)
	}))
	defer upstream.Close()
	admin := freePort(t)
	s := startSidecar(t, upstream.URL, "--store", "memory", "--admin", admin, "--wait", "100ms")
	first := make(chan struct{})
	go func() {
		defer close(first)
		s.order(t, "k")
	}()
	<-runs
	s.order(t, "k")
	close(gate)
	<-first
	return metricsOf(t, admin)
}

// metricsOf is what a sidecar exports at its admin address.
func metricsOf(t *testing.T, admin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v", res.StatusCode, err)
	}
	return string(text)
}

var (
	metricName = regexp.MustCompile(`\b(?:semel[:_]|process_|go_)[a-z0-9_:]+`)
	matcher    = regexp.MustCompile(`\b(outcome|settle|step|by|code|would)(=~?)"([^"]+)"`)
)

// TestMetricsExist: each metric, and each value of a label, that rules and dashboard name
// is exported by a sidecar or recorded by a rule.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	text := exportedMetrics(t)
	lint := exec.CommandContext(t.Context(), servertest.Program(t, "promtool"), "check", "metrics")
	lint.Stdin = strings.NewReader(text)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	known := map[string]bool{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			name, _, _ := strings.Cut(line, " ")
			name, _, _ = strings.Cut(name, "{")
			known[name] = true
		}
	}
	all := dashboardExpressions(t)
	for _, r := range readRules(t) {
		if r.Record != "" {
			known[r.Record] = true
		}
		all[r.Record+r.Alert] = r.Expr
	}
	for where, expr := range all {
		for _, name := range metricName.FindAllString(expr, -1) {
			if !known[name] {
				t.Errorf("%s: %s does not exist", where, name)
			}
		}
		for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
			for value := range strings.SplitSeq(m[3], "|") {
				if pair := m[1] + `="` + value + `"`; !strings.Contains(text, pair) {
					t.Errorf("%s: nothing has %s", where, pair)
				}
			}
		}
	}
}

// leftOut are the metrics of a sidecar that the dashboard does not show, and why.
var leftOut = map[string]string{}

// TestMetricsAreShown: each metric of a sidecar is on the dashboard or said to be left out.
func TestMetricsAreShown(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, expr := range dashboardExpressions(t) {
		for _, name := range metricName.FindAllString(expr, -1) {
			shown[name] = true
		}
	}
	for line := range strings.Lines(exportedMetrics(t)) {
		words := strings.Fields(line)
		if len(words) != 4 || words[1] != "TYPE" || !strings.HasPrefix(words[2], "semel_") {
			continue
		}
		name := words[2]
		has := shown[name] || shown[name+"_bucket"] || shown[name+"_count"] || shown[name+"_sum"]
		if _, left := leftOut[name]; has == left {
			t.Errorf("%s: on the dashboard %v, left out %v: want one of them", name, has, left)
		}
	}
}

// TestAlertsHaveARunbook: each alert says how bad it is, what has happened and what to do,
// and the manual has a section for it.
func TestAlertsHaveARunbook(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		alerts++
		anchor := "docs/operations.md#" + strings.ToLower(r.Alert)
		switch severity := r.Labels["severity"]; {
		case severity != "critical" && severity != "warning" && severity != "info":
			t.Errorf("%s: severity %q", r.Alert, severity)
		case r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !strings.Contains(r.Annotations["runbook"], anchor):
			t.Errorf("%s: want a summary, a description and a runbook with %s", r.Alert, anchor)
		case !strings.Contains(string(manual), "\n### "+r.Alert+"\n"):
			t.Errorf("docs/operations.md has no section %s", r.Alert)
		}
	}
	if alerts < 10 {
		t.Errorf("got %d alerts", alerts)
	}
}
