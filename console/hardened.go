package console

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets a page load its own style, script and icon, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// hardened sets what every answer has, and refuses hosts that nobody named.
func (c *Console) hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if !c.cfg.reachedBy(r.Host) {
			http.Error(w, "This console is not reached by that name: see Hosts in its configuration.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reachedBy reports whether host, with or without a port, may be asked for.
func (c Config) reachedBy(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if len(c.Hosts) > 0 {
		return slices.ContainsFunc(c.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
	}
	if !c.Open || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err = netip.ParseAddr(name)
	return err == nil
}
