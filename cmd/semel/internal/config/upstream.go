package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// reaches reports whether a connection to upstream ends at the listener on addr
// of this machine, as far as the texts tell: no name is looked up.
func reaches(upstream *url.URL, addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || anyPort(addr) { // off, or not known yet
		return false
	}
	to := upstream.Port()
	if to == "" {
		to = map[string]string{"http": "80", "h2c": "80", "https": "443"}[upstream.Scheme]
	}
	return to == strings.TrimLeft(port, "0") && sameHost(upstream.Hostname(), host)
}

// sameHost compares two names. A listener on no address in particular is behind
// every address of this machine, and localhost may be any loopback address.
func sameHost(a, b string) bool {
	ipA, ipB := address(a), address(b)
	switch {
	case strings.EqualFold(a, b) || ipA.IsValid() && ipA == ipB:
		return true
	case isAny(a) || isAny(b):
		return isLocal(a) && isLocal(b)
	case strings.EqualFold(a, "localhost"):
		return ipB.IsLoopback()
	case strings.EqualFold(b, "localhost"):
		return ipA.IsLoopback()
	}
	return false
}

func isAny(host string) bool { return host == "" || address(host).IsUnspecified() }

func isLocal(host string) bool {
	return isAny(host) || strings.EqualFold(host, "localhost") || address(host).IsLoopback()
}

// address parses host; the zero Addr is not valid.
func address(host string) netip.Addr {
	ip, _ := netip.ParseAddr(host) // a name is no address
	return ip.Unmap()
}
