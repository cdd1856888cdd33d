package console

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// Role says what somebody may do.
type Role uint8

// The roles.
const (
	// RoleRead may look at everything but keys and responses.
	RoleRead Role = iota
	// RoleWrite may also resolve records and reveal what is kept.
	RoleWrite
)

// String returns "read" or "write".
func (r Role) String() string {
	if r == RoleWrite {
		return "write"
	}
	return "read"
}

// MinToken is the shortest secret of a [Token], in bytes.
const MinToken = 16

// Token lets one person, or one team, sign in.
type Token struct {
	// Name is the actor in the trail. Required, and different for each token.
	Name string
	// Secret is what is typed in, or sent as Authorization: Bearer. At least
	// [MinToken] bytes, as random as a key.
	Secret semel.Secret
	// Role is what it allows. Default [RoleRead].
	Role Role
}

// ProxyHeader trusts a proxy in front, which has signed people in and says who they
// are in a field that it takes away from what its clients send.
type ProxyHeader struct {
	// Name of the field, such as "X-Forwarded-User". Required.
	Name string
	// From are the addresses of the proxy. A request from any other is not believed.
	// Required.
	From []netip.Prefix
	// Writers are the users with [RoleWrite]; all others have [RoleRead].
	Writers []string
}

// Defaults of [Config].
const (
	DefaultSession   = 8 * time.Hour
	DefaultTimeout   = 5 * time.Second
	DefaultLiveEvery = 5 * time.Second
	DefaultStreams   = 64
	DefaultReads     = 8
)

// Config is what a [Console] may be told. One of Tokens, Proxy and Open is required.
type Config struct {
	// Base is the path under which the handler is mounted, such as "/console".
	// Default: the root.
	Base string
	// Service names what the records belong to, such as "payments, production": people
	// must see where they are. Default: nothing.
	Service string
	// Tokens sign people in.
	Tokens []Token
	// Proxy signs people in through a proxy in front.
	Proxy *ProxyHeader
	// Open lets everybody look who reaches the handler, without signing in, and nobody
	// change anything. For listeners that only operators reach, such as loopback.
	Open bool
	// Hosts are the names, without ports, by which the handler is reached. A request for
	// another is refused, which keeps a page that points its own name here from reading.
	// Default: all, and with Open only addresses and localhost.
	Hosts []string
	// Origins are further origins, such as "https://ops.bank.example", whose forms are
	// accepted: where a proxy in front changes the host. Default: this one's.
	Origins []string
	// SessionKey signs sessions, at least 32 bytes. Give it where several processes
	// serve one console. Default: random, so that sessions end with the process.
	SessionKey semel.Secret
	// Session is how long a sign-in lasts. Default 8 h.
	Session time.Duration
	// Meter has the rates of the overview. Default: none, and the overview says so.
	Meter *Meter
	// LiveEvery is how often an open overview is brought up to date, at least 1 s.
	// Default 5 s; negative: never.
	LiveEvery time.Duration
	// Streams bounds the overviews that are kept up to date at a time. Default 64.
	Streams int
	// Page is how many records or entries a page has, at most [operator.MaxPage].
	// Default [operator.DefaultPage].
	Page int
	// Timeout bounds what a page waits for the store, and twice what an action does. An
	// action that takes longer goes on, and the page says so. Default 5 s.
	Timeout time.Duration
	// Reads bounds how many pages ask the store at a time, so that people who press
	// reload do not load it; and as many actions beside them. Default 8.
	Reads int
	// Logger gets failures of the store, refused sign-ins and actions. Default
	// [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	for _, check := range []func() error{c.checkBase, c.checkTokens, c.checkProxy} {
		if err := check(); err != nil {
			return c, fmt.Errorf("console: %w", err)
		}
	}
	if len(c.Tokens) == 0 && c.Proxy == nil && !c.Open {
		return c, errors.New("console: nobody can sign in: give Tokens, Proxy or Open")
	}
	if n := len(c.SessionKey); n > 0 && n < sha256.Size {
		return c, fmt.Errorf("console: SessionKey has %d bytes, less than %d", n, sha256.Size)
	}
	if len(c.SessionKey) == 0 {
		c.SessionKey = make([]byte, sha256.Size)
		_, _ = rand.Read(c.SessionKey) // never fails, see crypto/rand
	}
	c.Base = strings.TrimSuffix(c.Base, "/")
	for _, d := range []struct {
		field *time.Duration
		def   time.Duration
	}{{&c.Session, DefaultSession}, {&c.Timeout, DefaultTimeout}, {&c.LiveEvery, DefaultLiveEvery}} {
		if *d.field == 0 {
			*d.field = d.def
		}
	}
	for _, n := range []struct {
		field *int
		def   int
	}{{&c.Streams, DefaultStreams}, {&c.Reads, DefaultReads}, {&c.Page, operator.DefaultPage}} {
		if *n.field == 0 {
			*n.field = n.def
		}
	}
	if c.Session < 0 || c.Timeout < 0 || c.Streams < 0 || c.Reads < 0 || c.Page < 0 || c.Page > operator.MaxPage {
		return c, errors.New("console: Session, Timeout, Streams and Reads must not be negative, and Page at most 500")
	}
	if c.LiveEvery > 0 {
		c.LiveEvery = max(c.LiveEvery, time.Second)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// checkBase keeps out what would change the meaning of a pattern of the mux.
func (c Config) checkBase() error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	base := strings.TrimSuffix(c.Base, "/")
	if base != "" && (base[0] != '/' || path.Clean(base) != base || strings.Trim(base, plain) != "") {
		return fmt.Errorf("the base %q is not a plain path that begins with a slash", c.Base)
	}
	return nil
}

func (c Config) checkTokens() error {
	seen := make(map[string]bool)
	for _, t := range c.Tokens {
		switch {
		case seen[t.Name]:
			return fmt.Errorf("two tokens are named %q", t.Name)
		case len(t.Secret) < MinToken:
			return fmt.Errorf("the token of %q has %d bytes, less than %d", t.Name, len(t.Secret), MinToken)
		case t.Role > RoleWrite:
			return fmt.Errorf("the token of %q has no known role", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

func (c Config) checkProxy() error {
	if c.Proxy == nil {
		return nil
	}
	if c.Proxy.Name == "" || len(c.Proxy.From) == 0 {
		return errors.New("a proxy needs Name and From: who may be believed")
	}
	for _, p := range c.Proxy.From {
		if !p.IsValid() {
			return errors.New("the addresses of the proxy have an invalid prefix")
		}
	}
	return nil
}
