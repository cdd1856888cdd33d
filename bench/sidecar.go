package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	bareProxy    = "bare ReverseProxy"
	proxyFirst   = "semel proxy, first"
	proxyReplay  = "semel proxy, replay"
	commandPath  = "github.com/semel-go/semel/cmd/semel"
	upstreamName = "net/http bare"
)

// sidecarGroup measures the real command against the standard library's proxy.
func sidecarGroup(ctx context.Context, e *env) (section, error) {
	command, err := buildCommand(ctx, e)
	if err != nil {
		return section{}, err
	}
	rate, cpu := series{}, series{}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		both := []func() error{
			func() error { return measureProxy(ctx, e.size, rate, cpu) },
			func() error { return measureSidecar(ctx, e, command, rate, cpu) },
		}
		for _, measure := range turned(round, both) {
			if err := measure(); err != nil {
				return section{}, err
			}
		}
	}
	ready, resident := series{}, series{}
	for i := range e.size.starts {
		e.progress("start %d of %d", i+1, e.size.starts)
		for _, store := range []string{"memory", "sqlite"} {
			if err := measureStart(ctx, e, command, store, ready, resident); err != nil {
				return section{}, fmt.Errorf("semel proxy on %s: %w", store, err)
			}
		}
	}
	s := section{
		title: "The sidecar",
		method: fmt.Sprintf(sidecarMethod, connections, number(float64(e.size.sidecar), 0), runtime.NumCPU(),
			e.size.idle, e.size.starts),
		tables: []table{proxyTable(rate, cpu), startTable(ready, resident)},
	}
	s.goals = []goal{
		atLeast("sidecar on memory, first ≥ 0.95 of a bare ReverseProxy", rate[proxyFirst].over(rate[bareProxy]), 0.95),
		atLeast("sidecar on memory, replay ≥ 2.5 × a bare ReverseProxy", rate[proxyReplay].over(rate[bareProxy]), 2.5),
	}
	for _, store := range []string{"memory", "sqlite"} {
		s.goals = append(s.goals,
			atMost("idle sidecar on "+store+" ≤ 40 MiB resident", resident[store], 40, 1),
			atMost("sidecar on "+store+" ready in ≤ 200 ms", ready[store], 200, 0))
	}
	return s, nil
}

const sidecarMethod = `The load above, %d connections and %s requests of each row in a round, goes to a proxy and from there to the bare net/http server,
all on the same %d cores: the command semel proxy with --store memory: and otherwise its defaults, and httputil.ReverseProxy
with Rewrite, a buffer pool, 1,024 idle connections per host and no compression. Fresh processes for each. The handler behind
the proxy tells how often it ran, as above. Ready is from the start of the process to the first 200 of /readyz, resident is
VmRSS %s after that without a request, over %d starts each.`

func proxyTable(rate, cpu series) table {
	t := table{columns: []string{"requests/s", "of the bare proxy", "proxy CPU µs a request", "of the bare proxy's"}}
	for _, name := range []string{bareProxy, proxyFirst, proxyReplay} {
		r := row{name: name, cells: []cell{{rate[name], 0}, {}, {cpu[name], 1}, {}}}
		if name != bareProxy {
			r.cells[1] = cell{rate[name].over(rate[bareProxy]), 2}
			r.cells[3] = cell{cpu[name].over(cpu[bareProxy]), 2}
		}
		t.rows = append(t.rows, r)
	}
	return t
}

func startTable(ready, resident series) table {
	t := table{columns: []string{"ready, ms", "idle, MiB resident"}}
	for _, store := range []string{"memory", "sqlite"} {
		t.rows = append(t.rows, row{"semel proxy --store " + store, []cell{{ready[store], 0}, {resident[store], 1}}})
	}
	return t
}

// buildCommand builds the real command from this checkout.
func buildCommand(ctx context.Context, e *env) (string, error) {
	e.progress("builds the command")
	path := filepath.Join(e.dir, "semel")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, commandPath).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", commandPath, err, out)
	}
	return path, nil
}

func measureProxy(ctx context.Context, n size, rate, cpu series) error {
	upstream, err := startChild(ctx, "subject "+upstreamName, runtime.NumCPU())
	if err != nil {
		return err
	}
	defer upstream.stop()
	proxy, err := startChild(ctx, "proxy http://"+upstream.addr, runtime.NumCPU())
	if err != nil {
		return err
	}
	defer proxy.stop()
	d := driver{server: proxy, counter: upstream.addr, warmup: n.warmup, rate: rate, cpu: cpu}
	if err := d.first(ctx, bareProxy, n.sidecar); err != nil {
		return fmt.Errorf("%s: %w", bareProxy, err)
	}
	return nil
}

func measureSidecar(ctx context.Context, e *env, command string, rate, cpu series) error {
	upstream, err := startChild(ctx, "subject "+upstreamName, runtime.NumCPU())
	if err != nil {
		return err
	}
	defer upstream.stop()
	proxy, _, err := startSidecar(ctx, command, upstream.addr, "memory:")
	if err != nil {
		return err
	}
	defer proxy.stop()
	d := driver{server: proxy, counter: upstream.addr, warmup: e.size.warmup, rate: rate, cpu: cpu}
	if err := d.replay(ctx, proxyReplay, e.size.sidecar, true); err != nil {
		return fmt.Errorf("%s: %w", proxyReplay, err)
	}
	if err := d.first(ctx, proxyFirst, e.size.sidecar); err != nil {
		return fmt.Errorf("%s: %w", proxyFirst, err)
	}
	return nil
}

// measureStart starts a sidecar that gets no request.
func measureStart(ctx context.Context, e *env, command, store string, ready, resident series) (err error) {
	url := "memory:"
	if store == "sqlite" {
		path := filepath.Join(e.dir, "start.db")
		defer func() { err = errors.Join(err, removeDatabase(path)) }()
		url = "sqlite:" + path
	}
	proxy, took, err := startSidecar(ctx, command, "127.0.0.1:9", url) // the discard port: nobody is asked
	if err != nil {
		return err
	}
	defer proxy.stop()
	if err := sleepUntil(ctx, time.Now().Add(e.size.idle)); err != nil {
		return err
	}
	mib, err := residentMiB(proxy.pid())
	if err != nil {
		return err
	}
	ready.add(store, float64(took.Microseconds())/1000)
	resident.add(store, mib)
	return nil
}

// startSidecar starts the command and waits until it is ready.
func startSidecar(ctx context.Context, command, upstream, store string) (*process, time.Duration, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.CommandContext(ctx, command, "proxy", "--upstream", "http://"+upstream,
		"--listen", addrs[0], "--admin", addrs[1], "--store", store)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	p := &process{cmd: cmd, addr: addrs[0]}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for time.Since(start) < 10*time.Second && ctx.Err() == nil {
		answer, err := client.Get("http://" + addrs[1] + "/readyz")
		if err == nil {
			_ = answer.Body.Close() // only the status counts
			if answer.StatusCode == http.StatusOK {
				return p, time.Since(start), nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	return nil, 0, errors.Join(fmt.Errorf("it does not get ready:\n%s", &said), ctx.Err())
}

// freeAddrs returns loopback addresses that nobody listens on now.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = ln.Close() }()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// residentMiB reads what a process has in memory, its program text included.
func residentMiB(pid int) (float64, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/status"
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	kb, err := strconv.ParseFloat(strings.TrimSuffix(procField(path, "VmRSS"), " kB"), 64)
	return kb / 1024, err
}
