package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The client settings that [Open] chooses where the URL does not. An engine
// waits for about two seconds, so nothing here should take much longer.
const (
	dialTimeout = time.Second
	ioTimeout   = 2 * time.Second
	maxRetries  = 2 // after a broken connection; each script may be repeated
	dialTries   = 2
)

// Open returns a store with a client of its own, which Close closes. It does
// not connect: a server that is down is reported by the first step. The URL is
// one of
//
//	redis://USER:PASSWORD@HOST:6379/DB               one server
//	redis+cluster://USER:PASSWORD@HOST1:6379,HOST2   a cluster, by some of its nodes
//	redis+sentinel://USER:PASSWORD@HOST1,HOST2/NAME  the master NAME, by its sentinels
//
// or the same with rediss, for TLS. User and password are the server's; those
// of sentinels are sentinel_username and sentinel_password. The parameters are
// go-redis's, such as dial_timeout, read_timeout, pool_size, skip_verify (one
// server), db (sentinel), and the store's own: prefix, replicas, sync_aof and
// wait_timeout stand before the fields of [Config]. Special characters in user,
// password and parameters are written as % and two digits. Errors do not contain
// the URL.
func Open(_ context.Context, rawURL string, cfg Config) (*Store, error) {
	p, err := parseURL(rawURL)
	if err == nil {
		err = p.config(&cfg)
	}
	var client redis.UniversalClient
	if err == nil {
		client, err = p.client()
	}
	if err != nil {
		return nil, fmt.Errorf("redisstore: open: %w", err)
	}
	s, err := New(client, cfg)
	if err != nil {
		_ = client.Close() // it was never used
		return nil, err
	}
	s.owned = true
	return s, nil
}

// parts is a URL taken apart. net/url knows one host, and quotes the whole text
// in its errors.
type parts struct {
	tls   bool
	kind  string // "", "cluster" or "sentinel"
	user  string // as it was, with the "@"
	hosts []string
	path  string
	query url.Values
}

var (
	errURL     = errors.New("the URL is not redis://HOST:PORT/DB, redis+cluster://HOST,HOST or redis+sentinel://HOST,HOST/NAME")
	errSpecial = errors.New("the URL has an @ or a # behind its host: write them as %40 and %23, and / and ? in a password as %2F and %3F")
	errParse   = errors.New("the URL cannot be parsed; special characters in user and password are written as % and two digits")
)

func parseURL(text string) (p parts, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	scheme, p.kind, _ = strings.Cut(strings.ToLower(scheme), "+")
	p.tls = scheme == "rediss"
	if !ok || scheme != "redis" && scheme != "rediss" || p.kind != "" && p.kind != "cluster" && p.kind != "sentinel" {
		return p, errURL
	}
	if endsEarly(rest) {
		return p, errSpecial
	}
	rest, query, _ := strings.Cut(rest, "?")
	if p.query, err = url.ParseQuery(query); err != nil {
		return p, errors.New("the URL's parameters are malformed")
	}
	if i := strings.IndexByte(rest, '@'); i >= 0 {
		p.user, rest = rest[:i+1], rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	p.path = strings.TrimSuffix(path, "/")
	p.hosts = strings.Split(hosts, ",")
	port := "6379"
	if p.kind == "sentinel" {
		port = "26379"
	}
	for i, h := range p.hosts {
		if p.hosts[i], ok = address(h, port); !ok || h == "" && len(p.hosts) > 1 {
			return p, errURL
		}
	}
	if p.kind == "" && len(p.hosts) > 1 || p.kind == "cluster" && p.path != "" || p.kind == "sentinel" && p.path == "" {
		return p, errURL
	}
	return p, nil
}

// endsEarly reports whether the user part has a character that would end it, and
// make of the password's rest a host, a path or a parameter, which errors show.
// rest is the URL after its scheme.
func endsEarly(rest string) bool {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		if strings.ContainsAny(rest[i:], "@#") {
			return true
		}
		rest = rest[:i]
	}
	return strings.Count(rest, "@") > 1
}

// address completes a host with or without a port.
func address(h, defaultPort string) (string, bool) {
	host, port, err := net.SplitHostPort(h)
	if err != nil {
		host, port, err = net.SplitHostPort(h + ":" + defaultPort)
	}
	if host == "" {
		host = "localhost"
	}
	n, badPort := strconv.ParseUint(port, 10, 16)
	return net.JoinHostPort(host, port), err == nil && badPort == nil && n > 0
}

// config takes the store's own parameters out of the query.
func (p *parts) config(cfg *Config) (err error) {
	take := func(name string, set func(string) error) {
		if v := p.query.Get(name); v != "" && err == nil {
			if set(v) != nil {
				err = fmt.Errorf("the parameter %s is malformed", name)
			}
		}
		p.query.Del(name)
	}
	take("prefix", func(v string) error { cfg.Prefix = v; return nil })
	take("replicas", func(v string) (err error) { cfg.Replicas, err = strconv.Atoi(v); return err })
	take("sync_aof", func(v string) (err error) { cfg.SyncAOF, err = strconv.ParseBool(v); return err })
	take("wait_timeout", func(v string) (err error) { cfg.WaitTimeout, err = time.ParseDuration(v); return err })
	return err
}

// client makes the client. go-redis reads the parameters, from a URL of its
// own form.
func (p *parts) client() (redis.UniversalClient, error) {
	switch p.kind {
	case "cluster":
		o, err := redis.ParseClusterURL(p.text(p.user, ""))
		if err != nil {
			return nil, quiet(err)
		}
		o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
		sound(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries, &o.DialerRetries)
		return redis.NewClusterClient(o), nil
	case "sentinel":
		return p.sentinel()
	}
	o, err := redis.ParseURL(p.text(p.user, p.path))
	if err != nil {
		return nil, quiet(err)
	}
	sound(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries, &o.DialerRetries)
	return redis.NewClient(o), nil
}

func (p *parts) sentinel() (redis.UniversalClient, error) {
	user, password := p.query.Get("sentinel_username"), p.query.Get("sentinel_password")
	p.query.Del("sentinel_username")
	p.query.Del("sentinel_password")
	p.query.Set("master_name", p.path)
	o, err := redis.ParseFailoverURL(p.text("", ""))
	if err != nil {
		return nil, quiet(err)
	}
	if p.user != "" {
		u, err := url.Parse("redis://" + p.user + "host")
		if err != nil {
			return nil, quiet(err)
		}
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	o.SentinelUsername, o.SentinelPassword = user, password
	o.ReplicaOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
	sound(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.MaxRetries, &o.DialerRetries)
	return redis.NewFailoverClient(o), nil
}

// text is the URL in the form of go-redis: the first host in front, the others
// as parameters.
func (p *parts) text(user, path string) string {
	scheme := map[bool]string{true: "rediss", false: "redis"}[p.tls]
	for _, h := range p.hosts[1:] {
		p.query.Add("addr", h)
	}
	return scheme + "://" + user + p.hosts[0] + "/" + path + "?" + p.query.Encode()
}

// quiet keeps of an error what cannot contain the password.
func quiet(err error) error {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return errParse
	}
	return err
}

// sound sets what the URL left open.
func sound(dial, read, write *time.Duration, retries, dials *int) {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{dial, dialTimeout}, {read, ioTimeout}, {write, ioTimeout}} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	if *retries == 0 {
		*retries = maxRetries
	}
	if *dials == 0 {
		*dials = dialTries
	}
}
