package redisstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
)

// blockSnapshots makes every snapshot of a server fail: a folder that is not
// empty is where its file should go, and no user can rename over it.
func blockSnapshots(t *testing.T, server *servertest.Server) {
	t.Helper()
	must(t, "mkdir", os.MkdirAll(filepath.Join(server.Dir(), "dump.rdb", "full"), 0o755))
}
