// Command bench measures Semel against its peers and against the raw limits of
// the machine, and writes docs/benchmarks.md and its plot:
//
//	go run ./bench -out docs
//
// It needs the whole checkout, as it also builds the sidecar, and Linux for the
// facts under /proc. What needs a server that is not installed is left out, and
// the report says so; make servers installs them all.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	reportFile = "benchmarks.md"
	plotFile   = "benchmarks.svg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name, ok := os.LookupEnv(childEnv); ok {
		os.Exit(exitCode(os.Stderr, runChild(name, os.Stdin, os.Stdout)))
	}
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	closeServers()
	os.Exit(exitCode(os.Stderr, err))
}

func exitCode(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	}
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return 1
}

// group is a set of measurements that make one section of the report.
type group struct {
	name string
	run  func(ctx context.Context, e *env) (section, error)
}

func groups() []group {
	return append([]group{
		{"servehttp", serveHTTPGroup},
		{"loopback", loopbackGroup},
		{"sidecar", sidecarGroup},
		{"sqlite", sqliteGroup},
		{"million", millionGroup},
		{"console", consoleGroup},
		{"memory", memoryGroup},
		{"renewal", renewalGroup},
		{"tracing", tracingGroup},
		{"sealing", sealingGroup},
		{"adapters", adaptersGroup},
	}, serverGroups()...)
}

// env is what a group is given.
type env struct {
	rounds   int
	size     size
	dir      string // for files, on the disk under test; removed at the end
	progress func(format string, args ...any)
}

// size is how much is measured in one round.
type size struct {
	direct   int           // requests straight into ServeHTTP
	traced   int           // requests over a socket that are observed
	loopback int           // requests over a socket
	sidecar  int           // requests through a proxy
	warmup   int           // requests before each of those
	starts   int           // starts of the sidecar
	idle     time.Duration // after each of those
	window   time.Duration // of load on a durable store
	callers  []int         // at once, on a durable store
	small    int           // records in the smaller store
	large    int           // records in the larger store
	purging  time.Duration // of load with and without a purge
	pages    int           // requests of each page of the console
	records  int           // in the memory store
	attempts int           // in flight at once
	lease    time.Duration // of those

	serving  time.Duration // of load on a store on a server
	backlog  int           // expired records on a server
	leases   int           // in flight at once on a server
	leaseFor time.Duration // of those
}

var (
	fullSize = size{
		direct: 100_000, traced: 10_000, loopback: 60_000, sidecar: 20_000, warmup: 3_000, starts: 9, idle: time.Second,
		window: time.Second, callers: []int{1, 2, 4, 8, 16, 32, 64},
		small: 10_000, large: 1_000_000, purging: 3 * time.Second, pages: 200,
		records: 200_000, attempts: 10_000, lease: 30 * time.Second,
		serving: 1500 * time.Millisecond, backlog: 500_000, leases: 10_000, leaseFor: 30 * time.Second,
	}
	quickSize = size{
		direct: 2_000, traced: 200, loopback: 1_000, sidecar: 500, warmup: 64, starts: 1, idle: 100 * time.Millisecond,
		window: 50 * time.Millisecond, callers: []int{1, 8, 64},
		small: 200, large: 2_000, purging: 100 * time.Millisecond, pages: 3,
		records: 5_000, attempts: 500, lease: time.Second,
		serving: 50 * time.Millisecond, backlog: 2_000, leases: 100, leaseFor: 3 * time.Second,
	}
)

// run is the command without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		out    = flags.String("out", "", "write "+reportFile+" and "+plotFile+" to this folder; default: the report goes to the standard output")
		only   = flags.String("only", "", "run one group: "+strings.Join(groupNames(), ", "))
		quick  = flags.Bool("quick", false, "tiny counts: proves that everything runs, measures nothing")
		rounds = flags.Int("rounds", 5, "how often everything is measured")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	switch {
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *rounds < 1:
		return fmt.Errorf("-rounds %d is less than 1", *rounds)
	}
	r := report{command: "go run ./bench " + strings.Join(args, " "), rounds: *rounds, quick: *quick}
	if err := r.measure(ctx, chosen, stderr); err != nil {
		return err
	}
	return r.save(*out, stdout)
}

func groupNames() []string {
	var names []string
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}

func choose(only string) ([]group, error) {
	if only == "" {
		return groups(), nil
	}
	i := slices.IndexFunc(groups(), func(g group) bool { return g.name == only })
	if i < 0 {
		return nil, fmt.Errorf("-only %q is none of %s", only, strings.Join(groupNames(), ", "))
	}
	return groups()[i : i+1], nil
}

// measure runs the groups one after the other.
func (r *report) measure(ctx context.Context, chosen []group, log io.Writer) error {
	start := time.Now()
	dir, err := os.MkdirTemp(scratchParent(), "semel-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r.machine = readMachine(ctx, dir)
	for _, g := range chosen {
		e := &env{rounds: r.rounds, size: fullSize, dir: dir}
		if r.quick {
			e.size = quickSize
		}
		e.progress = func(format string, args ...any) {
			_, _ = fmt.Fprintf(log, "%6s  %-10s %s\n", time.Since(start).Round(time.Second), g.name, fmt.Sprintf(format, args...))
		}
		began, m := time.Now(), startMeter()
		s, err := g.run(ctx, e)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		s.took, s.foreign = time.Since(began), m.foreign()
		r.sections = append(r.sections, s)
	}
	r.took = time.Since(start)
	return nil
}

// scratchParent is a folder on a real disk if there is one: many systems keep
// /tmp in memory, where nothing is durable and nothing about it is measured.
func scratchParent() string {
	if fileSystem(os.TempDir()) != "tmpfs" {
		return os.TempDir()
	}
	dir, err := os.Getwd()
	if err != nil {
		return os.TempDir()
	}
	return dir
}

// save writes the report and its plot, or prints the report.
func (r *report) save(out string, stdout io.Writer) error {
	if out == "" {
		return r.write(stdout)
	}
	var b bytes.Buffer
	if err := r.write(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, s := range r.sections {
		if len(s.curves) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(out, plotFile), plot(s.curves), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, reportFile), b.Bytes(), 0o644)
}
