package sqlitestore_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// childEnv names what a child process is to do instead of testing.
const childEnv = "SEMEL_SQLITESTORE_CHILD"

// children are the programs that tests run in a process of their own. They get
// the database's path, write lines to stdout, and return on success.
var children = map[string]func(path string, in io.Reader, out io.Writer) error{
	"hold":       childHold,
	"load":       childLoad,
	"share":      childShare,
	"open":       childOpen,
	"refuse":     childRefuse,
	"refuse-log": childRefuseLog,
	"damage":     childDamage,
	"stuck":      childStuck,
	"calls":      childCalls,
	"guest":      childGuest,
}

func TestMain(m *testing.M) {
	name, path, isChild := strings.Cut(os.Getenv(childEnv), " ")
	if !isChild {
		os.Exit(m.Run())
	}
	if err := children[name](path, os.Stdin, os.Stdout); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// child is a running child process.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
	errs  *text
}

// text is what a child writes, to be read while it does.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

// String returns what was written so far.
func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// start runs this test binary again as the child called name. It is killed at
// the end of the test if it still runs.
func start(t *testing.T, name, path string, prepare ...func(*exec.Cmd)) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name+" "+path)
	c := &child{cmd: cmd, errs: new(text)}
	cmd.Stderr = c.errs
	for _, f := range prepare {
		f(cmd)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.stdin, c.lines = stdin, bufio.NewReaderSize(stdout, 1<<20)
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return c
}

// line returns the next whole line of the child's output; false at its end.
func (c *child) line() (string, bool) {
	line, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err == nil
}

// skip skips a test for want of something on this machine, or fails it when
// everything was required.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
		t.Fatalf("SEMEL_TEST_REQUIRE=all, but %s", why)
	}
	t.Skip(why)
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// uncancelled is the context of what a child does: it has no test.
func uncancelled() context.Context { return context.Background() }
