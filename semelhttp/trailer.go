package semelhttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// lateTrailer returns the trailer fields that are set by now, under the names
// that they are set by: those that the handler announced in Trailer before
// WriteHeader, and those with [http.TrailerPrefix]. It is nil without any.
func (c *recorder) lateTrailer() http.Header {
	var trailer http.Header
	add := func(name string, values []string) {
		if trailer == nil {
			trailer = make(http.Header)
		}
		trailer[name] = slices.Clone(values)
	}
	h := c.w.Header()
	for _, line := range c.s.header["Trailer"] {
		if slices.Contains(c.s.outer["Trailer"], line) {
			continue // an outer middleware's, which it sets when we are through
		}
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values, ok := h[name]; ok {
				add(name, values)
			}
		}
	}
	for name, values := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			add(name, values)
		}
	}
	return trailer
}

// takeTrailer returns the trailer fields of a handler that has returned, all
// under their own names, nil without any.
func (c *recorder) takeTrailer() http.Header { return ownTrailer(c.lateTrailer()) }

// ownTrailer makes prefixed trailer fields ordinary ones and drops what may not
// be kept.
func ownTrailer(set http.Header) http.Header {
	if len(set) == 0 {
		return nil
	}
	trailer := make(http.Header, len(set))
	for name, values := range set {
		name = http.CanonicalHeaderKey(strings.TrimPrefix(name, http.TrailerPrefix))
		if endToEnd(name, nil) && len(values) > 0 {
			trailer[name] = append(trailer[name], values...)
		}
	}
	return trailer
}

// announce says in h which trailer fields follow, beside those of an outer
// middleware, and returns what is to be set after the body: nothing for a client
// of HTTP/1.0, which knows no trailers (RFC 9112 section 7.1.2). What was
// announced and never set is not, so that a replay has the same form.
func announce(h http.Header, r *http.Request, outer []string, trailer http.Header) http.Header {
	if len(trailer) > 0 && r.ProtoAtLeast(1, 1) {
		names := strings.Join(slices.Sorted(maps.Keys(trailer)), ", ")
		h["Trailer"] = append(slices.Clone(outer), names)
		return trailer
	}
	if len(outer) > 0 {
		h["Trailer"] = slices.Clone(outer)
	} else {
		delete(h, "Trailer")
	}
	return nil
}
