package proof

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/semel-go/semel"
)

// world is one way in which things may stand: what the slot holds, and which of
// the steps whose answers were lost may still happen. Such a step is under way
// from its call until for ever.
type world struct {
	slot
	pending uint64 // bit i: lost step i has not happened yet
}

// covers reports whether all that can follow from v can follow from w.
func (w world) covers(v world) bool { return w.slot == v.slot && w.pending&v.pending == v.pending }

// maxLost bounds the lost answers of one key.
const maxLost = 64

// modelOf is the model of one key's history: porcupine orders the steps that
// were answered, and the state carries every way in which the lost ones may have
// fallen between them. A lost step is recorded at the instant of its call, from
// which on it may happen; porcupine alone would try all places in all orders.
func modelOf(history []porcupine.Operation) porcupine.Model {
	var lost []Call
	for _, op := range history {
		if as[Answer](op.Output).Unknown {
			lost = append(lost, as[Call](op.Input))
		}
	}
	return porcupine.Model{
		Init: func() any { return []world{{}} },
		Step: func(state, input, output any) (bool, any) {
			var next []world
			c, a := as[Call](input), as[Answer](output)
			if a.Unknown {
				for _, w := range as[[]world](state) {
					w.pending |= 1 << c.lost
					next = add(next, w)
				}
				return true, next
			}
			for _, w := range as[[]world](state) {
				for _, v := range unfold(w, lost, c, a) {
					for _, s := range step(v.slot, c, a) {
						next = add(next, world{s, v.pending})
					}
				}
			}
			return len(next) > 0, next
		},
		Equal: func(a, b any) bool {
			v, w := as[[]world](a), as[[]world](b)
			return len(v) == len(w) && !slices.ContainsFunc(v, func(one world) bool { return !slices.Contains(w, one) })
		},
		Hash: func(state any) (sum uint64) {
			for _, w := range as[[]world](state) {
				sum ^= binary.LittleEndian.Uint64(w.token[:8]) ^ uint64(w.fence)<<8 ^ uint64(w.phase)<<4 ^ w.pending
			}
			return sum
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState: func(state any) string {
			var all []string
			for _, w := range as[[]world](state) {
				all = append(all, fmt.Sprintf("%v; %d steps may be still to come", w.slot, bits.OnesCount64(w.pending)))
			}
			return strings.Join(all, " | ")
		},
	}
}

// unfold returns w and what lost steps can have made of it before c was answered
// by a, as far as that can explain the answer.
//
// A step that happens without an effect needs no world of its own: one that
// happens later is the same. And where w itself explains an answer that changes
// nothing, every lost step may as well happen after it.
func unfold(w world, lost []Call, c Call, a Answer) []world {
	all := []world{w}
	if changes := a.Refusal == nil && c.Kind != Look && (c.Kind != Reserve || a.mine(c)); !changes && len(step(w.slot, c, a)) > 0 {
		return all
	}
	for i := 0; i < len(all); i++ {
		for left := all[i].pending; left != 0; left &= left - 1 {
			n := bits.TrailingZeros64(left)
			if repeats(lost, n, all[i].pending) {
				continue
			}
			for _, s := range step(all[i].slot, lost[n], Answer{Unknown: true, At: a.At}) {
				v := world{s, all[i].pending &^ (1 << n)}
				if s != all[i].slot && !v.hopeless(lost, c, a) {
					all = add(all, v)
				}
			}
		}
	}
	return all
}

// hopeless reports whether neither w nor what lost steps can still make of it
// explains a. It may miss some.
func (w world) hopeless(lost []Call, c Call, a Answer) bool {
	switch c.Kind {
	case Reserve, Look: // attempts are counted, until the retention is over
		return !a.None && w.attempts > a.Held.Attempts && w.expiry.lo > a.At
	case Complete, Release, Renew: // the token must come back
		if a.Refusal != nil || w.token == c.Token {
			return false
		}
		for left := w.pending; left != 0; left &= left - 1 {
			if l := lost[bits.TrailingZeros64(left)]; l.Kind == Reserve && l.Token == c.Token {
				return false
			}
		}
		return true
	case Resolve: // fences only grow
		return a.Refusal == nil && w.open && w.fence >= c.Fence
	}
	return false
}

// repeats reports whether an earlier pending step is the same as n: then that
// one happens first.
func repeats(lost []Call, n int, pending uint64) bool {
	for left := pending & (1<<n - 1); left != 0; left &= left - 1 {
		m := lost[bits.TrailingZeros64(left)]
		m.At, m.lost = lost[n].At, n
		if m == lost[n] {
			return true
		}
	}
	return false
}

// add appends w unless it is covered already.
func add(worlds []world, w world) []world {
	if slices.ContainsFunc(worlds, func(v world) bool { return v.covers(w) }) {
		return worlds
	}
	return append(worlds, w)
}

// as is v, which porcupine carries without its type.
func as[T any](v any) T {
	t, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("a history holds a %T", v))
	}
	return t
}

// bySlot cuts a history into one for each key: slots never influence one
// another (I13), so each must be linearizable alone.
func bySlot(history []porcupine.Operation) [][]porcupine.Operation {
	index := make(map[semel.Key]int)
	var parts [][]porcupine.Operation
	for _, op := range history {
		key := as[Call](op.Input).Key
		i, ok := index[key]
		if !ok {
			i = len(parts)
			index[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}
