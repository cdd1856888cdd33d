// Package demo tells what Semel does: a small payments API with a ledger, the
// sidecar on the embedded store, and a scripted client to whom everything
// happens that happens in practice.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/sqlitestore"
)

// Options are what [Run] may be told.
type Options struct {
	// Out gets the story. Required.
	Out io.Writer
	// Once ends after the story. Default: the servers stay up for trying by
	// hand until the context ends.
	Once bool
	// Color paints the story for a terminal.
	Color bool
}

// ErrStory is returned when a step of the story came out wrong.
var ErrStory = errors.New("demo: the story came out wrong")

// slow is how long a payment takes, so that ten clicks overlap.
const slow = 100 * time.Millisecond

// Run tells the story against real servers on loopback and a store in a
// temporary folder, all of which are gone when it returns. Its error wraps
// ErrStory when a step came out wrong.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "semel-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	path := filepath.Join(dir, "demo.db")
	store, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	api, err := startAPI(ctx, newLedger(), slow)
	if err != nil {
		return err
	}
	defer api.close()

	sidecar, err := startSidecar(ctx, store, api.addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sidecar.stop()) }()

	client, err := newClient("http://" + sidecar.addr)
	if err != nil {
		return err
	}
	defer client.close()

	s := &story{page: &page{out: o.Out, color: o.Color}, client: client, api: api, store: store}
	s.page.title("Semel: a payments API that knows nothing of idempotency keys, with the sidecar in front of it")
	s.page.say("client → sidecar http://%s → API http://%s, records in %s", sidecar.addr, api.addr, path)
	if err := s.tell(ctx); err != nil {
		return err
	}
	if s.failed > 0 {
		s.page.title(fmt.Sprintf("%d checks failed.", s.failed))
		return ErrStory
	}
	s.page.title(fmt.Sprintf("All %d steps came out right: the money moved once each time.", s.page.steps))
	if !o.Once && s.page.err == nil {
		byHand(s.page, sidecar, api.addr, path)
		s.keepUp(ctx)
	}
	return s.page.err
}

// keepUp lets people try by hand, and plays the supervisor of the API.
func (s *story) keepUp(ctx context.Context) {
	for {
		down := make(chan struct{})
		go func() {
			defer close(down)
			s.api.wait()
		}()
		select {
		case <-ctx.Done():
			s.page.printf("\n")
			return
		case <-down:
			if err := s.api.start(ctx); err != nil {
				s.page.say("the API does not come back: %v", err)
				return
			}
		}
	}
}

// sidecar is the proxy of the command semel proxy, run in this process.
type sidecar struct {
	addr  string
	admin string // where the console is
	token string // who has it may resolve there
	end   context.CancelFunc
	done  chan error
}

// preferred is the address that the printed lines name when it is free.
const preferred = "127.0.0.1:8080"

// startSidecar prefers an address that people can type, and takes any when that
// is in use.
func startSidecar(ctx context.Context, store semel.Store, upstream string) (*sidecar, error) {
	s, err := startSidecarOn(ctx, store, upstream, preferred)
	if err != nil {
		s, err = startSidecarOn(ctx, store, upstream, "127.0.0.1:0")
	}
	return s, err
}

func startSidecarOn(ctx context.Context, store semel.Store, upstream, listen string) (*sidecar, error) {
	quiet := slog.New(slog.DiscardHandler) // the story tells what matters
	meter := console.NewMeter()
	engine, err := semel.New(store, semel.Config{Logger: quiet, Observe: meter.Observe})
	if err != nil {
		return nil, err
	}
	s := &sidecar{token: rand.Text(), done: make(chan error, 1)}
	pages, err := s.console(engine, meter, quiet)
	if err != nil {
		return nil, err
	}
	type addrs struct{ listen, admin net.Addr }
	ready := make(chan addrs, 1)
	server, err := proxy.New(engine, semelhttp.ByHeader("Authorization"), proxy.Config{
		Upstream: &url.URL{Scheme: "http", Host: upstream},
		Listen:   listen,
		Admin:    "127.0.0.1:0",
		Console:  pages,
		Drain:    5 * time.Second,
		Logger:   quiet,
		Ready:    func(listen, admin net.Addr) { ready <- addrs{listen, admin} },
	})
	if err != nil {
		return nil, err
	}
	// The client's last answers must get through when ctx ends, so the sidecar
	// ends by stop.
	inner, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	go func() { s.done <- server.Run(inner) }()
	select {
	case at := <-ready:
		s.addr, s.admin = at.listen.String(), at.admin.String()
		return s, nil
	case err := <-s.done:
		end()
		return nil, err
	}
}

// console makes the pages for operators, on which everybody may look.
func (s *sidecar) console(engine *semel.Engine, meter *console.Meter, logger *slog.Logger) (*console.Console, error) {
	desk, err := operator.New(engine, operator.Config{Actor: "console"})
	if err != nil {
		return nil, err
	}
	return console.New(desk, console.Config{
		Base: "/console", Service: "the demo", Open: true, Meter: meter, Logger: logger,
		Tokens: []console.Token{{Name: "you", Secret: semel.Secret(s.token), Role: console.RoleWrite}},
	})
}

func (s *sidecar) stop() error {
	s.end()
	return <-s.done
}

func byHand(p *page, sidecar *sidecar, api, store string) {
	curl := func(key, body, more string) string {
		return fmt.Sprintf(`curl -i http://%s/payments -H 'Authorization: Bearer me' -H 'Content-Type: application/json' -H 'Idempotency-Key: %s'%s -d '%s'`,
			sidecar.addr, key, more, body)
	}
	pay := `{"from":"alice","to":"bob","amount":500}`
	p.title("Try it by hand. Ctrl-C ends the demo.")
	for _, try := range [][2]string{
		{"Pay. Then send the same line again: Idempotent-Replayed: true, and the ledger does not move.", curl("mine-1", pay, "")},
		{"The same key with another amount: 422.", curl("mine-1", `{"from":"alice","to":"bob","amount":900}`, "")},
		{"Let the API crash after it has moved the money: 504. Then send it again, without the header or with: 409.", curl("mine-2", pay, " -H '"+crashHeader+": yes'")},
		{"The ledger itself, past the sidecar.", "curl http://" + api + "/ledger"},
		{"The console, in a browser. To resolve what is unknown, sign in at /console/signin with " + sidecar.token + ".", "http://" + sidecar.admin + "/console/"},
		{"What the sidecar keeps, and how an operator ends what is unknown (from another terminal).", "go run ./cmd/semel records list --store sqlite:" + store},
	} {
		p.printf("\n   %s\n", p.paint(dim, "# "+try[0]))
		p.code(try[1])
	}
	p.printf("\n")
}
