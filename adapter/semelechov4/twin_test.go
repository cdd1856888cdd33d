package semelechov4_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The adapters of both versions of echo are one program: what differs is in version.go.
func TestTwin(t *testing.T) {
	asV4 := strings.NewReplacer("semelecho", "semelechov4", "echo/v5", "echo/v4", "echo v5", "echo v4", "*echo.Context", "echo.Context")
	theirs, ours := programOf(t, "../semelecho"), programOf(t, ".")
	for name, text := range theirs {
		if want := asV4.Replace(text); ours[name] != want {
			t.Errorf("%s is another than semelecho's: change both", name)
		}
	}
	if len(theirs) < 5 || len(ours) != len(theirs) {
		t.Errorf("got %d files, and %d of semelecho", len(ours), len(theirs))
	}
}

// programOf returns the files of a package that must be the same in both.
func programOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, path := range names {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || name == "version.go" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}
