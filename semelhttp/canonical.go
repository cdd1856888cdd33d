package semelhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON body that is compared by content. Each
// level may copy what is below it once, so it also bounds the work per byte.
const maxDepth = 64

// canonicalizer turns a body into a form that equal payloads share. Its memory
// is used again.
type canonicalizer struct {
	out []byte // the result

	in      []byte // what is read: valid JSON
	pos     int
	members []member // of every object that is open now
	names   []byte   // their folded names
	moved   []byte   // the members of one object before they are put in order
}

// member is one member of an object that is open now.
type member struct {
	nameFrom, nameTo int // its folded name, in names
	from, to         int // name, colon, value and comma, in out; equal when it is excluded
}

// reset prepares c to write behind prefix.
func (c *canonicalizer) reset(prefix []byte) {
	if cap(c.out)+cap(c.moved)+cap(c.names) > maxPooled { // one large body must not pin its memory
		*c = canonicalizer{}
	}
	c.out = append(c.out[:0], prefix...)
	c.members, c.names = c.members[:0], c.names[:0]
}

// json appends the canonical form of body: white space dropped, the members of
// each object in order, every literal as it was written. It returns false when
// two bodies of different meaning could share the form: invalid JSON or UTF-8,
// too deep nesting, and objects that name a member twice. Names that differ in
// case alone count as the same, because decoders such as encoding/json take
// them for the same field, and then their order has a meaning.
func (c *canonicalizer) json(body []byte, exclude *pointerTree) bool {
	if !json.Valid(body) || !utf8.Valid(body) {
		return false
	}
	c.in, c.pos = body, 0
	ok := c.value(exclude, maxDepth)
	c.in = nil
	return ok
}

// value copies one value. The input is valid, so there is no error but depth and
// duplicates.
func (c *canonicalizer) value(exclude *pointerTree, depth int) bool {
	c.space()
	switch c.in[c.pos] {
	case '{':
		return depth > 0 && c.object(exclude, depth-1)
	case '[':
		return depth > 0 && c.array(depth-1)
	case '"':
		c.out = append(c.out, c.literal()...)
	default: // a number, true, false or null: up to what may follow it
		start := c.pos
		for c.pos < len(c.in) && c.in[c.pos] != ',' && c.in[c.pos] != ']' && c.in[c.pos] != '}' && !isSpace(c.in[c.pos]) {
			c.pos++
		}
		c.out = append(c.out, c.in[start:c.pos]...)
	}
	return true
}

func (c *canonicalizer) space() {
	for c.pos < len(c.in) && isSpace(c.in[c.pos]) {
		c.pos++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// literal takes the string that begins here, with its quotes.
func (c *canonicalizer) literal() []byte {
	start := c.pos
	for c.pos++; ; c.pos++ {
		c.pos += bytes.IndexByte(c.in[c.pos:], '"')
		escapes := 0 // right before the quote; an odd number escapes it
		for c.in[c.pos-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			break
		}
	}
	c.pos++
	return c.in[start:c.pos]
}

func (c *canonicalizer) array(depth int) bool {
	c.out = append(c.out, '[')
	c.pos++
	for c.space(); c.in[c.pos] != ']'; c.space() {
		if c.in[c.pos] == ',' {
			c.out = append(c.out, ',')
			c.pos++
		}
		if !c.value(nil, depth) {
			return false
		}
	}
	c.pos++
	c.out = append(c.out, ']')
	return true
}

func (c *canonicalizer) object(exclude *pointerTree, depth int) bool {
	c.out = append(c.out, '{')
	c.pos++
	first, open, names := len(c.members), len(c.out), len(c.names)
	for c.space(); c.in[c.pos] != '}'; c.space() {
		if c.in[c.pos] == ',' {
			c.pos++
			c.space()
		}
		if !c.member(exclude, depth) {
			return false
		}
	}
	c.pos++
	if !c.order(c.members[first:], open) {
		return false
	}
	c.members, c.names = c.members[:first], c.names[:names]
	if len(c.out) > open {
		c.out[len(c.out)-1] = '}' // in place of the last comma
	} else {
		c.out = append(c.out, '}')
	}
	return true
}

// member copies name, colon, value and a comma.
func (c *canonicalizer) member(exclude *pointerTree, depth int) bool {
	m := member{nameFrom: len(c.names), from: len(c.out)}
	literal := c.literal()
	below := c.name(literal, exclude)
	m.nameTo = len(c.names)
	c.out = append(c.out, literal...)
	c.out = append(c.out, ':')
	c.space()
	c.pos++ // the colon
	if !c.value(below, depth) {
		return false
	}
	c.out = append(c.out, ',')
	if below.isEnd() {
		c.out = c.out[:m.from]
	}
	m.to = len(c.out)
	c.members = append(c.members, m)
	return true
}

// name appends the folded form of a member's name and returns what is excluded
// at that member.
func (c *canonicalizer) name(literal []byte, exclude *pointerTree) *pointerTree {
	name := literal[1 : len(literal)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var text string
		_ = json.Unmarshal(literal, &text) // it is valid
		name = []byte(text)
	}
	for i := 0; i < len(name); {
		if b := name[i]; b < utf8.RuneSelf {
			c.names = append(c.names, byte(foldRune(rune(b)))) //nolint:gosec // ASCII stays ASCII
			i++
			continue
		}
		r, size := utf8.DecodeRune(name[i:])
		c.names = utf8.AppendRune(c.names, foldRune(r))
		i += size
	}
	return exclude.at(name)
}

// foldRune returns the same rune for all runes that a case-insensitive
// comparison takes for equal, as encoding/json and strings.EqualFold do.
func foldRune(r rune) rune {
	least := r
	if r >= utf8.RuneSelf {
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// order sorts the members of the object whose text begins at open. It returns
// false when two have the same name.
func (c *canonicalizer) order(members []member, open int) bool {
	compare := func(a, b member) int {
		return bytes.Compare(c.names[a.nameFrom:a.nameTo], c.names[b.nameFrom:b.nameTo])
	}
	sorted := slices.IsSortedFunc(members, compare)
	if !sorted {
		slices.SortFunc(members, compare)
	}
	for i := 1; i < len(members); i++ {
		if compare(members[i-1], members[i]) == 0 {
			return false
		}
	}
	if sorted {
		return true
	}
	c.moved = append(c.moved[:0], c.out[open:]...)
	c.out = c.out[:open]
	for _, m := range members {
		c.out = append(c.out, c.moved[m.from-open:m.to-open]...)
	}
	return true
}

// pointerTree holds the excluded members: the names that lead on from here. The
// nil tree excludes nothing.
type pointerTree struct {
	end  bool // the member here is excluded
	next map[string]*pointerTree
}

// newPointerTree reads JSON Pointers (RFC 6901 section 3).
func newPointerTree(pointers []string) (*pointerTree, error) {
	if len(pointers) == 0 {
		return nil, nil //nolint:nilnil // the nil tree is meant
	}
	root := new(pointerTree)
	for _, pointer := range pointers {
		names, err := parsePointer("Fingerprint.ExcludeMembers", pointer)
		if err != nil {
			return nil, err
		}
		at := root
		for _, name := range names {
			at = at.add(name)
		}
		at.end = true
	}
	return root, nil
}

// parsePointer returns the names in a JSON Pointer of a field of [Config].
func parsePointer(field, pointer string) (names []string, err error) {
	if !strings.HasPrefix(pointer, "/") {
		return nil, fmt.Errorf("semelhttp: Config.%s: %q is not a JSON Pointer to a member", field, pointer)
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(token), "~") {
			return nil, fmt.Errorf("semelhttp: Config.%s: %q has a ~ that is not ~0 or ~1", field, pointer)
		}
		names = append(names, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	return names, nil
}

func (t *pointerTree) add(name string) *pointerTree {
	if t.next == nil {
		t.next = make(map[string]*pointerTree)
	}
	if t.next[name] == nil {
		t.next[name] = new(pointerTree)
	}
	return t.next[name]
}

func (t *pointerTree) at(name []byte) *pointerTree {
	if t == nil {
		return nil
	}
	return t.next[string(name)]
}

func (t *pointerTree) isEnd() bool { return t != nil && t.end }
