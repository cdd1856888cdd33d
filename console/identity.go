package console

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/semel-go/semel/operator"
)

// identity is who asks.
type identity struct {
	name    string
	role    Role
	session *session // nil when it was not a cookie that said so
}

// identify returns who sent r: by the field of a trusted proxy, by a bearer token, by a
// session, or nobody in particular where the console is open.
func (c *Console) identify(r *http.Request) (identity, bool) {
	if who, ok := c.byProxy(r); ok {
		return who, true
	}
	if given := r.Header.Get("Authorization"); given != "" {
		scheme, secret, _ := strings.Cut(given, " ")
		if t, ok := c.sessions.match(strings.TrimSpace(secret)); ok && strings.EqualFold(scheme, "Bearer") {
			return identity{name: t.Name, role: t.Role}, true
		}
	}
	for _, cookie := range r.CookiesNamed(cookieName) {
		if said, t, ok := c.sessions.read(cookie.Value, c.now()); ok {
			return identity{name: t.Name, role: t.Role, session: &said}, true
		}
	}
	if c.cfg.Open {
		return identity{}, true
	}
	return identity{}, false
}

func (c *Console) byProxy(r *http.Request) (identity, bool) {
	p := c.cfg.Proxy
	if p == nil {
		return identity{}, false
	}
	lines := r.Header.Values(p.Name)
	if len(lines) != 1 || lines[0] == "" { // two lines: one of them may be the client's
		return identity{}, false
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	addr := from.Addr().Unmap().WithZone("")
	if err != nil || !slices.ContainsFunc(p.From, func(prefix netip.Prefix) bool { return prefix.Contains(addr) }) {
		return identity{}, false
	}
	who := identity{name: lines[0]}
	if slices.Contains(p.Writers, who.name) {
		who.role = RoleWrite
	}
	return who, true
}

// deskOf returns the desk where who works. Nobody in particular looks at the console's.
func (c *Console) deskOf(who identity) (*operator.Desk, error) {
	if who.name == "" {
		return c.desk, nil
	}
	if desk, ok := c.desks[who.name]; ok {
		return desk, nil
	}
	return c.desk.As(who.name)
}
