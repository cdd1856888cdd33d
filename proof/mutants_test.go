package proof

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = ".."

// Each mutant must still apply: a guard that has moved takes its mutant along.
func TestMutantsApply(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range Mutants() {
		if names[m.Name] {
			t.Errorf("%s: there are two", m.Name)
		}
		names[m.Name] = true
		text, err := os.ReadFile(filepath.Join(root, m.File))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := m.Apply(string(text)); err != nil {
			t.Error(err)
		}
	}
}

// TestMutantsAreCaught runs go test once for each mutant, with the broken file
// laid over the real one. It takes minutes, so it runs when it is asked to.
func TestMutantsAreCaught(t *testing.T) {
	if os.Getenv("SEMEL_MUTANTS") == "" {
		t.Skip("set SEMEL_MUTANTS=1, or run make mutants")
	}
	for _, m := range Mutants() {
		t.Run(m.Name, func(t *testing.T) {
			if out, err := goTest(t, m, ""); err != nil {
				t.Fatalf("the test fails without the mutant:\n%s", out)
			}
			out, err := goTest(t, m, overlay(t, m))
			switch {
			case err == nil:
				t.Errorf("survived: %s passed", m.Test)
			case !strings.Contains(out, "--- FAIL") && !strings.Contains(out, "panic: "):
				t.Errorf("nothing failed but the build:\n%s", out)
			}
		})
	}
}

// overlay writes the broken file and the map that lays it over the real one.
func overlay(t *testing.T, m Mutant) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(root, m.File))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := m.Apply(string(text))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	instead := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(instead, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]map[string]string{"Replace": {file: instead}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

func goTest(t *testing.T, m Mutant, overlay string) (string, error) {
	t.Helper()
	args := []string{"test", "-timeout", "2m", "-run", m.Test}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = filepath.Join(root, m.Package)
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "no tests to run") {
		t.Fatalf("%s names no test of %s", m.Test, m.Package)
	}
	return string(out), err
}
