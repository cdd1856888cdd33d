package semelhttp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/semel-go/semel"
)

// Fingerprint chooses what makes two requests the same. A request under a used
// key whose fingerprint differs is refused as a conflict.
//
// The zero value counts the method, the path and the query as received, the
// media type in lower case without its parameters, and every byte of the body.
// It never calls two different payloads the same, and it asks clients to send
// the same bytes again. The options below relax or widen that; changing them
// makes requests that are being retried at that moment conflict.
type Fingerprint struct {
	// Headers are request header fields that count too, with all their lines in
	// order. Host is the request's host. Default none, as clients and proxies
	// change fields between tries. Name here what changes the meaning of a
	// request, such as Stripe-Account or Accept-Version.
	Headers []string
	// JSON compares a body with media type application/json or …+json by its
	// content: white space and the order of members do not count, while every
	// number and string must be written the same (1.10 is not 1.1). A body that
	// is not valid, is nested too deep, or names a member twice, even in another
	// case, is compared byte by byte. Default off.
	JSON bool
	// ExcludeMembers are JSON Pointers (RFC 6901), such as "/meta/sent_at", to
	// object members that do not count. Pointers lead through objects only: one
	// that meets an array excludes nothing. Needs JSON. A payload that differs
	// in nothing else gets the kept answer of the first, so exclude only what
	// the handler does not act on. Default none.
	ExcludeMembers []string
	// Multipart compares a multipart/form-data body by its parts, in order, and
	// not by the boundary between them, which many clients choose anew for each
	// try. A body that is not well formed or has more than 1,000 parts is
	// compared byte by byte. Default off.
	Multipart bool
}

// Of returns the fingerprint of r with the whole body it had. It is what the
// middleware compares, for tests and for services that have a request in another
// form. It reads no body from r. The error says what is wrong with f.
func (f Fingerprint) Of(r *http.Request, body []byte) (semel.Fingerprint, error) {
	p, err := f.compile()
	if err != nil {
		return semel.Fingerprint{}, err
	}
	buf := p.preamble(nil, r)
	preamble := len(buf)
	return p.sum(append(buf, body...), preamble, r), nil
}

// The first byte of what is hashed: the version of this layout and the form of
// the body behind the preamble. Different forms can never be equal.
const (
	formRaw byte = iota + 1
	formJSON
	formMultipart
)

// fingerprinter is a Fingerprint that was checked. It is safe for concurrent use.
type fingerprinter struct {
	headers   []string // canonical, sorted, each once
	json      bool
	exclude   *pointerTree // nil when nothing is excluded
	multipart bool
	forms     sync.Pool // of *canonicalizer
}

// compile checks f.
func (f Fingerprint) compile() (*fingerprinter, error) {
	headers, err := canonicalNames("Fingerprint.Headers", f.Headers)
	if err != nil {
		return nil, err
	}
	if len(f.ExcludeMembers) > 0 && !f.JSON {
		return nil, errors.New("semelhttp: Config.Fingerprint.ExcludeMembers needs JSON")
	}
	exclude, err := newPointerTree(f.ExcludeMembers)
	if err != nil {
		return nil, err
	}
	slices.Sort(headers) // the order in the config must not matter
	return &fingerprinter{
		headers: slices.Compact(headers), json: f.JSON, exclude: exclude, multipart: f.Multipart,
		forms: sync.Pool{New: func() any { return new(canonicalizer) }},
	}, nil
}

// preamble appends everything that counts but the body. The parts are
// length-prefixed, so that no two different requests have the same bytes.
func (p *fingerprinter) preamble(dst []byte, r *http.Request) []byte {
	path := r.URL.Opaque // set instead of a path when the target is "scheme:opaque"
	if path == "" {
		path = r.URL.EscapedPath()
	}
	dst = append(dst, formRaw)
	dst = appendPart(dst, r.Method)
	dst = appendPart(dst, path)
	dst = appendPart(dst, r.URL.RawQuery)
	dst = appendPart(dst, mediaType(r.Header))
	for _, name := range p.headers {
		lines := r.Header[name]
		if name == "Host" { // net/http keeps it apart
			lines = []string{r.Host}
		}
		dst = appendPart(dst, name)
		dst = appendCount(dst, len(lines))
		for _, line := range lines {
			dst = appendPart(dst, line)
		}
	}
	return dst
}

// mediaType returns the media type of a message in lower case, without parameters.
func mediaType(h http.Header) string {
	lines := h["Content-Type"]
	if len(lines) == 0 {
		return ""
	}
	value, _, _ := strings.Cut(lines[0], ";")
	return strings.ToLower(strings.Trim(value, " \t")) // no allocation when it is lower already
}

func appendPart[T string | []byte](dst []byte, part T) []byte {
	return append(appendCount(dst, len(part)), part...)
}

func appendCount(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // no part of a request has 4 GiB
}

// sum returns the fingerprint of a request from buf, which is its preamble
// followed by its whole body. It keeps and changes nothing of buf. Without
// options it is the SHA-256 of buf and allocates nothing.
func (p *fingerprinter) sum(buf []byte, preamble int, r *http.Request) semel.Fingerprint {
	if !p.json && !p.multipart || len(buf) == preamble {
		return sha256.Sum256(buf)
	}
	kind, body := mediaType(r.Header), buf[preamble:]
	form := formRaw
	switch {
	case p.json && isJSON(kind):
		form = formJSON
	case p.multipart && kind == "multipart/form-data":
		form = formMultipart
	}
	if form == formRaw {
		return sha256.Sum256(buf)
	}
	c := p.forms.Get().(*canonicalizer) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer p.forms.Put(c)
	c.reset(buf[:preamble])
	c.out[0] = form
	var ok bool
	if form == formJSON {
		ok = c.json(body, p.exclude)
	} else {
		ok = c.multipart(body, r.Header["Content-Type"][0])
	}
	if !ok {
		return sha256.Sum256(buf)
	}
	return sha256.Sum256(c.out)
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}
