package keyring_test

import (
	"fmt"

	"github.com/semel-go/semel/keyring"
)

// A new key opens everywhere before it seals anywhere. The record is rewrapped, and the old key
// can go.
func Example() {
	cfg := keyring.Config{Primary: "2026-05", Keys: []keyring.Key{keyring.NewKey("2026-05")}}
	ring, err := keyring.New(cfg)
	if err != nil {
		panic(err)
	}
	record := []byte("slot, field and status")
	sealed, err := ring.Seal(record, []byte("paid"))
	if err != nil {
		panic(err)
	}

	cfg.Keys = append(cfg.Keys, keyring.NewKey("2026-11")) // in every process; then:
	cfg.Primary = "2026-11"
	if ring, err = keyring.New(cfg); err != nil {
		panic(err)
	}
	fresh, changed, err := ring.Rewrap(record, sealed)
	if err != nil {
		panic(err)
	}
	before, _ := keyring.KeyID(sealed)
	after, _ := keyring.KeyID(fresh)
	fmt.Println(before, after, changed)

	_, err = ring.Open([]byte("another slot"), fresh)
	fmt.Println(err)
	// Output:
	// 2026-05 2026-11 true
	// keyring: damaged: changed, or of another record, field or status
}
