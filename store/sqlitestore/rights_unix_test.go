//go:build unix

package sqlitestore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A file or a directory that may not be written is named at Open. It takes a
// process without root's rights to see that.
func TestOpenWithoutRights(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "another user is needed, and this is not root")
	}
	path := filled(t)
	for dir := path; dir != os.TempDir() && dir != "/" && dir != "."; {
		dir = filepath.Dir(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // the other user must get here
			break // not ours, and open already or the child says so
		}
	}
	program := filepath.Join(filepath.Dir(path), "program") // the test's own lies where nobody may look
	image, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, image, 0o755); err != nil { // the other user must run it
		t.Fatal(err)
	}
	asNobody := func(cmd *exec.Cmd) {
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
	}
	for _, name := range []string{"no rights at all", "a file to read"} {
		t.Run(name, func(t *testing.T) {
			c := start(t, "open", path, asNobody)
			_ = c.stdin.Close()
			if err := c.cmd.Wait(); err == nil {
				t.Fatal("got a store, want an error")
			}
			if !containsAll(c.errs.String(), path, "permission denied") {
				t.Errorf("got %q, want the path and the cause", c.errs)
			}
			if err := os.Chmod(path, 0o644); err != nil { // for the second round
				t.Fatal(err)
			}
		})
	}
}
