package proxy

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// The page of the command says what the sidecar and its upstream tell each
// other, in the words of the code.
func TestPageIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## Between sidecar and upstream\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	if !found {
		t.Fatal("docs/command.md lacks the section")
	}
	lines := []string{fmt.Sprintf("%v to connect", dialTimeout), fmt.Sprintf("at most for %v;", troubleFor)}
	for _, name := range []string{HeaderAttempt, HeaderFence, HeaderDerivedKey, HeaderVia, HeaderSettle, HeaderStatus} {
		lines = append(lines, "\n| `"+name+"` | ")
	}
	for _, d := range []semel.Disposition{semel.Keep, semel.Free, semel.Unknown} {
		lines = append(lines, "\n| `"+d.String()+"` | ", settlesPage(d))
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/version"} {
		lines = append(lines, "\n| `"+path+"` | ")
	}
	lines = append(lines, metricsPage(t)...)
	for _, line := range lines {
		if !strings.Contains(section, line) {
			t.Errorf("docs/command.md must have %q", line)
		}
	}
}

// settlesPage returns how the row of a disposition goes on: the statuses that lead
// to it. What gRPC statuses count as is semelhttp's to test.
func settlesPage(d semel.Disposition) string {
	if d == semel.Keep {
		return " | every other | every other |\n"
	}
	var statuses []string
	for status := 200; status < 600; status++ {
		if semelhttp.Settle(status, nil) == d {
			statuses = append(statuses, strconv.Itoa(status))
		}
	}
	return " | " + strings.Join(statuses, ", ") + " | "
}

// metricsPage returns the rows of the metrics.
func metricsPage(t *testing.T) []string {
	t.Helper()
	var rows []string
	for _, m := range regexp.MustCompile(`# HELP (semel_\S+) (.*)\n# TYPE \S+ (\S+)\n`).FindAllStringSubmatch(scrape(t, NewMetrics("")), -1) {
		rows = append(rows, fmt.Sprintf("\n| `%s` | %s | %s |\n", m[1], m[3], m[2]))
	}
	if len(rows) < 20 {
		t.Fatalf("got %d metrics", len(rows))
	}
	return rows
}
