// Package keyring encrypts kept responses. A [Keyring] is a [semel.Sealer] whose
// keys are in a file; a [Wrapped] one gets them from a key service.
//
//	cfg, err := keyring.Load("/etc/payments/keyring")
//	...
//	ring, err := keyring.New(cfg)
//	...
//	engine, err := semel.New(store, semel.Config{Sealer: ring})
//
// # Advice
//
// Make a key with [NewKey] and write the file with [Config.Encode]. A process reads the
// file when it starts. To rotate, add the new key to the file of every process first,
// then make it the primary one in every process, and take the old key out when no record
// is sealed under it any more: after one retention, or after [semel.Engine.Rewrap] of all
// that [Keyring.Stale] finds. A key that is lost takes with it every answer that is sealed
// under it: their retries are told that the record is damaged, and nothing runs again.
//
// # Promise
//
// Header and body of a record are sealed apart, with XAES-256-GCM: AES-256-GCM under a key
// that is derived for this one field from the key of the keyring and half of a random
// nonce of 24 bytes (https://c2sp.org/XAES-256-GCM, NIST SP 800-108r1 and SP 800-38D). So
// a key may seal 2⁸⁰ fields, and nobody has to count them. What the engine hands
// over as additional data, slot, field and status, is authenticated, and so is the key's id:
// bytes that were moved to another place do not open.
//
// Length, time and number of records are not hidden. The keys stay in the memory of the
// process for as long as the [Keyring] does.
package keyring
