package natstest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// member is what makes a server one of a cluster.
type member struct {
	name   string
	route  string   // HOST:PORT for the others
	routes []string // all of them
}

func (m *member) config() string {
	return fmt.Sprintf("server_name: %s\ncluster { name: semel, listen: %q, routes: [ %s ] }\n", m.name, m.route, strings.Join(m.routes, ", "))
}

// StartProcesses starts so many servers, s1, s2..., that are one cluster, and waits
// until streams can be placed on all of them. Each ends with the test. User and
// Password do not count; Dir, when not empty, has a folder for each, of its name.
func StartProcesses(tb testing.TB, n int, opts Options) []*Server {
	tb.Helper()
	opts.User, opts.Password, opts.Deny, opts.DenySubscribe = "", "", nil, nil
	routes := make([]string, n)
	for i := range n {
		routes[i] = freeAddr(tb)
	}
	urls := make([]string, n)
	for i, r := range routes {
		urls[i] = "nats://" + r
	}
	servers := make([]*Server, n)
	for i := range n {
		m := &member{name: fmt.Sprintf("s%d", i+1), route: routes[i], routes: urls}
		own := opts
		if opts.Dir != "" {
			own.Dir = filepath.Join(opts.Dir, m.name)
		}
		servers[i] = newServer(tb, own, m)
		servers[i].launch(tb)
	}
	for _, s := range servers {
		s.await(tb)
	}
	probe(tb, URL(servers...), n)
	return servers
}

// URL is the list of some servers for a client.
func URL(servers ...*Server) string {
	addrs := make([]string, len(servers))
	for i, s := range servers {
		addrs[i] = s.addr
	}
	return "nats://" + strings.Join(addrs, ",")
}
