package proof

import (
	"fmt"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// A hot key is left for a fresh one when its history has become so long, or so
// full of lost answers, that checking it would take long; or when it only
// replays.
const (
	hotSteps   = 240
	hotUnknown = 5
	hotReplays = 12
)

// hotKey is one that workers fight over.
type hotKey struct {
	key                     semel.Key
	retention               time.Duration
	steps, unknown, replays int
	seen                    semel.Record // for the operator: the last lapsed record, or one that runs
}

// keyring holds the few hot keys of a run. It is safe for concurrent use.
type keyring struct {
	load Load
	mu   sync.Mutex
	made int
	hot  []*hotKey
	all  []semel.Key
}

func newKeyring(load Load) *keyring {
	k := &keyring{load: load, hot: make([]*hotKey, load.Keys)}
	for i := range k.hot {
		k.hot[i] = k.fresh()
	}
	return k
}

// fresh makes a key. Every third is remembered for a few leases only, so that
// expiry and purge take part.
func (k *keyring) fresh() *hotKey {
	k.made++
	h := &hotKey{key: semel.Key{Scope: k.load.Scope, ID: fmt.Sprintf("key-%d", k.made)}, retention: time.Hour}
	if k.made%3 == 0 {
		h.retention = 4 * k.load.Lease
	}
	k.all = append(k.all, h.key)
	return h
}

// pick returns the key that roll chooses, and what an operator saw there.
func (k *keyring) pick(roll int) (key semel.Key, retention time.Duration, seen semel.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := roll % len(k.hot)
	h := k.hot[i]
	if h.steps >= hotSteps || h.unknown >= hotUnknown || h.replays >= hotReplays && h.retention == time.Hour {
		h = k.fresh()
		k.hot[i] = h
	}
	return h.key, h.retention, h.seen
}

// note counts an answer.
func (k *keyring) note(key semel.Key, a Answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.hot {
		if h.key != key {
			continue
		}
		h.steps++
		h.unknown += a.again
		switch {
		case a.Unknown:
			h.unknown++
		case a.Held.State == semel.StateCompleted:
			h.replays++
		case a.Held.Lapsed, a.Held.State == semel.StateReserved && h.steps%8 == 0:
			h.seen = a.Held
		}
	}
}

// keys returns every key of the run.
func (k *keyring) keys() []semel.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]semel.Key(nil), k.all...)
}
