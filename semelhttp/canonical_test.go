package semelhttp

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func canonical(t testing.TB, body string, exclude ...string) (string, bool) {
	t.Helper()
	tree, err := newPointerTree(exclude)
	if err != nil {
		t.Fatal(err)
	}
	var c canonicalizer
	c.reset(nil)
	ok := c.json([]byte(body), tree)
	return string(c.out), ok
}

func TestCanonicalJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                            `{}`,
		` [ ] `:                         `[]`,
		` null`:                         `null`,
		"\t\r\n 1.10 \n":                `1.10`,
		`"a b"`:                         `"a b"`,
		`{ "b" : 1 , "a" : [ 1 , 2 ] }`: `{"a":[1,2],"b":1}`,
		`{"b":{"d":1,"c":{"f":[],"e":{}}},"a":true}`: `{"a":true,"b":{"c":{"e":{},"f":[]},"d":1}}`,
		`[{"b":1,"a":2},{"d":3,"c":4}]`:              `[{"a":2,"b":1},{"c":4,"d":3}]`,
		`{"n":-1.50E+3,"m":0.0}`:                     `{"m":0.0,"n":-1.50E+3}`,
		`{"\u0062":"\u0041\/","a":"A/"}`:             `{"a":"A/","\u0062":"\u0041\/"}`, // literals stay, names sort by meaning
		`{"}":"{\"],","]":"\\"}`:                     `{"]":"\\","}":"{\"],"}`,
		`{"":1}`:                                     `{"":1}`,
		`{"é":1,"z":2}`:                              `{"z":2,"é":1}`,
	} {
		if got, ok := canonical(t, body); !ok || got != want {
			t.Errorf("%s: got %s, %v, want %s", body, got, ok, want)
		}
	}
}

// TestJSONNeverMergesTwoPayloads lists pairs that other canonical forms take for
// equal, or that decoders read differently (I5).
func TestJSONNeverMergesTwoPayloads(t *testing.T) {
	for _, pair := range [][2]string{
		{`{"n":9007199254740993}`, `{"n":9007199254740992}`},
		{`{"n":1.10}`, `{"n":1.1}`},
		{`{"n":0.1000000000000000055}`, `{"n":0.1}`},
		{`{"n":1e2}`, `{"n":100}`},
		{`{"n":-0}`, `{"n":0}`},
		{`{"n":1}`, `{"n":"1"}`},
		{`{"s":"\u00e9"}`, `{"s":"é"}`},
		{`{"a":1,"b":null}`, `{"a":1}`},
		{`[1,2]`, `[2,1]`},
		{`{"a":1,"a":2}`, `{"a":2,"a":1}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"a":1,"\u0061":2}`, `{"\u0061":2,"a":1}`},
		{`{"amount":1,"Amount":2}`, `{"Amount":2,"amount":1}`}, // encoding/json takes the last
		{"{\"ok\":1,\"o\u212a\":2}", "{\"o\u212a\":2,\"ok\":1}"},
		{`{"a":{"b":1}}`, `{"a":{},"b":1}`},
		{"{\"a\":\"\xff\"}", "{\"a\":\"\xfe\"}"},
		{`{"\ud800":1,"\ud801":2}`, `{"\ud801":2,"\ud800":1}`},
		{`{"a":1`, `{"a":1 `}, // not JSON
		{`{"a":1}x`, `{"a":1} x`},
	} {
		var prints [2]any
		for i, text := range pair {
			r, body := post("/", "application/json", text)
			prints[i] = mustPrint(t, Fingerprint{JSON: true}, r, body)
		}
		if prints[0] == prints[1] {
			t.Errorf("%s and %s have one fingerprint", pair[0], pair[1])
		}
	}
}

func TestJSONAppliesToJSONOnly(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json":                true,
		"Application/JSON; charset=utf-8": true,
		"application/vnd.acme+json":       true,
		"application/problem+json;v=1":    true,
		"text/json":                       false,
		"application/jsonp":               false,
		"text/plain":                      false,
		"":                                false,
	} {
		f := Fingerprint{JSON: true}
		r1, b1 := post("/", contentType, `{"a":1,"b":2}`)
		r2, b2 := post("/", contentType, `{ "b":2, "a":1 }`)
		if got := mustPrint(t, f, r1, b1) == mustPrint(t, f, r2, b2); got != want {
			t.Errorf("%q: got equal %v, want %v", contentType, got, want)
		}
		r3, b3 := post("/", contentType, `{ "b":2, "a":1 }`)
		if mustPrint(t, Fingerprint{}, r1, b1) == mustPrint(t, Fingerprint{}, r3, b3) {
			t.Errorf("%q: equal without the option", contentType)
		}
	}
}

// TestFormsNeverMeet: a body that is already in canonical form has another
// fingerprint than the same bytes compared raw.
func TestFormsNeverMeet(t *testing.T) {
	r, body := post("/", "application/json", `{"a":1}`)
	if mustPrint(t, Fingerprint{}, r, body) == mustPrint(t, Fingerprint{JSON: true}, r, body) {
		t.Error("the raw and the canonical form meet")
	}
}

func TestExcludeMembers(t *testing.T) {
	for _, tc := range []struct {
		body, want string
		exclude    []string
	}{
		{`{"a":1,"b":2}`, `{"a":1}`, []string{"/b"}},
		{`{"a":1,"b":{"c":1,"d":2}}`, `{"a":1,"b":{"d":2}}`, []string{"/b/c"}},
		{`{"b":{"c":1}}`, `{"b":{}}`, []string{"/b/c"}},
		{`{"b":{"c":1},"a":0}`, `{"a":0}`, []string{"/b/c", "/b"}},
		{`{"a":1}`, `{}`, []string{"/a"}},
		{`{"z":[{"z":1,"a":{"y":0,"b":0}}],"y":1,"a":{"z":1,"y":2}}`, `{"a":{"y":2,"z":1},"z":[{"a":{"b":0,"y":0},"z":1}]}`, []string{"/y"}},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":1}]}`, []string{"/a/0/b", "/a/-/b", "/a/b"}}, // arrays end a pointer
		{`{"a":{"0":1}}`, `{"a":{}}`, []string{"/a/0"}},
		{`[{"a":1}]`, `[{"a":1}]`, []string{"/0/a", "/a"}},
		{`{"a/b":1,"m~n":2,"":3," ":4}`, `{" ":4}`, []string{"/a~1b", "/m~0n", "/"}},
		{`{"\u0061":1,"A":2}`, ``, []string{"/a"}},        // the same name twice: raw
		{`{"sent":1,"Sent":2}`, ``, []string{"/sent"}},    // also when one is excluded
		{`{"a":{"x":1,"x":2},"b":1}`, ``, []string{"/a"}}, // also below what is excluded
		{`{"A":1}`, `{"A":1}`, []string{"/a"}},            // names are compared exactly
		{`{"\u0061":1,"b":2}`, `{"b":2}`, []string{"/a"}},
		{`{"~01":1,"~1":2}`, `{"~01":1}`, []string{"/~01"}}, // RFC 6901 section 4: ~01 is ~1
	} {
		got, ok := canonical(t, tc.body, tc.exclude...)
		if ok != (tc.want != "") || ok && got != tc.want {
			t.Errorf("%s without %q: got %s, %v, want %s", tc.body, tc.exclude, got, ok, tc.want)
		}
	}
}

func TestExcludedMembersDoNotCount(t *testing.T) {
	f := Fingerprint{JSON: true, ExcludeMembers: []string{"/meta/sent_at"}}
	same := func(a, b string) bool {
		ra, ba := post("/", "application/json", a)
		rb, bb := post("/", "application/json", b)
		return mustPrint(t, f, ra, ba) == mustPrint(t, f, rb, bb)
	}
	if !same(`{"amount":1.10,"meta":{"sent_at":1,"by":"x"}}`, `{"meta":{"by":"x","sent_at":[2]},"amount":1.10}`) {
		t.Error("an excluded member counts")
	}
	if same(`{"amount":1,"meta":{"sent_at":1}}`, `{"amount":2,"meta":{"sent_at":1}}`) {
		t.Error("a member that is not excluded does not count")
	}
}

func TestDepthIsBounded(t *testing.T) {
	for _, level := range [][2]string{{`[`, `]`}, {`{"a":`, `}`}} {
		nest := func(n int) string {
			return strings.Repeat(level[0], n) + "1" + strings.Repeat(level[1], n)
		}
		if got, ok := canonical(t, nest(maxDepth)); !ok || got != nest(maxDepth) {
			t.Errorf("%s: depth %d: got %v", level, maxDepth, ok)
		}
		for _, n := range []int{maxDepth + 1, 9999, 1 << 20} { // and no stack is used up
			if _, ok := canonical(t, nest(n)); ok {
				t.Errorf("%s: depth %d is accepted", level, n)
			}
		}
	}
}

func TestCanonicalizerForgetsLargeBodies(t *testing.T) {
	var c canonicalizer
	c.reset(nil)
	if !c.json([]byte(`"`+strings.Repeat("x", 2*maxPooled)+`"`), nil) {
		t.Fatal("a valid body is refused")
	}
	c.reset(nil)
	if cap(c.out) > maxPooled {
		t.Errorf("got %d bytes pinned, want at most %d", cap(c.out), maxPooled)
	}
}

// tree is what a slow, independent reader makes of a body.
type tree struct {
	literal string // of a scalar
	kind    byte   // '{', '[' or 0
	names   []string
	kids    []*tree
}

// readTree reads valid JSON with encoding/json and keeps the literals.
func readTree(dec *json.Decoder, body []byte) *tree {
	from := dec.InputOffset()
	token, err := dec.Token()
	if err != nil {
		return nil
	}
	node := &tree{literal: strings.Trim(string(body[from:dec.InputOffset()]), " \t\r\n,:")}
	delim, ok := token.(json.Delim)
	if !ok {
		if s, isText := token.(string); isText && !strings.HasPrefix(node.literal, `"`) {
			panic("not the literal of " + s)
		}
		return node
	}
	node.literal, node.kind = "", byte(delim)
	for dec.More() {
		if delim == '{' {
			node.names = append(node.names, readTree(dec, body).literal)
		}
		node.kids = append(node.kids, readTree(dec, body))
	}
	_, _ = dec.Token()
	return node
}

// write renders the tree with random white space and the members in random order.
func (n *tree) write(b *strings.Builder, rng *rand.Rand) {
	space := func() { b.WriteString([]string{"", "", " ", "\n", "\t\r\n "}[rng.IntN(5)]) }
	space()
	defer space()
	if n.kind == 0 {
		b.WriteString(n.literal)
		return
	}
	order := make([]int, len(n.kids))
	for i := range order {
		order[i] = i
	}
	if n.kind == '{' {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	b.WriteByte(n.kind)
	for i, k := range order {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.kind == '{' {
			space()
			b.WriteString(n.names[k])
			space()
			b.WriteByte(':')
		}
		n.kids[k].write(b, rng)
	}
	b.WriteByte(n.kind + 2) // the closing one
}

// leaves lists the scalars.
func (n *tree) leaves() []*tree {
	if n.kind == 0 {
		return []*tree{n}
	}
	var all []*tree
	for _, kid := range n.kids {
		all = append(all, kid.leaves()...)
	}
	return all
}

// ambiguous reports whether an object names a member twice, by the rule that
// encoding/json matches names with, or is nested more than depth levels.
func (n *tree) ambiguous(depth int) bool {
	if n.kind != 0 && depth == 0 {
		return true
	}
	var names []string
	for _, literal := range n.names {
		var name string
		_ = json.Unmarshal([]byte(literal), &name)
		if slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) }) {
			return true
		}
		names = append(names, name)
	}
	return slices.ContainsFunc(n.kids, func(kid *tree) bool { return kid.ambiguous(depth - 1) })
}

// FuzzCanonicalJSON checks the canonical form against encoding/json: it means
// the same, is its own canonical form, does not depend on white space or the
// order of members, and changes with any literal. What has no canonical form is
// what two readers could read in two ways, and nothing else.
func FuzzCanonicalJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` [1, 2.50, "x\"y", null, true]`, `{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":-0.0e-1}`, `{"a":1,"A":2}`,
		`{"a":1,"\u0061":2}`, `"\ud800"`, "{\"\u212a\":1,\"k\":2}", `{"a":9007199254740993}`, `[[[[[[]]]]]]`, `{"a"`,
		"\"\xff\"", `{"İ":1,"i":2}`, `{"ſ":1,"s":2,"S":3}`,
	} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		got, ok := canonical(t, string(body))
		if !json.Valid(body) || !utf8.Valid(body) {
			if ok {
				t.Fatalf("%q is not JSON and has the canonical form %q", body, got)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber() // 1e400 is valid too
		node := readTree(dec, body)
		if ok == node.ambiguous(maxDepth) {
			t.Fatalf("%q: got %v", body, ok)
		}
		if !ok {
			return
		}
		if !reflect.DeepEqual(meaning(t, got), meaning(t, string(body))) {
			t.Fatalf("%q: the canonical form %q means something else", body, got)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var shuffled strings.Builder
		node.write(&shuffled, rng)
		for _, same := range []string{got, shuffled.String()} {
			if again, ok := canonical(t, same); !ok || again != got {
				t.Fatalf("%q: got %q, %v, want %q", same, again, ok, got)
			}
		}
		if leaves := node.leaves(); len(leaves) > 0 {
			leaf := leaves[rng.IntN(len(leaves))]
			leaf.literal = map[bool]string{true: "1.0", false: "1.00"}[leaf.literal != "1.0"]
			var changed strings.Builder
			node.write(&changed, rng)
			if other, ok := canonical(t, changed.String()); !ok || other == got {
				t.Fatalf("%q and %q have one canonical form", body, changed.String())
			}
		}
	})
}

func meaning(t *testing.T, text string) (v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzExclude checks that leaving a member out equals never having had it.
func FuzzExclude(f *testing.F) {
	f.Add([]byte(`{"x":{"a":1,"b":[2]},"y":3}`), "a")
	f.Add([]byte(`{"x":{"~/":1},"y":3}`), "~/")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		pointer := "/x/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		got, ok := canonical(t, string(body), pointer)
		if _, whole := canonical(t, string(body)); ok != whole {
			t.Fatalf("%q: got %v, without exclusion %v", body, ok, whole)
		}
		if !ok {
			return
		}
		want := meaning(t, string(body))
		if object, isObject := want.(map[string]any); isObject {
			if inner, isObject := object["x"].(map[string]any); isObject {
				delete(inner, name)
			}
		}
		if !reflect.DeepEqual(meaning(t, got), want) {
			t.Errorf("%q without %q: got %q", body, pointer, got)
		}
	})
}
