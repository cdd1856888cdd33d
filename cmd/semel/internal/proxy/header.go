package proxy

import (
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop lists the fields that count for one connection (RFC 9110 section
// 7.6.1) and those that older proxies leave behind.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// copyEndToEnd copies the end-to-end fields of src. The lines are shared.
func copyEndToEnd(dst, src http.Header) {
	for name, lines := range src {
		if !hopByHop(name) {
			dst[name] = lines
		}
	}
	for _, line := range src["Connection"] { // names more of them
		for name := range strings.SplitSeq(line, ",") {
			delete(dst, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
}

// outgoing makes the header of the request to the upstream: the client's, the
// key byte for byte even when the client calls it hop-by-hop, and of Semel's fields
// the sidecar's own.
func (x *exchange) outgoing() http.Header {
	in := x.in.Header
	h := make(http.Header, len(in)+8)
	copyEndToEnd(h, in)
	for name := range h {
		if ours(name) {
			delete(h, name)
		}
	}
	h[HeaderVia] = x.via
	if before := in[HeaderVia]; before != nil {
		h[HeaderVia] = slices.Concat(before, x.via)
	}
	for _, name := range x.keys {
		if lines := in[name]; lines != nil {
			h[name] = lines
		}
	}
	for _, line := range in["Te"] {
		if hasToken(line, "trailers") {
			h["Te"] = []string{"trailers"}
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // else net/http would name itself
	}
	delete(h, "Content-Length") // made anew
	x.forwarded(h)
	return h
}

// ours reports whether only Semel may set a field. Servers that pass fields to
// programs as variables take "_" for "-".
func ours(name string) bool {
	const prefix = "Semel"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) &&
		(name[len(prefix)] == '-' || name[len(prefix)] == '_')
}

func hasToken(line, token string) bool {
	for part := range strings.SplitSeq(line, ",") {
		if strings.EqualFold(strings.TrimSpace(part), token) {
			return true
		}
	}
	return false
}

// forwarded says who the client is. What the client says itself counts only
// where it is trusted.
func (x *exchange) forwarded(h http.Header) {
	proto := "http"
	if x.in.TLS != nil {
		proto = "https"
	}
	client, _, err := net.SplitHostPort(x.in.RemoteAddr)
	if err != nil {
		client = ""
	}
	if x.cfg.TrustForwarded {
		if prior := h["X-Forwarded-For"]; len(prior) > 0 && client != "" {
			client = strings.Join(prior, ", ") + ", " + client
		}
	} else {
		delete(h, "Forwarded")
	}
	if client != "" {
		h["X-Forwarded-For"] = []string{client}
	}
	for _, field := range [...][2]string{{"X-Forwarded-Host", x.in.Host}, {"X-Forwarded-Proto", proto}} {
		if !x.cfg.TrustForwarded || h[field[0]] == nil {
			h[field[0]] = []string{field[1]}
		}
	}
}
