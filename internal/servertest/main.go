//go:build unix

package servertest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TB is what a test or a benchmark gives to this package: a [testing.TB], or what
// a program that measures has in its place. Fatal, Fatalf and Skip do not return.
type TB interface { //nolint:interfacebloat // it is a part of testing.TB
	Helper()
	Logf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Failed() bool
	Cleanup(f func())
}

var _ TB = testing.TB(nil)

// Main runs the tests of a package, ends the servers that they shared and
// returns the exit code. It is for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	Close()
	return code
}

// Close ends the servers that are shared and removes the folders of all. A
// program that is no test calls it before it ends.
func Close() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, s := range shared.servers {
		if s.server != nil && !s.server.External() {
			_ = s.server.end(syscall.SIGKILL) // nobody needs its data
		}
	}
	removeFolders()
}

// shared are the servers of this process, by kind.
var shared struct {
	mu      sync.Mutex
	servers map[string]*sharedServer
}

type sharedServer struct {
	once   sync.Once
	server *Server
	err    error
}

// share returns the server of a kind: the one that the environment variable
// names, or one that is started when it is first asked for.
func share(tb TB, kind, variable string, external func(dsn string) (*Server, error), start func() (*Server, error)) *Server {
	tb.Helper()
	shared.mu.Lock()
	if shared.servers == nil {
		shared.servers = make(map[string]*sharedServer)
	}
	s := shared.servers[kind]
	if s == nil {
		s = new(sharedServer)
		shared.servers[kind] = s
	}
	shared.mu.Unlock()
	s.once.Do(func() {
		if dsn := os.Getenv(variable); dsn != "" {
			s.server, s.err = external(dsn)
			return
		}
		s.server, s.err = start()
	})
	if s.err != nil {
		missing(tb, kind, s.err)
	}
	return s.server
}

// private starts a server for one test.
func private(tb TB, kind string, start func() (*Server, error)) *Server {
	tb.Helper()
	s, err := start()
	if err != nil {
		missing(tb, kind, err)
	}
	tb.Cleanup(func() {
		_ = s.end(syscall.SIGKILL)
		if tb.Failed() {
			tb.Logf("the log of %s at %s:\n%s", s.kind, s.addr, tail(s.Log()))
		}
		_ = os.RemoveAll(s.dir)
	})
	return s
}

// notFoundError says that a program is not installed.
type notFoundError struct{ program string }

func (e *notFoundError) Error() string { return e.program + " is not installed: make servers" }

// missing ends a test that has no server. Only a program that is not installed
// is a reason to skip.
func missing(tb TB, kind string, err error) {
	tb.Helper()
	if nf, ok := errors.AsType[*notFoundError](err); ok && os.Getenv("SEMEL_TEST_REQUIRE") != "all" {
		tb.Skip(nf.Error())
	}
	tb.Fatalf("servertest: no %s: %v", kind, err)
}

// find returns the path of the first of programs that is on the PATH or where
// Debian puts servers.
func find(programs ...string) (string, error) {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/", "/usr/local/sbin/"} {
			found, err := filepath.Glob(pattern + name)
			if err == nil && len(found) > 0 {
				return found[len(found)-1], nil
			}
		}
	}
	return "", &notFoundError{programs[0]}
}

// Program returns the path of the first of programs that is installed, for tests that run
// one which is no server. Without any the test is skipped, or fails as with a server.
func Program(tb TB, programs ...string) string {
	tb.Helper()
	path, err := find(programs...)
	if err != nil {
		missing(tb, programs[0], err)
	}
	return path
}

// Name returns an identifier that no other test of any process has: lower-case
// letters and digits, a letter first, 20 characters. It is fit for a schema, a
// database, a key prefix and a stream.
func Name(tb TB) string {
	tb.Helper()
	return "t" + strings.ToLower(rand.Text()[:19])
}

// port returns a free port outside the range from which the kernel takes ports
// for outgoing connections: a server that is restarted finds it free again.
func port() (int, error) {
	const lowest, count = 15000, 16000
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(count))
		if err != nil {
			return 0, err
		}
		p := lowest + int(n.Int64())
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
		if err != nil {
			continue
		}
		return p, l.Close()
	}
	return 0, fmt.Errorf("no free port between %d and %d", lowest, lowest+count)
}

const folderPrefix = "semel-servertest-"

// folder makes a folder that the user of the servers may write to. Its name
// tells the process that made it.
func folder(kind string) (string, error) {
	removeStale()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-%s-", folderPrefix, os.Getpid(), kind))
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return "", err
	}
	if uid, gid, ok := nobody(); ok {
		err = os.Chown(dir, int(uid), int(gid))
	}
	return dir, err
}

func removeFolders() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-*", folderPrefix, os.Getpid())))
	for _, dir := range dirs {
		_ = os.RemoveAll(dir)
	}
}

// removeStale removes once what processes that are gone have left behind.
var removeStale = sync.OnceFunc(func() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(dir)
		}
	}
})

// nobody returns the user that servers run as when the tests run as root, as
// some refuse to run as root.
func nobody() (uid, gid uint32, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, false
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), err1 == nil && err2 == nil
}

// unprivileged makes a process run as nobody, if this one runs as root.
func unprivileged() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if uid, gid, ok := nobody(); ok {
		attr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return attr
}

// command runs a program that prepares a server, as the server's user.
func command(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = dir, unprivileged()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, tail(string(out)))
	}
	return nil
}
