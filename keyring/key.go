package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// Key is one key of a keyring.
type Key struct {
	// ID names it in every field that it seals: 1 to [MaxIDLen] of a-z, 0-9 and -. It
	// is no secret. A date is a good one. It must never be given to another key.
	ID string
	// Secret has 32 bytes, all of them random. It redacts itself, see [semel.Secret].
	Secret semel.Secret
}

// NewKey makes a key with a fresh random secret. [New] and [Config.Encode] check the id.
func NewKey(id string) Key {
	secret := make(semel.Secret, keySize)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	return Key{ID: id, Secret: secret}
}

// Config is what a [Keyring] is made of. Primary and its key are required.
type Config struct {
	// Primary is the id of the key that seals.
	Primary string
	// Keys are all keys that open, the primary one among them.
	Keys []Key
	// AcceptPlain also reads records that were kept before encryption was switched on,
	// see [Keyring.Plain]. Who can write to the store can then put a plain record in the
	// place of a sealed one, so switch it off after one retention, or when
	// [semel.Engine.Rewrap] has sealed them all. Default: such a record is damaged.
	AcceptPlain bool
}

// validate says what is wrong, without a word of what may be a secret.
func (c Config) validate() error {
	seen := make(map[string]bool, len(c.Keys))
	for i, k := range c.Keys {
		switch {
		case !validID(k.ID):
			return fmt.Errorf("keyring: the id of key %d is not 1 to %d of a-z, 0-9 and -", i+1, MaxIDLen)
		case seen[k.ID]:
			return fmt.Errorf("keyring: key %d has the id of another one", i+1)
		case len(k.Secret) != keySize:
			return fmt.Errorf("keyring: the secret of key %d has %d bytes, not %d", i+1, len(k.Secret), keySize)
		}
		seen[k.ID] = true
	}
	switch {
	case c.Primary == "":
		return errors.New("keyring: no key is primary")
	case !seen[c.Primary]:
		return errors.New("keyring: the primary key is not among the keys")
	}
	return nil
}
