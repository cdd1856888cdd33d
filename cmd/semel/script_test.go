package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/sqlitestore"
)

// condition knows [root], for whom no file is read-only.
func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// usage ends a script that calls a command wrongly.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// exits CODE PROGRAM ARGS...: runs a program, which must exit with CODE.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "exits CODE PROGRAM ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// seed FILE STATE SCOPE KEY [BODYFILE]: puts a record into a store, and its slot
// and fence into $SLOT and $FENCE. The states are reserved, deferred (reserved, no
// effect yet), lapsed, blameless (deferred, lapsed), doubtful (deferred, lapsed,
// after a lapsed one), free, completed, over (completed, retention over), notkept
// (completed without its body) and opaque (completed by something that is not
// HTTP).
func cmdSeed(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && (len(args) == 4 || len(args) == 5), "seed FILE STATE SCOPE KEY [BODYFILE]")
	store, err := openSeed(ts.MkAbs(args[0]))
	ts.Check(err)
	defer func() { ts.Check(store.Close()) }()
	state, key := args[1], semel.Key{Scope: args[2], ID: args[3]}
	r := semel.Reservation{
		Key: key, Fingerprint: semel.FingerprintOf([]byte(key.ID)), Token: semel.NewToken(),
		Lease: time.Minute, Retention: 24 * time.Hour, Owner: "seed/1",
		Deferred: state == "deferred" || state == "blameless",
	}
	if state == "over" {
		r.Retention = time.Microsecond
	}
	ctx := context.Background()
	rec, err := store.Reserve(ctx, r)
	ts.Check(err)
	lapse := func() error {
		_, err := store.Renew(ctx, 0, []semel.Holder{{Key: key, Token: r.Token}})
		return err
	}
	kept := semelhttp.Kept{Status: 201, Header: http.Header{"Content-Type": {"text/plain"}, "Location": {"/done/1"}}, Body: []byte("done\n")}
	if len(args) == 5 {
		kept.Body = []byte(ts.ReadFile(args[4]))
	}
	switch state {
	case "reserved", "deferred":
	case "lapsed", "blameless":
		err = lapse()
	case "doubtful":
		ts.Check(lapse())
		r.Token, r.Deferred, r.TakeOver = semel.NewToken(), true, true
		rec, err = store.Reserve(ctx, r)
		ts.Check(err)
		err = lapse()
	case "free":
		err = store.Release(ctx, key, r.Token)
	case "notkept":
		kept.NotKept = true
		fallthrough
	case "completed", "over", "opaque":
		response, encodeErr := kept.Encode()
		ts.Check(encodeErr)
		if state == "opaque" {
			response.Header = []byte("not a blob of ours")
		}
		err = store.Complete(ctx, semel.Completion{Key: key, Token: r.Token, Response: response, Retention: r.Retention})
	default:
		ts.Fatalf("unknown state %q", state)
	}
	ts.Check(err)
	ts.Setenv("SLOT", key.Slot().String())
	ts.Setenv("FENCE", strconv.FormatInt(rec.Fence, 10))
}

// openSeed opens a store beside whoever has it open, and makes it if need be.
func openSeed(path string) (*sqlitestore.Store, error) {
	store, err := sqlitestore.Open(path, sqlitestore.Config{Shared: true})
	if errors.Is(err, fs.ErrNotExist) {
		return sqlitestore.Open(path, sqlitestore.Config{})
	}
	return store, err
}

// poke FILE OFFSET HEX: overwrites bytes of a file.
func cmdPoke(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "poke FILE OFFSET HEX")
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	text, err := hex.DecodeString(args[2])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(text, offset)
	ts.Check(errors.Join(err, f.Close()))
}

// occupy NAME: listens on a port of loopback and puts its address into $NAME.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "occupy NAME")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// upstream: starts a service and puts its URL into $UPSTREAM. It answers every
// request with 201 and how often it ran; /die hangs up without an answer.
func cmdUpstream(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "upstream")
	var ran atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := ran.Add(1)
		if r.URL.Path == "/die" {
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", fmt.Sprintf("/run/%d", n))
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "run %d of %s\n", n, body)
	}))
	ts.Defer(server.Close)
	ts.Setenv("UPSTREAM", server.URL)
}

// call METHOD PATH [NAME:VALUE]... [BODY]: sends a request to $LISTEN, or to
// $ADMIN when the path begins with admin:, and prints the answer.
func cmdCall(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "call METHOD PATH [NAME:VALUE]... [BODY]")
	addr, path := ts.Getenv("LISTEN"), args[1]
	if rest, ok := strings.CutPrefix(path, "admin:"); ok {
		addr, path = ts.Getenv("ADMIN"), rest
	}
	header, body := http.Header{}, ""
	for _, arg := range args[2:] {
		if name, value, ok := strings.Cut(arg, ":"); ok {
			header.Add(name, value)
		} else {
			body = arg
		}
	}
	r, err := http.NewRequest(args[0], "http://"+addr+path, strings.NewReader(body))
	ts.Check(err)
	r.Header = header
	r.Host = header.Get("Host") // empty: that of the address
	client := &http.Client{Timeout: time.Minute}
	answer, err := client.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer.Status)
	ts.Check(answer.Header.Write(ts.Stdout()))
	fmt.Fprintf(ts.Stdout(), "\n%s", text)
}

// keep NAME PATTERN: puts what the first group of PATTERN matches in the last
// output, or in what was said beside it, into $NAME.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "keep NAME PATTERN")
	match := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if match == nil {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], match[1])
}
