package semelhttp

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The flags of a frame: a byte of these, a length of four bytes, so many bytes.
const (
	compressed   = 1 << 0
	endOfConnect = 1 << 1 // JSON, the last frame of a stream of Connect
	endOfWeb     = 1 << 7 // trailer fields, the last frame of gRPC-Web
)

// maxEnd bounds the last frame of an answer, in bytes and without its compression.
const maxEnd = 64 << 10

func frameOf(flags byte, content []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(content))) //nolint:gosec // it is a refusal
	return append(b, content...)
}

// ending is how a call has ended, as far as its answer says so. On the wire it is 200 in
// each case.
type ending struct {
	code  rpcCode
	ended bool // else nobody knows what happened
}

// endingOf reads the status of an answer under 200: in its trailer fields, in its header
// if there is no message, or in the last frame of its body. isCall is false for an
// answer of another protocol. One that has ended, but says how in a compression that
// is not known here, is taken for a success: it is whole.
func endingOf(h, trailer http.Header, body []byte) (end ending, isCall bool) {
	switch kind := mediaType(h); {
	case isGRPC(kind):
		for _, fields := range []http.Header{trailer, h} {
			if lines := fields["Grpc-Status"]; len(lines) > 0 {
				return endingBy(lines[0]), true
			}
		}
		if strings.HasPrefix(kind, "application/grpc-web") {
			return webEnding(kind, h.Get("Grpc-Encoding"), body), true
		}
		return ending{}, true
	case isConnectStream(kind):
		return connectEnding(h.Get("Connect-Content-Encoding"), body), true
	}
	return ending{}, false
}

// endingBy reads a grpc-status. A number that is no code yet is one all the same.
func endingBy(text string) ending {
	n, err := strconv.ParseUint(text, 10, 8)
	return ending{rpcCode(n), err == nil}
}

// webEnding reads the trailer fields at the end of a body of gRPC-Web
// (grpc/grpc, doc/PROTOCOL-WEB.md).
func webEnding(kind, encoding string, body []byte) ending {
	if isWebText(kind) {
		var err error
		if body, err = decodeText(body); err != nil {
			return ending{}
		}
	}
	content, ok := lastFrame(body, endOfWeb, encoding)
	if !ok || content == nil {
		return ending{ended: ok}
	}
	for line := range strings.SplitSeq(string(content), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(strings.TrimSpace(name), "grpc-status") {
			return endingBy(strings.TrimSpace(value))
		}
	}
	return ending{}
}

// connectEnding reads the JSON at the end of a stream of Connect.
func connectEnding(encoding string, body []byte) ending {
	content, ok := lastFrame(body, endOfConnect, encoding)
	if !ok || content == nil {
		return ending{ended: ok}
	}
	var end struct {
		Error *struct{ Code string }
	}
	if err := json.Unmarshal(content, &end); err != nil {
		return ending{}
	}
	if end.Error == nil {
		return ending{rpcOK, true}
	}
	for code, row := range rpcCodes {
		if code > 0 && row.name == end.Error.Code {
			return ending{rpcCode(code), true}
		}
	}
	return ending{rpcInternal, true}
}

// lastFrame returns what the last frame of body has, if it has the flag last. Content is
// nil, though the frame is there, when its compression is not known.
func lastFrame(body []byte, last byte, encoding string) (content []byte, ok bool) {
	for len(body) >= 5 {
		flags, n := body[0], uint64(binary.BigEndian.Uint32(body[1:]))
		body = body[5:]
		if n > uint64(len(body)) {
			return nil, false // it is cut short
		}
		content, body = body[:n:n], body[n:]
		if flags&last == 0 {
			continue
		}
		switch {
		case len(body) > 0 || n > maxEnd: // it is not the last one
			return nil, false
		case flags&compressed == 0 || n == 0:
			return content, true
		case encoding == "gzip":
			return unzip(content)
		}
		return nil, true
	}
	return nil, false
}

func unzip(content []byte) ([]byte, bool) {
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, false
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxEnd+1))
	return plain, err == nil && len(plain) <= maxEnd
}

// decodeText decodes base64 that may have padding wherever its sender has flushed.
func decodeText(body []byte) ([]byte, error) {
	plain := make([]byte, 0, base64.StdEncoding.DecodedLen(len(body)))
	for len(body) > 0 {
		part := body
		if i := bytes.IndexByte(body, '='); i >= 0 {
			part = body[:min((i/4+1)*4, len(body))]
		}
		var err error
		if plain, err = base64.StdEncoding.AppendDecode(plain, part); err != nil {
			return nil, err
		}
		body = body[len(part):]
	}
	return plain, nil
}

// isEnveloped reports whether a request is a call whose messages come in frames.
func isEnveloped(r *http.Request) bool {
	kind := mediaType(r.Header)
	return isGRPC(kind) || isConnectStream(kind)
}

// call is the ending of an answer that is one of a call.
func (c *recorder) call() (end ending, isCall bool) {
	if kind := mediaType(c.s.header); c.status != http.StatusOK || !isGRPC(kind) && !isConnectStream(kind) {
		return ending{}, false
	}
	return endingOf(c.s.header, c.takeTrailer(), c.s.out)
}

// meaning is the status by which an answer settles: of a call, the HTTP status that says
// the same. A call that its handler has left without an end has none: its outcome is
// not known, whatever the settle table says. While it still runs it counts as what is on the wire.
func (c *recorder) meaning() (status int, known bool) {
	switch end, isCall := c.call(); {
	case isCall && end.ended:
		return end.code.meaning(), true
	case isCall && c.ended:
		return 0, false
	}
	return c.status, true
}
