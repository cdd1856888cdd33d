package cli

import (
	"strings"
	"testing"

	operators "github.com/semel-go/semel/operator"
)

// Who works here is one line, and can sign a reason.
func TestWhoami(t *testing.T) {
	who := whoami()
	name, host, found := strings.Cut(who, "@")
	if !found || name == "" || host == "" || strings.ContainsFunc(who, breaks) {
		t.Errorf("got %q", who)
	}
	if _, err := operators.Sign(who, "why"); err != nil {
		t.Error(err)
	}
}
