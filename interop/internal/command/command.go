// Package command builds the semel command and runs it for tests of this module.
package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// binary is the command, built once for a test binary, beside the other programs that tests
// drive. The linker writes the file anew, so that test binaries do not disturb one another.
var binary = sync.OnceValues(build)

// into is the folder of the command; "" while nothing has asked for it.
var into string

func build() (string, error) {
	root, err := exec.Command("go", "env", "GOWORK").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(string(bytes.TrimSpace(root)))
	bin := filepath.Join(dir, ".bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	if into, err = os.MkdirTemp(bin, "interop-"); err != nil {
		return "", err
	}
	path := filepath.Join(into, "semel")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join(dir, "cmd", "semel")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// Main runs the tests and removes what they have built. It is for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if into != "" {
		_ = os.RemoveAll(into)
	}
	return code
}

// New is the command with arguments, in an environment of its own.
func New(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return cmd
}

var ready = regexp.MustCompile(`msg=ready listen=([0-9.:]+)`)

// Proxy starts a sidecar in front of upstream and returns its address, HOST:PORT. It ends with the
// test, and its log is shown when that fails.
func Proxy(t testing.TB, upstream string, args ...string) string {
	t.Helper()
	cmd := New(t, append([]string{"proxy", "--upstream", upstream, "--admin", "off", "--listen", "127.0.0.1:0"}, args...)...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	listening, done := make(chan string, 1), make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		defer close(listening)
		lines := bufio.NewScanner(io.TeeReader(pipe, &log))
		for lines.Scan() {
			if m := ready.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the sidecar's log:\n%s", log.String())
		}
	})
	at, ok := <-listening
	if !ok {
		t.Fatalf("the sidecar ended before it was ready:\n%s", log.String())
	}
	return at
}
