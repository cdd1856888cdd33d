package semel

import "strings"

// A message of hints is printable text, so that it goes through every store and can be read
// by whoever listens: the version "1", 8 digits that name the sender, and for each hint its
// kind and the slot, as [Engine.Ref] names it.
const (
	hintVersion = "1"
	hintFrom    = 8 // digits
	markLen     = 12
	hintBatch   = (MaxMessageLen - len(hintVersion) - hintFrom) / (1 + markLen) // hints in a message
)

// mark names a slot in hints: see [Engine.Ref].
type mark [markLen]byte

type hintKind byte

const (
	hintAsks  hintKind = '?' // somebody waits for the slot
	hintEnded hintKind = '!' // an attempt on it has ended
)

type hint struct {
	kind hintKind
	slot mark
}

// writeHints makes a message of up to hintBatch hints.
func writeHints(from string, hints []hint) string {
	var b strings.Builder
	b.Grow(len(hintVersion) + hintFrom + len(hints)*(1+markLen))
	b.WriteString(hintVersion)
	b.WriteString(from)
	for _, h := range hints {
		b.WriteByte(byte(h.kind))
		b.Write(h.slot[:])
	}
	return b.String()
}

// readHints reads a message. It reports false for one that is none of this version; kinds
// that it does not know are handed on.
func readHints(text string) (from string, hints []hint, ok bool) {
	rest, ok := strings.CutPrefix(text, hintVersion)
	if !ok || len(text) > MaxMessageLen || len(rest) < hintFrom || (len(rest)-hintFrom)%(1+markLen) != 0 {
		return "", nil, false
	}
	from, rest = rest[:hintFrom], rest[hintFrom:]
	hints = make([]hint, 0, len(rest)/(1+markLen))
	for ; rest != ""; rest = rest[1+markLen:] {
		h := hint{kind: hintKind(rest[0])}
		copy(h.slot[:], rest[1:])
		hints = append(hints, h)
	}
	return from, hints, true
}
