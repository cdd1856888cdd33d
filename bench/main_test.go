package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary serve for a measurement, as the command does.
func TestMain(m *testing.M) {
	if name, ok := os.LookupEnv(childEnv); ok {
		os.Exit(exitCode(os.Stderr, runChild(name, os.Stdin, os.Stdout)))
	}
	code := m.Run()
	closeServers()
	os.Exit(code)
}

// TestQuickRunWritesEveryRow runs every group with tiny counts. The figures say
// nothing; that they are there, and that all checks of answers and of handler
// runs inside the groups passed, is what is tested.
func TestQuickRunWritesEveryRow(t *testing.T) {
	r := report{command: "go test", rounds: 1, quick: true}
	if err := r.measure(t.Context(), groups(), t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.sections {
		if !s.missing && (len(s.goals) == 0 || len(s.tables) == 0) {
			t.Errorf("%s: got %d goals and %d tables, want some", s.title, len(s.goals), len(s.tables))
		}
		for _, tab := range s.tables {
			checkTable(t, s.title, tab)
		}
	}
	dir := filepath.Join(t.TempDir(), "docs")
	if err := r.save(dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	checkReport(t, filepath.Join(dir, reportFile), r)
	checkXML(t, filepath.Join(dir, plotFile))
}

// mayBeZero names the columns of counts. Everything else is a time, a rate or a
// ratio, and takes or does something.
var mayBeZero = map[string]bool{"allocations": true, "bytes": true, "Semel, WAL bytes a replay": true}

func checkTable(t *testing.T, title string, tab table) {
	t.Helper()
	if len(tab.rows) == 0 {
		t.Errorf("%s: the table %v has no rows", title, tab.columns)
	}
	for _, r := range tab.rows {
		if len(r.cells) != len(tab.columns) {
			t.Errorf("%s, %s: got %d cells, want %d", title, r.name, len(r.cells), len(tab.columns))
			continue
		}
		filled := 0
		for i, c := range r.cells {
			for _, v := range c.values {
				filled++
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v == 0 && !mayBeZero[tab.columns[i]] {
					t.Errorf("%s, %s, %s: got %v, want more than 0", title, r.name, tab.columns[i], v)
				}
			}
		}
		if filled == 0 {
			t.Errorf("%s, %s: the row is empty", title, r.name)
		}
	}
}

func checkReport(t *testing.T, path string, r report) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, s := range r.sections {
		want := []string{"## " + s.title}
		for _, g := range s.goals {
			want = append(want, "| "+g.text+" | "+g.got)
		}
		for _, tab := range s.tables {
			for _, row := range tab.rows {
				want = append(want, "\n| "+row.name+" | ")
			}
		}
		for _, line := range want {
			if !strings.Contains(text, line) {
				t.Errorf("the report lacks %q", line)
			}
		}
	}
	if strings.Contains(text, "NaN") {
		t.Error("the report contains NaN")
	}
}

func checkXML(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != len(engines()) {
		t.Errorf("got %d curves, want %d", lines, len(engines()))
	}
}

func TestFlagsThatAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "nothing"}, {"-rounds", "0"}, {"stray"}, {"-unknown"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v: got no error, want one", args)
		}
	}
}
