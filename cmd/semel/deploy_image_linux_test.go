package main

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	dockerfile = "../../deploy/docker/Dockerfile"
	nobody     = 65532 // the user of the image
	mebibyte   = 1 << 20
)

// buildStatic builds the command by the line of the Dockerfile, but for -trimpath, which
// would compile every dependency anew.
func buildStatic(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^RUN ((?:[A-Z_]+=\S+ )*)(go build .*) -o /out/semel (\S+)$`).FindSubmatch(text)
	if line == nil {
		t.Fatal("the Dockerfile has no line that builds the command")
	}
	path := filepath.Join(t.TempDir(), "semel")
	args := append(strings.Fields(strings.ReplaceAll(string(line[2]), " -trimpath", "")), "-o", path, string(line[3]))
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), strings.Fields(string(line[1]))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// alone makes cmd run in an empty file system as the user of the image: as root at once, as
// anybody else by a user name space, if the machine has them.
func alone(cmd *exec.Cmd, root string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	cmd.Dir = "/var/lib/semel"
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		return
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// emptyRoot is a file system with the binary and the working directory of the image.
func emptyRoot(t *testing.T, binary string) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != "/" && dir != "."; dir = filepath.Dir(dir) { // the user of the image must get there
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o055); err != nil {
				t.Skipf("SKIPPED: %s is closed to other users: %v", dir, err)
			}
		}
	}
	data := filepath.Join(root, "var/lib/semel")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(data, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "semel"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestImage: what the Dockerfile builds is one static file of less than 40 MiB, which serves
// from SQLite in an empty file system that is read-only but for its directory, as a user
// without rights, with less than 40 MiB of memory.
func TestImage(t *testing.T) {
	path := buildStatic(t)
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a %v", p.Type)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 40*mebibyte {
		t.Errorf("the binary has %.1f MiB, more than 40", float64(info.Size())/mebibyte)
	}

	root := emptyRoot(t, path)
	upstream, _ := shop(t)
	cmd := exec.CommandContext(t.Context(), "/semel", "proxy", "--upstream", upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	alone(cmd, root)
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("SEMEL_TEST_REQUIRE=all, but there is no way into an empty file system: %v", err)
		}
		t.Skipf("SKIPPED: neither root nor a user name space: %v", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}()
	listen, admin := whereIs(t, logs)
	resident := residentMemory(t, cmd.Process.Pid)
	if status, text := ask(t, http.MethodGet, "http://"+admin+"/readyz?verbose"); status != http.StatusOK {
		t.Errorf("/readyz: got %d %s", status, text)
	}
	took := time.Since(began)
	if status, text := ask(t, http.MethodPost, "http://"+listen+"/orders"); status != http.StatusCreated {
		t.Errorf("got %d %s, want an order", status, text)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/semel/semel.db")); err != nil {
		t.Errorf("the store is not where the volume is: %v", err)
	}
	if resident > 40*mebibyte {
		t.Errorf("idle it has %.1f MiB in memory, more than 40", float64(resident)/mebibyte)
	}
	t.Logf("binary %.1f MiB, idle %.1f MiB, ready after %v", float64(info.Size())/mebibyte, float64(resident)/mebibyte, took.Round(time.Millisecond))
}

// whereIs reads the log until the sidecar is ready, and goes on reading.
func whereIs(t *testing.T, logs io.Reader) (listen, admin string) {
	t.Helper()
	var seen strings.Builder
	lines := bufio.NewScanner(logs)
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		if m := regexp.MustCompile(`msg=ready listen=(\S+) .*admin=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, logs) }() // ends with the process
			return m[1], m[2]
		}
	}
	t.Fatalf("it ended before it was ready:\n%s", &seen)
	return "", ""
}

func residentMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// ask sends a request with a key.
func ask(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", "image")
	req.Header.Set("Authorization", "test")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// TestDockerfile: the image has no root user, no shell, and one place to write.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"\nFROM scratch\n", fmt.Sprintf("\nUSER %d:%d\n", nobody, nobody), "\nWORKDIR /var/lib/semel\n", "\nHEALTHCHECK NONE\n",
		"\nENTRYPOINT [\"/semel\"]\n", "/etc/ssl/certs/ca-certificates.crt\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the Dockerfile lacks %q", line)
		}
	}
	version, err := os.ReadFile("../../go.work")
	if err != nil {
		t.Fatal(err)
	}
	minor := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(version)
	if !strings.Contains(string(text), "FROM golang:"+string(minor[1])) {
		t.Errorf("the Dockerfile does not build with Go %s, as go.work says", minor[1])
	}
}
