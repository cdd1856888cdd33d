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
	var lost []porcupine.Operation
	for _, op := range history {
		if op.Output.(Answer).Unknown {
			lost = append(lost, op)
		}
	}
	return porcupine.Model{
		Init: func() any { return []world{{}} },
		Step: func(state, input, output any) (bool, any) {
			var next []world
			c, a := input.(Call), output.(Answer)
			for _, w := range unfold(state.([]world), lost) {
				if a.Unknown {
					w.pending |= 1 << c.lost
					next = add(next, w)
					continue
				}
				for _, s := range step(w.slot, c, a) {
					next = add(next, world{s, w.pending})
				}
			}
			return len(next) > 0, next
		},
		Equal: func(a, b any) bool {
			v, w := a.([]world), b.([]world)
			return len(v) == len(w) && !slices.ContainsFunc(v, func(one world) bool { return !slices.Contains(w, one) })
		},
		Hash: func(state any) (sum uint64) {
			for _, w := range state.([]world) {
				sum ^= binary.LittleEndian.Uint64(w.token[:8]) ^ uint64(w.fence)<<8 ^ uint64(w.phase)<<4 ^ w.pending
			}
			return sum
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState: func(state any) string {
			var all []string
			for _, w := range state.([]world) {
				all = append(all, fmt.Sprintf("%v; %d steps may be still to come", w.slot, bits.OnesCount64(w.pending)))
			}
			return strings.Join(all, " | ")
		},
	}
}

// unfold adds every world that pending steps can lead to. A step that happens
// without an effect needs no world of its own: one that never happens is the same.
func unfold(worlds []world, lost []porcupine.Operation) []world {
	all := slices.Clone(worlds)
	for i := 0; i < len(all); i++ {
		for left := all[i].pending; left != 0; left &= left - 1 {
			n := bits.TrailingZeros64(left)
			for _, s := range step(all[i].slot, lost[n].Input.(Call), lost[n].Output.(Answer)) {
				if s != all[i].slot {
					all = add(all, world{s, all[i].pending &^ (1 << n)})
				}
			}
		}
	}
	return all
}

// add appends w unless it is covered already.
func add(worlds []world, w world) []world {
	if slices.ContainsFunc(worlds, func(v world) bool { return v.covers(w) }) {
		return worlds
	}
	return append(worlds, w)
}

// bySlot cuts a history into one for each key: slots never influence one
// another (I13), so each must be linearizable alone.
func bySlot(history []porcupine.Operation) [][]porcupine.Operation {
	index := make(map[semel.Key]int)
	var parts [][]porcupine.Operation
	for _, op := range history {
		key := op.Input.(Call).Key
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
