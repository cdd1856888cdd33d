package keyring_test

import (
	"bytes"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/keyring"
)

// The goal is 3 µs for 1 KiB.
func BenchmarkSeal(b *testing.B) {
	each(b, func(b *testing.B, s semel.Sealer, aad, plain, _ []byte) {
		for b.Loop() {
			if _, err := s.Seal(aad, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	each(b, func(b *testing.B, s semel.Sealer, aad, _, sealed []byte) {
		for b.Loop() {
			if _, err := s.Open(aad, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func each(b *testing.B, f func(b *testing.B, s semel.Sealer, aad, plain, sealed []byte)) {
	aad, plain := bytes.Repeat([]byte("a"), 64), bytes.Repeat([]byte("p"), 1024)
	for name, s := range map[string]semel.Sealer{
		"keyring": ringOf(b, keyring.NewKey("2026-11")),
		"wrapped": newWrapped(b, newVault("a"), keyring.WrappedConfig{MaxUses: 1 << 40}),
	} {
		b.Run(name, func(b *testing.B) {
			sealed, err := s.Seal(aad, plain)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			f(b, s, aad, plain, sealed)
		})
	}
}
