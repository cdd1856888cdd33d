package semelhttp

import (
	"net/http"
	"sync"
)

// scratch is the working memory of one request. It goes back to the pool when
// the request ends, so nothing that a handler can still reach may point into
// it: the recorder and the body reader let go of it under their lock.
type scratch struct {
	in     []byte // the fingerprint's preamble, then the request body
	out    []byte // the response body
	blob   []byte // the encoded header
	names  []string
	outer  map[string][]string // the header before the handler ran
	values []string            // of outer
	header map[string][]string // the header at WriteHeader

	trailer http.Header // of an answer that is frozen
}

var scratches = sync.Pool{New: func() any {
	return &scratch{outer: make(map[string][]string), header: make(map[string][]string)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) } //nolint:errcheck,forcetypeassert // the pool holds nothing else

// maxPooled keeps one large request from pinning its memory for ever.
const maxPooled = 256 << 10

func (s *scratch) free() {
	if cap(s.in) > maxPooled || cap(s.out) > maxPooled || cap(s.blob) > maxPooled {
		return
	}
	clear(s.outer)
	clear(s.header)
	clear(s.names)
	clear(s.values)
	s.in, s.out, s.blob, s.names, s.values, s.trailer = s.in[:0], s.out[:0], s.blob[:0], s.names[:0], s.values[:0], nil
	scratches.Put(s)
}

// keepOuter notes the header before the handler runs, values included: a
// handler may change them where they lie.
func (s *scratch) keepOuter(h http.Header) {
	for name, values := range h {
		from := len(s.values)
		s.values = append(s.values, values...)
		s.outer[name] = s.values[from:len(s.values):len(s.values)]
	}
}
