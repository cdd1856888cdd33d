// Package fiber has tests of the way from fiber's own idempotency middleware to Semel, see
// docs/migrating.md.
package fiber

import (
	"os"
	"testing"

	"github.com/semel-go/semel/interop/internal/command"
)

func TestMain(m *testing.M) { os.Exit(command.Main(m)) }
