package semel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// minHashSecret is how many bytes of secret Config.HashKeys wants: with fewer, whoever has
// the table can try all of them.
const minHashSecret = 16

// StoredKey returns the key under which the records of key are kept: with
// [Config.HashKeys] its keyed hashes, else key itself. An operator finds a record
// by it, in a [Filter] for example; its Scope depends on the scope alone, so that
// finds all records of a tenant. It does not check key. Nothing leads back.
func (e *Engine) StoredKey(key Key) Key {
	if !e.cfg.HashKeys {
		return key
	}
	return Key{
		Scope: hex.EncodeToString(e.keyed("semel/1 scope", key.Scope)),
		ID:    hex.EncodeToString(e.keyed("semel/1 key", key.Scope, key.ID)),
	}
}

// admit is the one door for what callers know by its true name: behind it a call has
// the key and the fingerprint that are stored, observed and logged, and whoever gets a
// key from there (a claim, a record, a recovery hook) must not come in by it again.
//
// The fingerprint is hashed too: it is a plain hash of the request, and a guess of a
// payment's few digits could be checked against it.
func (e *Engine) admit(call *Call) error {
	if err := call.Key.Validate(); err != nil {
		return err
	}
	if e.cfg.HashKeys {
		call.Key = e.StoredKey(call.Key)
		call.Fingerprint = Fingerprint(e.keyed("semel/1 fingerprint", string(call.Fingerprint[:])))
	}
	return nil
}

// keyed is HMAC-SHA-256 under Config.Secret. The first part names the use; each has its
// length in front, so that two lists of parts never give the same bytes.
func (e *Engine) keyed(parts ...string) []byte {
	var b []byte
	for _, part := range parts {
		b = appendPrefixed(b, part)
	}
	mac := hmac.New(sha256.New, e.cfg.Secret)
	_, _ = mac.Write(b)
	return mac.Sum(nil)
}

func (c Config) checkHashKeys() error {
	if c.HashKeys && len(c.Secret) < minHashSecret {
		return fmt.Errorf("semel: Config.HashKeys needs a Secret of at least %d bytes", minHashSecret)
	}
	return nil
}
