package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type proxyKey struct{}

// runningProxy is the proxy that a script has started.
type runningProxy struct {
	cmd  *exec.Cmd
	rest chan string // what it printed, once it has ended

	mu   sync.Mutex
	text strings.Builder // what it has printed so far
}

func (p *runningProxy) printed(line string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.WriteString(line)
	return p.text.String()
}

// The log says when and where the proxy listens, as text or as JSON.
var ready = regexp.MustCompile(`msg"?[=:]"?ready.*listen"?[=:]"?([0-9.:]+).*admin"?[=:]"?([0-9.:]+)`)

// start ARGS...: starts semel proxy on free ports with ARGS and puts its
// addresses into $LISTEN and $ADMIN.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg, "start ARGS...")
	p := ts.Value(proxyKey{}).(*runningProxy)
	if p.cmd != nil {
		ts.Fatalf("a proxy runs")
	}
	p.cmd = exec.Command(program(ts), append([]string{"proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "TMPDIR", "SEMEL_UPSTREAM", "SEMEL_SCOPE", "SEMEL_CONFIG", "SEMEL_METHOD"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	ts.Defer(func() {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
			<-p.rest
			_ = p.cmd.Wait()
			p.cmd = nil // a script that starts twice comes here twice
		}
	})
	addrs := make(chan []string, 1)
	p.rest = make(chan string, 1)
	go func() { // ends with the process
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.printed(lines.Text() + "\n")
			if m := ready.FindStringSubmatch(lines.Text()); m != nil {
				addrs <- m[1:]
			}
		}
		close(addrs)
		p.rest <- p.printed("")
	}()
	at, ok := <-addrs
	if !ok {
		text := <-p.rest
		err := p.cmd.Wait()
		p.cmd = nil
		ts.Fatalf("the proxy ended (%v): %s", err, text)
	}
	ts.Setenv("LISTEN", at[0])
	ts.Setenv("ADMIN", at[1])
}

// logged PATTERN: waits until the proxy has printed it, at most 10 seconds.
func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "logged PATTERN")
	p := ts.Value(proxyKey{}).(*runningProxy)
	pattern := regexp.MustCompile(args[0])
	for late := time.Now().Add(10 * time.Second); !pattern.MatchString(p.printed("")); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			ts.Fatalf("the proxy has not printed %s:\n%s", args[0], p.printed(""))
		}
	}
}

// signal TERM|INT|KILL: ends the proxy, which must exit with 0 unless it is
// killed. What it printed is stderr. HUP ends nothing and waits for nothing.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}
	usage(ts, !neg && len(args) == 1 && signals[args[0]] != 0, "signal TERM|INT|KILL|HUP")
	p := ts.Value(proxyKey{}).(*runningProxy)
	if p.cmd == nil {
		ts.Fatalf("no proxy runs")
	}
	ts.Check(p.cmd.Process.Signal(signals[args[0]]))
	if args[0] == "HUP" {
		return
	}
	_, err := ts.Stderr().Write([]byte(<-p.rest))
	ts.Check(err)
	err = p.cmd.Wait()
	p.cmd = nil
	if args[0] != "KILL" {
		ts.Check(err)
	}
}

// program finds the command under test.
func program(ts *testscript.TestScript) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, "semel")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	ts.Fatalf("semel is not in PATH")
	return ""
}
