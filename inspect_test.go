package semel_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

func TestUnfit(t *testing.T) {
	fine := semel.Finding{Name: "schema", Value: "1"}
	weak := semel.Finding{Name: "fsync", Value: "off", Level: semel.Weak, Advice: "Turn it on."}
	policy := semel.Finding{Name: "maxmemory-policy", Value: "allkeys-lru", Level: semel.Broken, Advice: "Set noeviction."}
	role := semel.Finding{Name: "role", Value: "replica", Level: semel.Broken, Advice: "Name the master."}
	if err := semel.Unfit([]semel.Finding{fine, weak}); err != nil {
		t.Errorf("got %v, want nothing: weak is not broken", err)
	}
	err := semel.Unfit([]semel.Finding{fine, policy, weak, role})
	unfit, ok := errors.AsType[*semel.UnfitError](err)
	if !ok || len(unfit.Findings) != 2 {
		t.Fatalf("got %v, want both broken findings", err)
	}
	const want = "the server is not fit: maxmemory-policy is allkeys-lru: Set noeviction.; role is replica: Name the master."
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	for level, text := range map[semel.Level]string{semel.Fine: "fine", semel.Weak: "weak", semel.Broken: "broken", 9: "invalid"} {
		if level.String() != text {
			t.Errorf("got %q, want %q", level, text)
		}
	}
}

func TestAnnounce(t *testing.T) {
	var log bytes.Buffer
	found := semel.Inspection{Server: "Toy 1", Findings: []semel.Finding{
		{Name: "schema", Value: "1"},
		{Name: "fsync", Value: "off", Level: semel.Weak, Advice: "Turn it on."},
	}}
	found.Announce(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), semel.Grade{Letter: "C", Survives: "Nothing."})
	text := log.String()
	for _, want := range []string{"level=INFO", `server="Toy 1" grade=C survives=Nothing.`, "level=WARN", `name=fsync value=off advice="Turn it on."`} {
		if !strings.Contains(text, want) {
			t.Errorf("got this log, want %s in it:\n%s", want, text)
		}
	}
	if strings.Contains(text, "schema") || strings.Count(text, "\n") != 2 {
		t.Errorf("got this log, want two lines, none about what is fine:\n%s", text)
	}
}
