package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/semel-go/semel"
)

var valueCases = []testCase{
	{
		"values/bytes",
		"I3: header and body are opaque bytes, and are replayed as they were given.",
		func(k *kit) {
			for i, b := range [][]byte{
				[]byte("text"), everyByte(),
				{0},
				{0, 0, 0},
				[]byte("\x00text\x00"), []byte("a\r\nb\n"),
				{0xff, 0xfe},
				[]byte(`'"\%_{}`), []byte("\\x41\\000"), []byte(" padded "), []byte("null"), []byte("12"), []byte("Grüße 世界 🏦"),
			} {
				k.keeps(fmt.Sprint("body ", i), semel.Response{Status: 200, Header: []byte("header"), Body: b})
				k.keeps(fmt.Sprint("header ", i), semel.Response{Status: 200, Header: b, Body: []byte("body")})
			}
		},
	},
	{
		"values/empty",
		"I3: a response may lack header, body or both; nil and empty are the same.",
		func(k *kit) {
			for i, r := range []semel.Response{
				{},
				{Status: 204},
				{Status: 204, Header: []byte{}, Body: []byte{}},
				{Status: 200, Header: []byte("only a header")},
				{Status: 200, Body: []byte("only a body")},
			} {
				k.keeps(fmt.Sprint("response ", i), r)
			}
		},
	},
	{
		"values/status",
		"I3: every status from 100 to 599 is replayed as it was given, and so is 0, which says that there was none.",
		func(k *kit) {
			for _, status := range []int{0, 100, 199, 200, 201, 204, 255, 256, 299, 302, 404, 500, 503, 599} {
				k.keeps(fmt.Sprint("status ", status), semel.Response{Status: status, Body: []byte("body")})
			}
		},
	},
	{
		"values/large",
		"I3: a body of one mebibyte and a header of 64 KiB are replayed byte for byte.",
		func(k *kit) {
			k.keeps("large", semel.Response{Status: 200, Header: noise(64 << 10), Body: noise(1 << 20)})
		},
	},
	{
		"values/sizes",
		"I3: bodies of every size around the usual limits are replayed byte for byte.",
		func(k *kit) {
			for _, size := range []int{1, 127, 128, 255, 256, 4095, 4096, 8192, 65_535, 65_536, 65_537, 262_145} {
				k.keeps(fmt.Sprint("size ", size), semel.Response{Status: 200, Header: noise(size % 999), Body: noise(size)})
			}
		},
	},
	{
		"values/fingerprint",
		"I5: fingerprints are compared byte for byte over their whole length.",
		func(k *kit) {
			var zero, ones, first, last semel.Fingerprint
			first[0], last[31] = 1, 1
			for i := range ones {
				ones[i] = 0xff
			}
			all := []semel.Fingerprint{zero, ones, first, last, semel.Fingerprint(everyByte()[:32])}
			for i, mine := range all {
				r := ask(fmt.Sprint("slot ", i))
				r.Fingerprint = mine
				held := k.grant(r)
				for _, theirs := range all {
					other := taker(r)
					other.Fingerprint = theirs
					k.refuse("another attempt", other, held)
				}
			}
			k.conflictsWhenLapsed(all)
		},
	},
	{
		"values/token",
		"I4: tokens are compared byte for byte over their whole length.",
		func(k *kit) {
			first, last, both := semel.Token{1}, semel.Token{15: 1}, semel.Token{1, 15: 1}
			all := []semel.Token{first, last, both, semel.Token(everyByte()[:16]), semel.Token(everyByte()[240:])}
			for i, mine := range all {
				r := ask(fmt.Sprint("slot ", i))
				r.Token = mine
				held := k.grant(r)
				for _, theirs := range all {
					if theirs == mine {
						continue
					}
					other := r
					other.Token = theirs
					k.strike("slot with another token", other)
					k.refuse("another attempt", other, held)
				}
				k.complete(r, answer("a"))
				k.refuse("replay", another(r), completed(held, answer("a")))
			}
		},
	},
	{
		"values/owner",
		"The owner is kept for the operator as it was given, and may be empty.",
		func(k *kit) {
			for i, owner := range []string{"", "host/1", "host.example.org/4194304", "hôte/1", `a'b"c\d`} {
				r := ask(fmt.Sprint("slot ", i))
				r.Owner = owner
				held := k.grant(r) // compares it
				k.refuse("another attempt", another(r), held)
			}
		},
	},
}

// keeps completes the slot of id and replays it twice.
func (k *kit) keeps(id string, want semel.Response) {
	k.Helper()
	r := ask(id)
	held := completed(k.grant(r), clone(want))
	k.complete(r, want)
	k.refuse(id, another(r), held)
	k.refuse(id+" again", another(r), held)
}

func clone(r semel.Response) semel.Response {
	r.Header, r.Body = bytes.Clone(r.Header), bytes.Clone(r.Body)
	return r
}

// conflictsWhenLapsed checks that only the equal fingerprint takes over.
func (k *kit) conflictsWhenLapsed(all []semel.Fingerprint) {
	k.Helper()
	var lapsed []semel.Reservation
	var held []semel.Record
	for i, mine := range all {
		r := ask(fmt.Sprint("lapsed ", i))
		r.Fingerprint, r.Lease = mine, k.short
		lapsed, held = append(lapsed, r), append(held, k.grant(r))
	}
	k.wait(k.short)
	for i, r := range lapsed {
		for _, theirs := range all {
			if theirs == r.Fingerprint {
				continue
			}
			other := taker(r)
			other.Fingerprint = theirs
			k.refuse("another request", other, held[i])
		}
		k.grant(taker(r))
	}
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// noise is the same n bytes in every run, and does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewPCG(1, 2)
	for i := range b {
		b[i] = byte(source.Uint64())
	}
	return b
}
