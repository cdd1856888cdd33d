package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel/operator"
)

// Console is a [http.Handler] for operators. Make one with [New].
type Console struct {
	cfg      Config
	desk     *operator.Desk
	desks    map[string]*operator.Desk // of those whose names are known
	sessions *sessions
	handler  http.Handler
	glance   glance
	reads    chan struct{} // a place for each page that asks the store
	acts     chan struct{} // likewise for actions, which pages must not keep out
	now      func() time.Time

	mu      sync.Mutex
	closed  bool
	streams int
	ended   sync.WaitGroup
	stop    chan struct{} // closed by Close
}

// New returns a console over the store of desk. It does no I/O and starts nothing.
func New(desk *operator.Desk, cfg Config) (*Console, error) {
	if desk == nil {
		return nil, errors.New("console: no desk")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Console{
		cfg: cfg, desk: desk, desks: make(map[string]*operator.Desk), sessions: newSessions(cfg),
		reads: make(chan struct{}, cfg.Reads), acts: make(chan struct{}, cfg.Reads), now: time.Now, stop: make(chan struct{}),
	}
	for _, t := range cfg.Tokens {
		if c.desks[t.Name], err = desk.As(t.Name); err != nil {
			return nil, err
		}
	}
	origins := http.NewCrossOriginProtection()
	for _, origin := range cfg.Origins {
		if err := origins.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	origins.SetDenyHandler(http.HandlerFunc(c.foreign))
	c.handler = c.hardened(origins.Handler(c.routes()))
	return c, nil
}

// ServeHTTP implements [http.Handler].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Close ends the streams of open overviews and waits for them, for what is being read
// for one, and for the actions under way, or until ctx ends. Call it before the server's Shutdown, which waits for
// the streams. The desk is closed with it.
func (c *Console) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last of them
		c.ended.Wait()
		close(done)
	}()
	select {
	case <-done:
		return c.desk.Close(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	at := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, "/")
		mux.HandleFunc(method+c.cfg.Base+"/"+path, h)
	}
	at("GET /{$}", c.page(c.overview))
	at("GET /inflight", c.page(c.inFlight))
	at("GET /lapsed", c.page(c.lapsed))
	at("GET /records", c.page(c.records))
	at("GET /search", c.page(c.search))
	at("POST /search", c.page(c.searchKey))
	at("GET /records/{slot}", c.page(c.record))
	at("POST /records/{slot}/release", c.act(c.release))
	at("POST /records/{slot}/complete", c.act(c.complete))
	at("POST /records/{slot}/reveal", c.act(c.reveal))
	at("GET /audit", c.page(c.audit))
	at("GET /store", c.page(c.store))
	at("GET /live", c.live)
	at("GET /signin", c.signInPage)
	at("POST /signin", c.signIn)
	at("POST /signout", c.signOut)
	at("GET /assets/{tag}/{name}", assets)
	at("/", c.notThere)
	if c.cfg.Base != "" {
		mux.HandleFunc(c.cfg.Base, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, c.cfg.Base+"/", http.StatusPermanentRedirect)
		})
	}
	return mux
}
