package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is where the figures come from, read when they are made.
type machine struct {
	cpu      string
	cores    int
	memory   string
	kernel   string
	disk     string // the file system that holds the files under test
	goos     string
	compiler string
	commit   string
	date     time.Time
}

// readMachine reads what it can: a fact that is not to be had is left out.
func readMachine(ctx context.Context, dir string) machine {
	m := machine{
		cores:    runtime.NumCPU(),
		goos:     runtime.GOOS + "/" + runtime.GOARCH,
		compiler: runtime.Version(),
		date:     time.Now().UTC(),
		cpu:      procField("/proc/cpuinfo", "model name"),
		memory:   procField("/proc/meminfo", "MemTotal"),
		disk:     fileSystem(dir),
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel = string(bytes.TrimSpace(b))
	}
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	if b, err := cmd.Output(); err == nil { // not in a checkout: no commit to name
		m.commit = string(bytes.TrimSpace(b))
	}
	return m
}

// String is a Markdown table.
func (m machine) String() string {
	var b strings.Builder
	b.WriteString("| machine | |\n|---|---|\n")
	for _, fact := range [][2]string{
		{"CPU", m.cpu},
		{"cores", strconv.Itoa(m.cores)},
		{"memory", m.memory},
		{"disk", m.disk},
		{"kernel", m.kernel},
		{"Go", m.compiler + " " + m.goos},
		{"commit", m.commit},
		{"date", m.date.Format("2006-01-02 15:04 MST")},
	} {
		if fact[1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", fact[0], fact[1])
		}
	}
	return b.String()
}

// procField returns the first value of a "name: value" file.
func procField(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem names the type of the mount that holds dir.
func fileSystem(dir string) string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	best, kind := "", ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < len(best) {
			continue
		}
		if f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/") {
			best, kind = f[1], f[2]
		}
	}
	return kind
}

// ticksPerSecond is the unit of /proc: USER_HZ is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// busyTime returns the CPU time that all processes of the machine have taken.
func busyTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	var ticks int64
	for i, text := range f {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(text, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// meter tells how much of the machine others took.
type meter struct {
	start     time.Time
	busy, own time.Duration
}

func startMeter() meter { return meter{time.Now(), busyTime(), ownTime()} }

// foreign is the share of all cores since the start that was not ours. Interrupts
// of our own network and disk traffic count as foreign, as nobody accounts for them.
func (m meter) foreign() float64 {
	busy, own := busyTime()-m.busy, ownTime()-m.own
	return max(0, float64(busy-own)/(float64(time.Since(m.start))*float64(runtime.NumCPU())))
}
