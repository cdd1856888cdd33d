package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/keyring"
)

// sealedSizes are the answers that are sealed, in bytes.
var sealedSizes = []int{256, 1 << 10, 16 << 10, 256 << 10}

// sealedBytes are sealed in one round and size, so that each takes about as long.
const sealedBytes = 64 << 20

// sealingGroup measures what it costs to encrypt a kept answer, and to read it again.
func sealingGroup(_ context.Context, e *env) (section, error) {
	ring, err := keyring.New(keyring.Config{Primary: "bench", Keys: []keyring.Key{keyring.NewKey("bench")}})
	if err != nil {
		return section{}, err
	}
	raw, err := rawGCM()
	if err != nil {
		return section{}, err
	}
	subjects := []sealing{{"Seal", ring.Seal}, {"Open", nil}, {"raw AES-256-GCM, one key for all", raw}}
	took := map[string]map[int]sample{}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, s := range turned(round, subjects) {
			if took[s.name] == nil {
				took[s.name] = map[int]sample{}
			}
			for _, size := range sealedSizes {
				us, err := s.each(ring, size, e.size.direct)
				if err != nil {
					return section{}, err
				}
				took[s.name][size] = append(took[s.name][size], us)
			}
		}
	}
	perKiB := table{columns: []string{"256 B", "1 KiB", "16 KiB", "256 KiB"}}
	for _, name := range []string{"Seal", "Open", "raw AES-256-GCM, one key for all"} {
		r := row{name: name}
		for _, size := range sealedSizes {
			r.cells = append(r.cells, cell{took[name][size], 2})
		}
		perKiB.rows = append(perKiB.rows, r)
	}
	return section{
		title: "Encrypted answers", method: sealingMethod, tables: []table{perKiB},
		goals: []goal{
			atMost("sealing 1 KiB ≤ 3 µs", took["Seal"][1<<10], 3, 2),
			atMost("sealing 256 KiB ≤ 3 µs a KiB", took["Seal"][256<<10].scale(1.0/256), 3, 2),
		},
	}, nil
}

const sealingMethod = `Microseconds to seal an answer, and to open it, on one goroutine, with the slot and the status as additional data. A keyring derives a
key for each record (XAES-256-GCM); the raw limit is AES-256-GCM of the standard library under one key, which may not be used so for
more than 2³² answers.`

// sealing is something that seals; nil opens what the ring has sealed.
type sealing struct {
	name string
	seal func(aad, plain []byte) ([]byte, error)
}

// each returns the microseconds of one answer of that size.
func (s sealing) each(ring semel.Sealer, size, most int) (float64, error) {
	aad, text := bytes.Repeat([]byte("a"), 64), bytes.Repeat([]byte("p"), size)
	f := s.seal
	if f == nil {
		var err error
		if text, err = ring.Seal(aad, text); err != nil {
			return 0, err
		}
		f = ring.Open
	}
	n := min(most, sealedBytes/size)
	start := time.Now()
	for range n {
		if _, err := f(aad, text); err != nil {
			return 0, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return float64(time.Since(start).Microseconds()) / float64(n), nil
}

func rawGCM() (func(aad, plain []byte) ([]byte, error), error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return func(aad, plain []byte) ([]byte, error) { return gcm.Seal(nil, nil, plain, aad), nil }, nil
}
