package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha3"
	"encoding/hex"
	"io"
	"os"
	"testing"
)

// sealWith is seal with a nonce that the test has chosen: nonce, cipher text and tag.
func sealWith(t *testing.T, secret, nonce, plain, aad []byte) []byte {
	t.Helper()
	m, err := newMaster(secret)
	if err != nil {
		t.Fatal(err)
	}
	kx := m.subkey(nonce[:nonceHalf])
	block, err := aes.NewCipher(kx[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	box := gcm.Seal(bytes.Clone(nonce), nonce[nonceHalf:], plain, aad)
	opened, err := m.open(box, aad)
	if err != nil || !bytes.Equal(opened, plain) {
		t.Fatalf("got %x, %v, want %x opened", opened, err, plain)
	}
	return box
}

// The vectors of https://c2sp.org/XAES-256-GCM: one for each first bit of L.
func TestVectors(t *testing.T) {
	for _, v := range []struct{ key, k1, kx, aad, want string }{
		{
			"01", "e531954aca063d5b8d9c47a47d4cc6f0", "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
			"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
		},
		{
			"03", "23810ec50edb99f374409466ed1f4b7b", "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
			"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
		},
	} {
		secret, err := hex.DecodeString(v.key)
		if err != nil {
			t.Fatal(err)
		}
		secret = bytes.Repeat(secret, keySize)
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		m, err := newMaster(secret)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(m.k1[:]); got != v.k1 {
			t.Errorf("got K1 %s, want %s", got, v.k1)
		}
		kx := m.subkey(nonce[:nonceHalf])
		if got := hex.EncodeToString(kx[:]); got != v.kx {
			t.Errorf("got Kx %s, want %s", got, v.kx)
		}
		box := sealWith(t, secret, nonce, []byte("XAES-256-GCM"), []byte(v.aad))
		if got := hex.EncodeToString(box[nonceSize:]); got != v.want {
			t.Errorf("got cipher text %s, want %s", got, v.want)
		}
	}
}

// The accumulated vectors of the same page. The long one takes some seconds: SEMEL_PROOF=long.
func TestAccumulatedVectors(t *testing.T) {
	for _, v := range []struct {
		rounds int
		want   string
	}{
		{10_000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"},
		{1_000_000, "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15"},
	} {
		if v.rounds > 10_000 && os.Getenv("SEMEL_PROOF") != "long" {
			continue
		}
		random, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
		read := func(n int) []byte {
			b := make([]byte, n)
			if _, err := io.ReadFull(random, b); err != nil {
				t.Fatal(err)
			}
			return b
		}
		for range v.rounds {
			secret, nonce := read(keySize), read(nonceSize)
			plain := read(int(read(1)[0]))
			aad := read(int(read(1)[0]))
			_, _ = sum.Write(sealWith(t, secret, nonce, plain, aad)[nonceSize:])
		}
		got := make([]byte, 32)
		_, _ = sum.Read(got)
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%d rounds: got %x, want %s", v.rounds, got, v.want)
		}
	}
}

// Two nonces never meet: what is sealed twice looks different twice, in both halves.
func TestNoncesAreFresh(t *testing.T) {
	m, err := newMaster(NewKey("a").Secret)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for range 100 {
		box, err := m.seal(nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, half := range [][]byte{box[:nonceHalf], box[nonceHalf:nonceSize]} {
			if seen[string(half)] {
				t.Fatalf("got the half nonce %x twice", half)
			}
			seen[string(half)] = true
		}
	}
}
