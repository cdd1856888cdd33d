package verify

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// leastSecret is the length of the shortest text that is removed from a report, in bytes:
// what is shorter hides nothing and would hide everything.
const leastSecret = 4

// keyring is the keys of a run, each with what stands for it in a report. It may be used by several
// goroutines.
type keyring struct {
	mu   sync.Mutex
	keys map[string]string
}

// add takes a key in any form. Where it has odd text within, what follows that is taken too: an endpoint
// may write the odd text in a way of its own.
func (k *keyring) add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = make(map[string]string)
	}
	key = strings.Trim(key, `"`)
	plain := strings.FieldsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(plain) > 1 && len(plain[len(plain)-1]) >= leastSecret {
		k.keys[plain[len(plain)-1]] = "…"
	}
	if len(key) >= leastSecret {
		k.keys[key] = short(key)
	}
}

// shorten puts the short form of each key in its place. Of keys that begin alike the longest counts.
func (k *keyring) shorten(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	longest := slices.SortedFunc(maps.Keys(k.keys), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	pairs := make([]string, 0, 2*len(longest))
	for _, key := range longest {
		pairs = append(pairs, key, k.keys[key])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// short is enough of a key to find it in a log, and too little to use it.
func short(key string) string {
	if key == "" {
		return `""`
	}
	shown := key[:min(8, len(key)/2)]
	return strings.Trim(strconv.QuoteToASCII(shown), `"`) + "…"
}

// scrub removes secrets from a text, in the form in which they were sent and as
// JSON and Go write them, and of keys all but the begin.
func (s *session) scrub(text string) string {
	for _, secret := range s.secrets {
		quoted := strings.Trim(strconv.Quote(secret), `"`)
		text = strings.ReplaceAll(strings.ReplaceAll(text, secret, "***"), quoted, "***")
	}
	return s.keys.shorten(text)
}
