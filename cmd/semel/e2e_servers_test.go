//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// machine is a server that a test may kill.
type machine struct {
	url   string // of the store on it
	wrong string // the same with a user or a password that is not right
	kill  func(*testing.T)
	start func(*testing.T)
}

func ofServer(s *servertest.Server, url, wrong string) machine {
	return machine{
		url: url, wrong: wrong,
		kill:  func(t *testing.T) { t.Helper(); s.Kill(t) },
		start: func(t *testing.T) { t.Helper(); s.Start(t) },
	}
}

// machines start one server of each kind, with settings under which nothing
// acknowledged is lost.
var machines = map[string]func(*testing.T) machine{
	"postgres": func(t *testing.T) machine {
		t.Helper()
		s := servertest.NewPostgres(t)
		return ofServer(s, s.DSN(), "postgres://stranger:wrong-hunter2@"+s.Addr()+"/postgres?sslmode=disable")
	},
	"mysql": func(t *testing.T) machine {
		t.Helper()
		s := servertest.NewMariaDB(t)
		return ofServer(s, "mysql://root@"+s.Addr()+"/mysql?table=semel", "mysql://root:wrong-hunter2@"+s.Addr()+"/mysql")
	},
	"redis": func(t *testing.T) machine {
		t.Helper()
		s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always", "requirepass=right")
		return ofServer(s, "redis://:right@"+s.Addr()+"/0", "redis://:wrong-hunter2@"+s.Addr()+"/0")
	},
	"nats": func(t *testing.T) machine {
		t.Helper()
		s := natstest.Start(t, natstest.Options{SyncAlways: true, User: "semel", Password: "right"})
		return machine{
			url:   "nats://semel:right@" + s.Addr() + "/SEMEL?sync_always=true",
			wrong: "nats://semel:wrong-hunter2@" + s.Addr() + "/SEMEL",
			kill:  func(t *testing.T) { t.Helper(); s.Kill(t) },
			start: func(t *testing.T) { t.Helper(); s.Start(t) },
		}
	},
}

// shop counts how often its operation ran.
func shop(t *testing.T) (url string, runs *atomic.Int64) {
	t.Helper()
	runs = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "order "+strings.Repeat("x", int(runs.Add(1))))
	}))
	t.Cleanup(server.Close)
	return server.URL, runs
}

// answered is what a client sees.
type answered struct {
	status   int
	body     string
	replayed bool
	retry    string
	code     string // of a problem
}

func (s *sidecar) order(t *testing.T, key string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/orders", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "alice")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answered{
		status: res.StatusCode, body: string(body), retry: res.Header.Get("Retry-After"),
		replayed: res.Header.Get("Idempotent-Replayed") == "true",
	}
	var problem struct{ Code string }
	if json.Unmarshal(body, &problem) == nil {
		a.code = problem.Code
	}
	return a
}

// orderUntil repeats an order until it is answered with status.
func (s *sidecar) orderUntil(t *testing.T, key string, status int) answered {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		a := s.order(t, key)
		if a.status == status {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v for a minute, want %d", a, status)
		}
	}
}

func (a answered) wantUnavailable(t *testing.T) {
	t.Helper()
	if a.status != http.StatusServiceUnavailable || a.code != "store_unavailable" || a.retry == "" {
		t.Errorf("got %+v, want 503 store-unavailable with Retry-After", a)
	}
}

// The sidecar starts before its server, refuses while there is none, serves when
// it is there, and again after it was killed, without a restart of its own (L4).
// What was acknowledged is replayed over all of it (I3, I10).
func TestSidecarOnServers(t *testing.T) {
	t.Parallel()
	for kind, start := range machines {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := start(t)
			m.kill(t)
			url, runs := shop(t)
			s := startSidecar(t, url, "--store", m.url, "--log-format", "text")
			s.order(t, "a").wantUnavailable(t)
			if log := s.log.String(); !strings.Contains(log, "the store cannot be used yet") {
				t.Errorf("the log does not say why:\n%s", log)
			}
			m.start(t)
			first := s.orderUntil(t, "a", http.StatusCreated)
			if again := s.order(t, "a"); again.body != first.body || !again.replayed || again.status != first.status {
				t.Errorf("got %+v, want a replay of %+v", again, first)
			}
			m.kill(t)
			s.order(t, "b").wantUnavailable(t)
			m.start(t)
			s.orderUntil(t, "b", http.StatusCreated)
			if again := s.order(t, "a"); again.body != first.body || !again.replayed {
				t.Errorf("after the kill: got %+v, want a replay of %+v", again, first)
			}
			if n := runs.Load(); n != 2 {
				t.Errorf("the operation ran %d times, want once for each of 2 keys", n)
			}
			operate(t, m.url)
		})
	}
}

// operate runs the operator's commands on the store that the sidecar serves from.
func operate(t *testing.T, url string) {
	t.Helper()
	list := runSemel(t, 0, "records", "list", "--store", url, "--output", "jsonl")
	if n := strings.Count(list, `"state":"completed"`); n != 2 {
		t.Errorf("got %d completed records, want 2:\n%s", n, list)
	}
	runSemel(t, 0, "schema", "check", "--store", url)
	runSemel(t, 0, "schema", "apply", "--store", url)
	report := runSemel(t, 0, "doctor", "--store", url, "--probe", "--output", "json")
	for _, want := range []string{`"step": "ping"`, `"step": "reserve"`, `"step": "complete"`, `"step": "replay"`, `"grade": "B"`, `"findings"`} {
		if !strings.Contains(report, want) {
			t.Errorf("the doctor does not say %s:\n%s", want, report)
		}
	}
	runSemel(t, 0, "records", "purge", "--store", url, "--yes")
}

// runSemel runs the command, which must end with code, and returns its output.
func runSemel(t *testing.T, code int, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(line string) bool { return strings.HasPrefix(line, "SEMEL_TEST_") }) // of which it warns
	out, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	if err != nil || got != code {
		t.Fatalf("semel %s: got exit code %d, %v, want %d:\n%s", args[0], got, err, code, out)
	}
	return string(out)
}

// A server that does not know us ends in 503 and a clear log, and the password is
// in neither.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	for kind, start := range machines {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := start(t)
			url, _ := shop(t)
			s := startSidecar(t, url, "--store", m.wrong)
			s.order(t, "a").wantUnavailable(t)
			log := s.log.String()
			if !strings.Contains(log, "cannot be used yet") || strings.Contains(log, "hunter2") {
				t.Errorf("got this log, want a reason without the password:\n%s", log)
			}
			// Between two tries to connect NATS's client knows no reason.
			out := ""
			for range 20 {
				out = runSemel(t, 3, "doctor", "--store", m.wrong)
				if strings.Contains(out, "hunter2") {
					t.Fatalf("the doctor tells the password:\n%s", out)
				}
				if strings.Contains(out, "hint: is the user or password wrong?") {
					return
				}
			}
			t.Errorf("the doctor does not say what to look at:\n%s", out)
		})
	}
}

// Without --migrate nothing is made, and the start says what to do.
func TestNoMigrate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"postgres", "mysql", "nats"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := machines[kind](t)
			out := runSemel(t, 3, "proxy", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "off",
				"--migrate=false", "--store", m.url)
			if !strings.Contains(out, "semel schema apply") {
				t.Errorf("got no word of semel schema apply:\n%s", out)
			}
			runSemel(t, 3, "schema", "check", "--store", m.url)
			runSemel(t, 0, "schema", "apply", "--store", m.url)
			runSemel(t, 0, "schema", "check", "--store", m.url)
		})
	}
}
