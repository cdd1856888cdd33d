package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
)

// The sizes of XAES-256-GCM in bytes. The first half of a nonce chooses the derived
// key, the second is the nonce of AES-256-GCM under it.
const (
	keySize   = 32
	nonceSize = 24
	nonceHalf = nonceSize / 2
	tagSize   = 16
)

// master is a key that encrypts nothing itself: it derives the key of each message.
// It is safe for concurrent use.
type master struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // the CMAC subkey of NIST SP 800-38B section 6.1
}

func newMaster(secret []byte) (*master, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	m := &master{block: block}
	block.Encrypt(m.k1[:], m.k1[:])
	var carry byte
	for i := len(m.k1) - 1; i >= 0; i-- {
		m.k1[i], carry = m.k1[i]<<1|carry, m.k1[i]>>7
	}
	m.k1[len(m.k1)-1] ^= carry * 0b10000111
	return m, nil
}

// subkey derives the key of the messages whose nonce begins with half: NIST SP 800-108r1 in
// counter mode with CMAC-AES-256, two blocks long. The names are those of the
// specification.
func (m *master) subkey(half []byte) [keySize]byte {
	var kx [keySize]byte
	for i := range byte(2) {
		m1 := kx[int(i)*aes.BlockSize:][:aes.BlockSize]
		copy(m1, []byte{0, i + 1, 'X', 0})
		copy(m1[4:], half)
		for j := range m1 {
			m1[j] ^= m.k1[j]
		}
		m.block.Encrypt(m1, m1)
	}
	return kx
}

// aead encrypts the messages whose nonce begins with half. It makes the other half itself
// and writes it in front: so does Go's FIPS 140-3 module want it.
func (m *master) aead(half []byte) (cipher.AEAD, error) {
	kx := m.subkey(half)
	block, err := aes.NewCipher(kx[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal appends nonce, cipher text and tag to out.
func (m *master) seal(out, plain, aad []byte) ([]byte, error) {
	half := len(out)
	out = append(out, make([]byte, nonceHalf)...)
	_, _ = rand.Read(out[half:]) // never fails, see crypto/rand
	aead, err := m.aead(out[half:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plain, aad), nil //nolint:gosec // it makes its nonce itself
}

// open is the reverse of seal. The box has a nonce and a tag at least.
func (m *master) open(box, aad []byte) ([]byte, error) {
	aead, err := m.aead(box[:nonceHalf])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, box[nonceHalf:], aad)
}
