package semelhttp

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"

	"github.com/semel-go/semel"
)

// Decode reads a kept response. The header and the body are checked whole
// before anything is returned: a damaged one is an error that wraps
// [ErrBadBlob], never a response that lacks something. The body is r's own.
func Decode(r semel.Response) (Kept, error) {
	d, err := openBlob(r)
	if err != nil {
		return Kept{}, err
	}
	k := Kept{Status: r.Status, Header: make(http.Header), Body: r.Body, NotKept: d.notKept()}
	d.header(k.Header, 0)
	k.Trailer = d.trailer()
	return k, nil
}

// openBlob checks the version, both checksums, the status and the form of every
// line.
func openBlob(r semel.Response) (decoder, error) {
	const fixed = 2 + 4 // version, flags, checksum of the body
	b := r.Header
	switch {
	case len(b) < fixed+1+1+1+4:
		return decoder{}, fmt.Errorf("%w: %d bytes are too few", ErrBadBlob, len(b))
	case b[0] != blobVersion:
		return decoder{}, fmt.Errorf("%w: version %d, want %d", ErrBadBlob, b[0], blobVersion)
	case b[1]&^flagNotKept != 0:
		return decoder{}, fmt.Errorf("%w: unknown flags %#x", ErrBadBlob, b[1])
	}
	head, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if headSum(head, r.Status) != sum {
		return decoder{}, fmt.Errorf("%w: checksum", ErrBadBlob)
	}
	if b[1]&flagNotKept == 0 && !final(r.Status) {
		return decoder{}, fmt.Errorf("%w: status %d is not a final one", ErrBadBlob, r.Status)
	}
	n, used := binary.Uvarint(head[fixed:])
	if used <= 0 || n != uint64(len(r.Body)) {
		return decoder{}, fmt.Errorf("%w: the body has %d bytes, not %d", ErrBadBlob, len(r.Body), n)
	}
	if crc32.Checksum(r.Body, castagnoli) != binary.BigEndian.Uint32(b[2:]) {
		return decoder{}, fmt.Errorf("%w: checksum of the body", ErrBadBlob)
	}
	d := decoder{flags: b[1], lines: string(head[fixed+used:])}
	rest := reader{d.lines}
	for range 2 { // the header, the trailer
		if err := rest.skip(); err != nil {
			return decoder{}, err
		}
	}
	if rest.text != "" {
		return decoder{}, fmt.Errorf("%w: %d bytes are left over", ErrBadBlob, len(rest.text))
	}
	return d, nil
}

// decoder holds a blob that was checked, so reading its lines cannot fail.
type decoder struct {
	flags byte
	lines string // both counted lists
}

func (d *decoder) notKept() bool { return d.flags&flagNotKept != 0 }

// header adds the header lines to h. The empty slice that it returns has room
// for spare values more.
func (d *decoder) header(h http.Header, spare int) []string {
	r := reader{d.lines}
	return r.lines(h, spare)
}

// trailer returns the trailer fields, nil without any.
func (d *decoder) trailer() http.Header {
	r := reader{d.lines}
	_ = r.skip() // checked
	if r.text == "\x00" {
		return nil
	}
	h := make(http.Header)
	r.lines(h, 0)
	return h
}

// reader takes one thing after another from the front of a text.
type reader struct{ text string }

// skip reads over a counted list of lines and checks its form.
func (r *reader) skip() error {
	count, err := r.number()
	if err != nil {
		return err
	}
	if count > uint64(len(r.text))/2 { // each line takes two lengths at least
		return fmt.Errorf("%w: %d lines in %d bytes", ErrBadBlob, count, len(r.text))
	}
	for range 2 * count {
		if _, err := r.string(); err != nil {
			return err
		}
	}
	return nil
}

// lines reads a counted list that skip has checked. All values share one
// slice, each cut so that appending to it copies.
func (r *reader) lines(h http.Header, spare int) []string {
	count, _ := r.number()
	values := make([]string, 0, int(count)+spare) //nolint:gosec // skip has bounded it
	last, first := "", 0
	for range count {
		name, _ := r.string()
		value, _ := r.string()
		if name != last {
			last, first = name, len(values)
		}
		values = append(values, value)
		h[name] = values[first:len(values):len(values)]
	}
	return values[len(values):]
}

func (r *reader) string() (string, error) {
	n, err := r.number()
	if err != nil {
		return "", err
	}
	if n > uint64(len(r.text)) {
		return "", fmt.Errorf("%w: a text of %d bytes in %d", ErrBadBlob, n, len(r.text))
	}
	s := r.text[:n]
	r.text = r.text[n:]
	return s, nil
}

// number reads an unsigned varint.
func (r *reader) number() (uint64, error) {
	if r.text != "" && r.text[0] < 0x80 { // nearly always
		n := r.text[0]
		r.text = r.text[1:]
		return uint64(n), nil
	}
	var n uint64
	for i := range min(len(r.text), binary.MaxVarintLen64) {
		c := r.text[i]
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 {
				break
			}
			r.text = r.text[i+1:]
			return n | uint64(c)<<(7*i), nil
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	return 0, fmt.Errorf("%w: a number", ErrBadBlob)
}
