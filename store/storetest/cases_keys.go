package storetest

import (
	"fmt"
	"strings"

	"github.com/semel-go/semel"
)

var keyCases = []testCase{
	{
		"keys/scope",
		"I13: the same id in two scopes names two slots, and no step on one has an effect on the other.",
		func(k *kit) {
			here, there := ask("a"), stranger(ask("a"))
			there.Key.Scope = "tenant-2"
			heldHere, heldThere := k.grant(here), k.grant(there)
			k.refuse("here", another(here), heldHere)
			k.complete(here, answer("here"))
			k.refuse("there, when here is completed", another(there), heldThere)
			k.release(there)
			k.refuse("here, when there is free", another(here), completed(heldHere, answer("here")))
			k.counts(k.grant(there), 2, 0)
		},
	},
	{
		"keys/boundary",
		"I13: where the scope ends and the id begins is part of the key.",
		func(k *kit) {
			k.apart(
				semel.Key{Scope: "ab", ID: "c"}, semel.Key{Scope: "a", ID: "bc"},
				semel.Key{Scope: "a:b", ID: "c"}, semel.Key{Scope: "a", ID: "b:c"},
				semel.Key{Scope: "a/b", ID: "c"}, semel.Key{Scope: "a", ID: "b/c"},
				semel.Key{Scope: "a\x00b", ID: "c"}, semel.Key{Scope: "a", ID: "b\x00c"},
				semel.Key{Scope: "a|b", ID: "c"}, semel.Key{Scope: "a", ID: "b|c"},
				semel.Key{Scope: "a.b", ID: "c"}, semel.Key{Scope: "a", ID: "b.c"},
				semel.Key{Scope: "a,b", ID: "c"}, semel.Key{Scope: "a", ID: "b,c"},
				semel.Key{Scope: "a b", ID: "c"}, semel.Key{Scope: "a", ID: "b c"},
				semel.Key{Scope: "x", ID: "y"}, semel.Key{Scope: "y", ID: "x"},
			)
		},
	},
	{
		"keys/bytes",
		"I13: keys are compared byte for byte: case, white space, control bytes, accents and invalid UTF-8 count.",
		func(k *kit) {
			texts := []string{
				"key", "KEY", "Key", " key", "key ", "key  ", "key\t", "key\n", "key\r\n", "\tkey", "key\x00", "\x00key", "key\x00\x00",
				"k\x00ey", "\"key\"", "'key'", "`key`", "key%", "k_y", "k*y", "k?y", "k[e]y", "{key}", "key}", "k\\ey", "k\\\\ey", "key;--",
				"kéy", "ke\u0301y", "key", "ｋｅｙ", "ß", "ss", "ẞ", "ı", "i", "I", "İ", "\u200bkey", "key\ufeff",
				"\xff", "\xfe", "\xff\xfe", "\xc3", "\xc3\x28", "\xed\xa0\x80", "\ufffd", "0", "00", "-0", "1e3", "1000", "null", "true", "\x7f",
			}
			var all []semel.Key
			seen := make(map[string]bool)
			for _, text := range texts {
				if seen[text] {
					continue
				}
				seen[text] = true
				all = append(all, semel.Key{Scope: scope, ID: text}, semel.Key{Scope: text, ID: "id"})
			}
			k.apart(all...)
		},
	},
	{
		"keys/length",
		"I13: a key may use its whole length, and its last byte counts.",
		func(k *kit) {
			scopes, ids := strings.Repeat("s", semel.MaxScopeLen), strings.Repeat("i", semel.MaxKeyLen)
			binary := strings.Repeat("\xff", semel.MaxScopeLen)
			k.apart(
				semel.Key{Scope: scopes, ID: ids},
				semel.Key{Scope: scopes, ID: ids[1:]},
				semel.Key{Scope: scopes[1:], ID: ids},
				semel.Key{Scope: scopes, ID: ids[1:] + "x"},
				semel.Key{Scope: scopes[1:] + "x", ID: ids},
				semel.Key{Scope: binary, ID: binary},
				semel.Key{Scope: binary[1:], ID: binary},
				semel.Key{Scope: "s", ID: "i"},
			)
		},
	},
}

// apart reserves all keys, each for another request, and checks that each slot
// has its own attempt and then its own response.
func (k *kit) apart(keys ...semel.Key) {
	k.Helper()
	rs, held := make([]semel.Reservation, len(keys)), make([]semel.Record, len(keys))
	for i, key := range keys {
		rs[i] = ask("")
		rs[i].Key = key
		rs[i].Fingerprint = semel.FingerprintOf(fmt.Append(nil, i))
		held[i] = k.reserve(rs[i])
		if held[i].Token != rs[i].Token {
			k.Fatalf("key %d: scope %q, id %q meets the slot of scope %q, id %q",
				i, key.Scope, key.ID, held[i].Key.Scope, held[i].Key.ID)
		}
	}
	for i, r := range rs {
		k.refuse(fmt.Sprint("key ", i), another(r), held[i])
		k.complete(r, answer(fmt.Sprint("key ", i)))
	}
	for i, r := range rs {
		k.refuse(fmt.Sprint("replay of key ", i), another(r), completed(held[i], answer(fmt.Sprint("key ", i))))
	}
}
