// Package problem writes and reads RFC 9457 problem details, the machine
// readable body of an HTTP error.
//
// Beside the five members of the RFC a [Details] has three that tell a client
// what to do next: code, retryable and reuse_key. Everything else is Extra.
package problem

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// ContentType is the media type of a problem (RFC 9457 section 3).
const ContentType = "application/problem+json"

// Details is one problem. It is plain data: no method changes it, and it is safe
// for concurrent use while nobody writes to it.
type Details struct {
	// Type is a URI that identifies the kind of problem. Empty means
	// "about:blank" (RFC 9457 section 4.2.1) and is not written.
	Type string
	// Title says in a few words what kind of problem it is, the same words for
	// every occurrence. Not written when empty.
	Title string
	// Status is the status code, 400 to 599. [Details.Write] sends 500 in
	// place of any other. [Parse] leaves 0 when the member is missing.
	Status int
	// Detail explains this occurrence to a person. Not written when empty.
	Detail string
	// Instance is a URI that identifies this occurrence. Not written when empty.
	Instance string
	// Code is a word for programs, such as "in_flight". Not written when empty.
	Code string
	// Retryable says that the same request may succeed later, unchanged.
	Retryable bool
	// ReuseKey says that every later try of this operation must carry the same
	// idempotency key: with a new one it may happen twice.
	ReuseKey bool
	// Extra holds the other members. A member with the name of one above is
	// ignored. [Parse] puts JSON numbers here as [json.Number].
	Extra map[string]any
}

var _ json.Marshaler = Details{}

// members has the wire names in the order in which they are written. The two
// flags are always written: false is an answer too.
type members struct {
	Type      string `json:"type,omitempty"`
	Title     string `json:"title,omitempty"`
	Status    int    `json:"status,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Instance  string `json:"instance,omitempty"`
	Code      string `json:"code,omitempty"`
	Retryable bool   `json:"retryable"`
	ReuseKey  bool   `json:"reuse_key"`
}

// MarshalJSON writes the named members in the order of the fields and then
// Extra, sorted by name. It fails only when a value of Extra is not JSON.
func (d Details) MarshalJSON() ([]byte, error) { return d.encode(false) }

// encode skips the extra members that cannot be encoded when lenient is true.
func (d Details) encode(lenient bool) ([]byte, error) {
	out, err := marshal(members{
		d.Type, d.Title, d.Status, d.Detail, d.Instance, d.Code, d.Retryable, d.ReuseKey,
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Extra)) {
		if named(name) {
			continue
		}
		member, err := marshal(map[string]any{name: d.Extra[name]})
		if err != nil {
			if lenient {
				continue
			}
			return nil, err
		}
		out[len(out)-1] = ',' // the brace that closed the object so far
		out = append(out, member[1:]...)
	}
	return out, nil
}

// marshal leaves <, > and & readable: a problem is never part of a page.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

func named(name string) bool {
	switch name {
	case "type", "title", "status", "detail", "instance", "code", "retryable", "reuse_key":
		return true
	}
	return false
}

// Write sends d as the whole answer. It removes the header fields that describe
// a body which a handler prepared and did not send, forbids caching and content
// sniffing, and keeps all other fields, so that the caller may set Retry-After
// before. It must come before anything was written to w. Members of Extra that
// cannot be encoded are left out. An error of w is not reported: the client has
// gone, and nobody else can be told.
func (d Details) Write(w http.ResponseWriter) {
	if d.Status < 400 || d.Status > 599 {
		d.Status = http.StatusInternalServerError
	}
	body, err := d.encode(true)
	if err != nil { // strings, an int and two flags always encode
		body = []byte("{}")
	}
	h := w.Header()
	for _, name := range describing {
		delete(h, name)
	}
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(d.Status)
	_, _ = w.Write(body)
}

// describing lists what another body would be described by: RFC 9110 sections 8
// and 14, RFC 9530, RFC 6266, and the lifetime of RFC 9111 section 5.3.
var describing = []string{
	"Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Content-Location", "Content-Md5", "Content-Range", "Digest", "Etag", "Expires", "Last-Modified",
	"Pragma", "Repr-Digest", "Trailer", "Transfer-Encoding",
}
