package semelhttp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"slices"
)

// maxParts bounds a multipart body that is compared by its parts.
const maxParts = 1000

// multipart appends the parts of body, each with its header fields and its bytes
// as they are, all length-prefixed. It returns false when body is not well
// formed, or has text before the first or after the last boundary: that text
// would not count.
func (c *canonicalizer) multipart(body []byte, contentType string) bool {
	_, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if err != nil || boundary == "" || !framed(body, boundary) {
		return false
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil || n == maxParts || !c.part(part) {
			return false
		}
	}
}

// framed reports whether body begins with the boundary and has nothing but
// white space behind the closing one.
func framed(body []byte, boundary string) bool {
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(body, delimiter) {
		return false
	}
	_, epilogue, closed := bytes.Cut(body, append(delimiter, "--"...))
	return closed && len(bytes.TrimLeft(epilogue, " \t\r\n")) == 0
}

// part appends one part.
func (c *canonicalizer) part(part *multipart.Part) bool {
	c.out = appendCount(c.out, len(part.Header))
	for _, name := range slices.Sorted(maps.Keys(part.Header)) {
		c.out = appendPart(c.out, name)
		c.out = appendCount(c.out, len(part.Header[name]))
		for _, line := range part.Header[name] {
			c.out = appendPart(c.out, line)
		}
	}
	length := len(c.out)
	c.out = appendCount(c.out, 0)
	from := len(c.out)
	content := bytes.NewBuffer(c.out)
	if _, err := content.ReadFrom(part); err != nil {
		return false
	}
	c.out = content.Bytes()
	binary.BigEndian.PutUint32(c.out[length:], uint32(len(c.out)-from)) //nolint:gosec // within a body that was read whole
	return true
}
