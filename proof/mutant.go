package proof

import (
	"fmt"
	"strings"
)

// Mutant is one guard, broken on purpose.
type Mutant struct {
	// Name says what is broken.
	Name string
	// File is the file to change, from the repository's root.
	File string
	// Old occurs exactly once in File; New takes its place.
	Old, New string
	// Package is the folder of the tests, from the repository's root.
	Package string
	// Test is the regular expression of the test that must fail, for go test -run.
	Test string
}

// Apply returns the text of File with the guard broken.
func (m Mutant) Apply(text string) (string, error) {
	switch n := strings.Count(text, m.Old); n {
	case 1:
		return strings.Replace(text, m.Old, m.New, 1), nil
	default:
		return "", fmt.Errorf("%s: the text to break occurs %d times in %s, want 1: the guard has moved", m.Name, n, m.File)
	}
}
