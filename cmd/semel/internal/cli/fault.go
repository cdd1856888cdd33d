package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// exitCode is what the process returns. The numbers are documented and stable.
type exitCode int

const (
	exitDone    exitCode = iota
	exitRefused          // the operation was refused or a check failed
	exitUsage            // the caller asked wrongly
	exitOutside          // a store, a port or a file is not as it must be

	exitInterrupted exitCode = 130 // Ctrl-C, as a shell says it
)

// errInterrupted says that the person ended what was going on.
var errInterrupted = errors.New("interrupted")

// fault is an error with its exit code and the next step.
type fault struct {
	code exitCode
	err  error
	hint string // "" for none
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func refused(hint, format string, args ...any) error {
	return &fault{exitRefused, fmt.Errorf(format, args...), hint}
}

func wrong(hint, format string, args ...any) error {
	return &fault{exitUsage, fmt.Errorf(format, args...), hint}
}

func outside(hint, format string, args ...any) error {
	return &fault{exitOutside, fmt.Errorf(format, args...), hint}
}

// report tells the person about err and returns the exit code. An error that is
// no fault comes from package cobra, about arguments.
func (a *app) report(err error) int {
	if errors.Is(a.out.err, syscall.EPIPE) && (err == nil || errors.Is(err, syscall.EPIPE)) {
		return int(exitOutside) // the reader left, as head does: nobody wants to know
	}
	if errors.Is(err, errInterrupted) {
		a.say("%v", errInterrupted)
		return int(exitInterrupted)
	}
	if err == nil && a.out.err != nil {
		err = outside("", "standard output: %w", a.out.err)
	}
	if err == nil {
		return int(exitDone)
	}
	f := &fault{code: exitUsage, err: err}
	_ = errors.As(err, &f)
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		a.say("error: %s", strings.TrimRight(line, "\n"))
	}
	if f.hint != "" {
		a.say("hint: %s", f.hint)
	}
	return int(f.code)
}

// say writes one line to standard error.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, "semel: "+format+"\n", args...) // nowhere is left to complain
}

// output remembers the first failure to write, so that a full disk behind a
// redirection is not taken for success.
type output struct {
	w   io.Writer
	err error
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

func (o *output) printf(format string, args ...any) { _, _ = fmt.Fprintf(o, format, args...) }
