package verify_test

import (
	"os"
	"testing"

	"github.com/semel-go/semel/interop/internal/command"
)

func TestMain(m *testing.M) { os.Exit(command.Main(m)) }
