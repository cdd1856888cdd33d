package semelwatermill_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
)

func encode(tb testing.TB, msgs ...*message.Message) semel.Response {
	tb.Helper()
	r, err := semelwatermill.Encode(msgs...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// I3: what was produced comes back, in order and byte for byte.
func TestCodecComesBack(t *testing.T) {
	for name, msgs := range map[string][]*message.Message{
		"none":            nil,
		"empty":           {order("", "")},
		"bare":            {{UUID: "u"}}, // without a map
		"text":            {order("u1", "10 EUR", "to", "customer", "", "no name", "from", "")},
		"bytes":           {order("\x00\xff", "\x00\xff\xfe", "\xff", "\x00")},
		"several":         {order("u1", "1", "n", "1"), order("u2", ""), order("u1", "1", "n", "1")},
		"large":           {order("u1", strings.Repeat("x", 1<<20), strings.Repeat("n", 1<<10), strings.Repeat("v", 1<<16))},
		"many":            make100(),
		"nil message map": {message.NewMessage("u", nil)},
	} {
		kept := encode(t, msgs...)
		var payloads []byte
		for _, msg := range msgs {
			payloads = append(payloads, msg.Payload...)
		}
		if !bytes.Equal(kept.Body, payloads) {
			t.Errorf("%s: got body %.40q, want the payloads %.40q", name, kept.Body, payloads)
		}
		got, err := semelwatermill.Decode(kept)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantSame(t, got, msgs, 1)
		for _, msg := range got { // they are whole messages
			msg.Metadata.Set("more", "")
			if !msg.Ack() {
				t.Errorf("%s: cannot be acknowledged", name)
			}
			msg.Payload = append(msg.Payload, "behind its end"...)
		}
		if again, err := semelwatermill.Decode(kept); err != nil {
			t.Errorf("%s: again: %v", name, err)
		} else {
			wantSame(t, again, msgs, 1)
		}
	}
	if _, err := semelwatermill.Encode(order("u1", ""), nil); err == nil {
		t.Error("got no error for a nil message")
	}
}

func make100() []*message.Message {
	var all []*message.Message
	for i := range 100 {
		all = append(all, order(strings.Repeat("u", i), strings.Repeat("p", i)))
	}
	return all
}

// The kept form is read by later versions: it is what it was.
func TestCodecIsWhatItWas(t *testing.T) {
	const header = "c2VtZWx3YXRlcm1pbGwvMSAAAgJ1MQIBYQExAWIABgJ1MgAAb1MjmI/yQio="
	want := []*message.Message{order("u1", "10 EUR", "b", "", "a", "1"), order("u2", "")}
	head, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	got, err := semelwatermill.Decode(semel.Response{Header: head, Body: []byte("10 EUR")})
	if err != nil {
		t.Fatalf("%v; now it would be %s", err, base64.StdEncoding.EncodeToString(encode(t, want...).Header))
	}
	wantSame(t, got, want, 1)
	for range 20 { // whatever order a map has
		if now := encode(t, want...); !bytes.Equal(now.Header, head) {
			t.Fatalf("got header %x, want %x", now.Header, head)
		}
	}
}

// A damaged record is an error, whatever bit of it is wrong, and never a part of the messages.
func TestCodecDamage(t *testing.T) {
	whole := encode(t, order("u1", "10 EUR", "a", "1"), order("u2", "paid"))
	check := func(name string, r semel.Response) {
		if msgs, err := semelwatermill.Decode(r); !errors.Is(err, semel.ErrDamaged) || msgs != nil {
			t.Errorf("%s: got %d messages, %v, want damage", name, len(msgs), err)
		}
	}
	for i := range 8 * len(whole.Header) {
		head := bytes.Clone(whole.Header)
		head[i/8] ^= 1 << (i % 8)
		check("header bit", semel.Response{Header: head, Body: whole.Body})
	}
	for i := range 8 * len(whole.Body) {
		body := bytes.Clone(whole.Body)
		body[i/8] ^= 1 << (i % 8)
		check("body bit", semel.Response{Header: whole.Header, Body: body})
	}
	for n := range whole.Header {
		check("cut header", semel.Response{Header: whole.Header[:n], Body: whole.Body})
	}
	for n := range whole.Body {
		check("cut body", semel.Response{Header: whole.Header, Body: whole.Body[:n]})
	}
	check("nothing", semel.Response{})
	check("of Do", semel.Response{Header: []byte("semel.Do/1 application/json"), Body: []byte("1")})
	for name, fields := range map[string]string{
		"no number":     "",
		"more messages": "\x02\x01u\x00\x06",
		"many messages": "\xff\xff\xff\xff\x07\x01u\x00\x06",
		"huge number":   "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"long payload":  "\x01\x01u\x00\x07",
		"short payload": "\x01\x01u\x00\x05",
		"goes on":       "\x01\x01u\x00\x06!",
		"many fields":   "\x01\x01u\xff\xff\xff\xff\x07\x01a\x011\x06",
		"half a field":  "\x01\x01u\x01\x01a",
		"long UUID":     "\x01\x7fu\x00\x06",
	} {
		check(name, summed("\x00"+fields, "10 EUR"))
	}
	check("unknown flag", summed("\x02\x01\x01u\x00\x06", "10 EUR"))
	if _, err := semelwatermill.Decode(summed("\x00\x01\x01u\x00\x06", "10 EUR")); err != nil {
		t.Errorf("got %v: the cases above prove nothing", err)
	}
	if _, err := semelwatermill.Decode(summed("\x01\x00", "")); !errors.Is(err, semelwatermill.ErrNotKept) || errors.Is(err, semel.ErrDamaged) {
		t.Errorf("got %v, want that it is not kept", err)
	}
}

// summed makes a kept form with right checksums, whatever is in it.
func summed(fields, body string) semel.Response {
	table := crc32.MakeTable(crc32.Castagnoli)
	head := []byte("semelwatermill/1 " + fields)
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum([]byte(body), table))
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, table))
	return semel.Response{Header: head, Body: []byte(body)}
}

// Whatever a store has: it opens or it is an error, and what opens comes back again.
func FuzzDecode(f *testing.F) {
	for _, msgs := range [][]*message.Message{nil, {order("u1", "10 EUR", "a", "1")}, {order("", ""), order("u2", "paid", "a", "", "b", "2")}} {
		kept := encode(f, msgs...)
		f.Add(string(kept.Header[len("semelwatermill/1 "):len(kept.Header)-8]), string(kept.Body), true)
		f.Add(string(kept.Header), string(kept.Body), false)
	}
	f.Add("\x00\x01\x01u\xff\xff\xff\xff\x07\x01a\x011\x06", "10 EUR", true)
	f.Fuzz(func(t *testing.T, header, body string, right bool) {
		r := semel.Response{Header: []byte(header), Body: []byte(body)}
		if right { // or the checksums would keep everything else from being read
			r = summed(header, body)
		}
		msgs, err := semelwatermill.Decode(r)
		if err != nil {
			if msgs != nil || !errors.Is(err, semel.ErrDamaged) && !errors.Is(err, semelwatermill.ErrNotKept) {
				t.Fatalf("got %d messages, %v", len(msgs), err)
			}
			return
		}
		again, err := semelwatermill.Decode(encode(t, msgs...))
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, again, msgs, 1)
	})
}

// Whatever a handler produces comes back.
func FuzzEncode(f *testing.F) {
	f.Add("u1", "to", "customer", "10 EUR", "u2", "")
	f.Fuzz(func(t *testing.T, uuid, name, value, payload, uuid2, payload2 string) {
		msgs := []*message.Message{order(uuid, payload, name, value, value, name), order(uuid2, payload2)}
		got, err := semelwatermill.Decode(encode(t, msgs...))
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, msgs, 1)
	})
}
