// Package semelzstd compresses kept responses with Zstandard (RFC 8878) before they are
// sealed: a store then has a fraction of the bytes of JSON or HTML.
//
//	sealer, err := semelzstd.Wrap(ring, semelzstd.Config{}) // ring: see package keyring
//	...
//	engine, err := semel.New(store, semel.Config{Sealer: sealer})
//
// It is off unless it is wrapped around a Sealer, and for a reason: encryption does not hide
// lengths, and compression makes the length depend on the text. Where an answer has a secret
// beside something that an attacker may choose, an attacker who sees the lengths of many
// stored answers finds the secret out bit by bit, as CRIME and BREACH did with TLS. So use it
// where answers repeat nothing of what a stranger sends, or where nobody who may not read the
// answers sees their lengths; without encryption that question does not arise.
//
// Records that were kept before compression was switched on are read as they are, also those that
// were encrypted. The other way round is not possible: what was compressed in clear looks
// damaged once there is encryption, so encrypt first. Compression can be taken away only when none of
// its records are left, after one retention.
package semelzstd
