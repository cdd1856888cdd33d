package semelcrash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// Serve builds the service in its process. ctx lasts as long as that does. The
// process is killed and never ends in another way, so there is nothing to close.
type Serve func(ctx context.Context, p *Process) (http.Handler, error)

// Process is the process of a service that will be killed. Its methods are safe for
// concurrent use. On a nil Process they change nothing, so that a service that is
// given one can be the one of production.
type Process struct {
	// Args are [Config].Args.
	Args []string

	kill   Point
	mu     sync.Mutex
	armed  bool // since the first request
	counts map[string]int
	events *json.Encoder
	lister semel.Lister // of the last store
}

// childEnv holds a word that is also in the plan: a variable alone, which may have
// been left somewhere, starts nothing.
const childEnv = "SEMELCRASH_CHILD"

var errNoTest = errors.New(childEnv + " is set, but no test has started this process")

// plan is what the test tells the process of the service, in one line of JSON.
type plan struct {
	Word string
	Args []string
	Kill Point
}

// event is what the process of the service tells the test, one in a line.
type event struct {
	Failed string `json:",omitempty"` // Serve has failed
	Base   string `json:",omitempty"` // the service listens there
	Inside string `json:",omitempty"` // and there it tells about its records
	Point  *Point `json:",omitempty"` // it comes to this point
	Asked  bool   `json:",omitempty"` // it was asked to say this, after all the points so far
}

// Main runs the service if this is its process, and then never returns; otherwise
// it does nothing. Call it first in TestMain: nothing else of the test may run in
// the process of the service.
func Main(serve Serve) {
	word := os.Getenv(childEnv)
	if word == "" {
		return
	}
	_ = os.Unsetenv(childEnv) // what the service starts is not its process
	if err := runService(word, serve); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "semelcrash:", err)
	}
	os.Exit(1)
}

// runService serves until it is killed. It returns only what kept it from that.
func runService(word string, serve Serve) error {
	in, out, err := inherited()
	if err != nil {
		return err
	}
	var told plan
	lines := json.NewDecoder(in)
	if lines.Decode(&told) != nil || told.Word != word {
		return errNoTest
	}
	go func() { // the test never says more; when it is gone, so is this
		_, _ = io.Copy(io.Discard, in)
		die()
	}()
	p := &Process{Args: told.Args, kill: told.Kill, counts: make(map[string]int), events: json.NewEncoder(out)}
	handler, err := serve(context.Background(), p)
	if err == nil {
		err = p.listen(word, handler)
	}
	p.tell(event{Failed: err.Error()})
	return err
}

// listen serves the handler, and beside it what the test asks about records.
func (p *Process) listen(word string, handler http.Handler) error {
	if handler == nil {
		return errors.New("it has returned no handler")
	}
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+word, p.serveRecord)
	failed := make(chan error, 2)
	for listener, h := range map[net.Listener]http.Handler{outside: p.arm(handler), inside: mux} {
		server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
		go func() { failed <- server.Serve(listener) }()
	}
	p.tell(event{Base: "http://" + outside.Addr().String(), Inside: "http://" + inside.Addr().String() + "/" + word})
	return <-failed
}

// arm begins to count steps with the first request.
func (p *Process) arm(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.armed = true
		p.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

// serveRecord tells what the store holds for a key, if it can list.
func (p *Process) serveRecord(w http.ResponseWriter, r *http.Request) {
	p.tell(event{Asked: true})
	p.mu.Lock()
	lister := p.lister
	p.mu.Unlock()
	if lister == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	state := "absent"
	for held, err := range lister.List(r.Context(), semel.Filter{ID: r.FormValue("key")}) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if state = held.State.String(); held.Lapsed {
			state = "lapsed"
		}
	}
	_, _ = io.WriteString(w, state)
}

// Point is one more place where the service is killed, such as between two effects
// of a handler. name is in the report.
func (p *Process) Point(name string) {
	if p != nil {
		p.pass(At, name, p.count(name))
	}
}

// step takes one step of a store, and dies before or after it if that is planned.
func (p *Process) step(name string, take func()) {
	n := p.count(name)
	p.pass(Before, name, n)
	take()
	p.pass(After, name, n)
}

// count counts a step; 0 before the first request.
func (p *Process) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return 0
	}
	p.counts[name]++
	return p.counts[name]
}

func (p *Process) pass(m Moment, name string, n int) {
	if n == 0 {
		return
	}
	here := Point{m, name, n}
	p.tell(event{Point: &here})
	if here == p.kill {
		die()
	}
}

// tell writes an event. A test that is gone does not hear it.
func (p *Process) tell(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.events.Encode(e)
}
