package natsstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

func fullRow() row {
	return row{
		key: semel.Key{Scope: "tenant-1", ID: "order-7"}, state: semel.StateCompleted,
		fingerprint: semel.Fingerprint{1, 31: 2}, token: semel.Token{3, 15: 4}, owner: "host/1",
		fence: 1_790_000_000_000_000, attempts: 3, lapses: 1,
		created: 1_790_000_000_000_000_000, age: time.Second, expires: 1_790_000_000_000_000_001, keep: noKeep,
		response: semel.Response{Status: 201, Header: []byte("header"), Body: []byte("body")},
	}
}

// I3: what is written is read again, in every field.
func TestCodec(t *testing.T) {
	t.Parallel()
	full := fullRow()
	reserved := newRow(&semel.Reservation{
		Key: full.key, Fingerprint: full.fingerprint, Token: full.token, Lease: math.MaxInt64, Retention: math.MaxInt64,
	})
	freed := full
	freed.free()
	freed.response = semel.Response{}
	deferred, begun, resolved := reserved, reserved, full
	deferred.deferred = true
	begun.leaseEnd = math.MaxInt64
	resolved.reason = "asked\x00the bank"
	for name, want := range map[string]row{
		"full": full, "reserved": reserved, "freed": freed, "deferred": deferred, "begun": begun, "resolved": resolved,
	} {
		got, err := decode(want.encode())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want.response.Header = append([]byte{}, want.response.Header...)
		want.response.Body = append([]byte{}, want.response.Body...)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// I3: a value with any one bit changed, or cut anywhere, is not read.
func TestCodecDamage(t *testing.T) {
	t.Parallel()
	full := fullRow()
	checkDamage(t, full.encode())
	full.reason = "asked the bank"
	checkDamage(t, full.encode())
}

func checkDamage(t *testing.T, good []byte) {
	t.Helper()
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := decode(bad); err == nil {
				t.Fatalf("bit %d of byte %d is not missed", bit, i)
			}
		}
		if _, err := decode(good[:i]); err == nil {
			t.Fatalf("a value of %d bytes out of %d is read", i, len(good))
		}
	}
	if _, err := decode(append(good, 0)); err == nil {
		t.Error("a byte too many is not seen")
	}
}

// A row that no step could have written is not read, whatever its checksum.
func TestCodecShape(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*row){
		"state":                  func(w *row) { w.state = 3 },
		"no scope":               func(w *row) { w.key.Scope = "" },
		"no fence":               func(w *row) { w.fence = 0 },
		"a negative fence":       func(w *row) { w.fence = -1 },
		"no attempts":            func(w *row) { w.attempts = 0 },
		"more lapses":            func(w *row) { w.lapses = 3 },
		"a reservation's answer": func(w *row) { w.state = semel.StateReserved },
		"a reservation's token":  func(w *row) { w.state, w.token, w.response = semel.StateReserved, semel.Token{}, semel.Response{} },
		"a negative lease":       func(w *row) { w.lease = -1 },
		"a deferred response":    func(w *row) { w.deferred = true },
		"a response under lease": func(w *row) { w.leaseEnd = 1 },
		"a reservation's reason": func(w *row) { w.state, w.response, w.reason = semel.StateReserved, semel.Response{}, "why" },
		"an end of no lease":     func(w *row) { w.state, w.response, w.leaseEnd = semel.StateReserved, semel.Response{}, 1 },
		"a lease's negative end": func(w *row) {
			w.state, w.response, w.lease, w.leaseEnd = semel.StateReserved, semel.Response{}, 1, -1
		},
		"an age below zero":       func(w *row) { w.age = -1 },
		"a status out of 32 bits": func(w *row) { w.response.Status = 1 << 40 },
	} {
		w := fullRow()
		spoil(&w)
		if _, err := decode(w.encode()); !errors.Is(err, errShape) {
			t.Errorf("%s: got error %v, want errShape", name, err)
		}
	}
}

// Whatever is read can be written and read again. The checksum is made here:
// otherwise no input would get past it.
func FuzzDecode(f *testing.F) {
	full := fullRow()
	value := full.encode()
	f.Add(value[:len(value)-4])
	f.Add(value[:40])
	full.reason = "asked the bank"
	value = full.encode()
	f.Add(value[:len(value)-4])
	deferred := newRow(&semel.Reservation{Key: full.key, Token: full.token, Deferred: true, Lease: time.Minute})
	deferred.leaseEnd = full.created
	value = deferred.encode()
	f.Add(value[:len(value)-4])
	f.Fuzz(func(t *testing.T, fields []byte) {
		if _, err := decode(fields); err == nil {
			return // the fields are a value with its checksum
		}
		w, err := decode(binary.BigEndian.AppendUint32(bytes.Clone(fields), crc32.Checksum(fields, castagnoli)))
		if err != nil {
			return
		}
		again, err := decode(w.encode())
		if err != nil || !reflect.DeepEqual(again, w) {
			t.Errorf("got %+v, error %v, want %+v", again, err, w)
		}
		if got := w.stamped(1, time.Unix(1_790_000_000, 0)); got.expires < 0 || got.leaseEnd < 0 {
			t.Errorf("got %+v of %+v", got, w)
		}
	})
}

// A value of version 2 that says whether it is deferred by another byte than 0 or
// 1 is not read.
func TestCodecFlag(t *testing.T) {
	t.Parallel()
	w := newRow(&semel.Reservation{Key: semel.Key{Scope: "s", ID: "i"}, Token: semel.Token{1}, Deferred: true})
	fields := w.encode()
	fields = fields[:len(fields)-4]
	at := len(fields) - 3 // before the end of the lease and the empty reason
	if fields[at] != 1 {
		t.Fatalf("got %x, want a flag third from the end", fields)
	}
	fields[at] = 2
	if _, err := decode(binary.BigEndian.AppendUint32(fields, crc32.Checksum(fields, castagnoli))); !errors.Is(err, errShape) {
		t.Errorf("got error %v, want errShape", err)
	}
}

// While a program replaces one of the version before, each reads what the other
// wrote, or refuses it: a row that version 1 can say is written as that version
// wrote it, and everything else says that it is version 2. What version 1 wrote is
// not deferred and has no reason (I3, I7).
func TestCodecVersions(t *testing.T) {
	t.Parallel()
	full := fullRow()
	reserved := newRow(&semel.Reservation{
		Key: full.key, Fingerprint: full.fingerprint, Token: full.token, Owner: full.owner, Lease: 30 * time.Second, Retention: 24 * time.Hour,
	})
	for text, want := range map[string]row{ // as the version before encoded them
		"534d4c010101000000000000000000000000000000000000000000000000000000000000020300000000000000000000000000000400020000" +
			"0080b09dc2df01008080f89492a527000874656e616e742d31076f726465722d3706686f73742f310000a889d919": reserved,
		"534d4c01020100000000000000000000000000000000000000000000000000000000000002030000000000000000000000000000048080afa2" +
			"dbffad060602808098bf84e1add73180a8d6b90700828098bf84e1add731ffffffffffffffffff0192030874656e616e742d31076f7264" +
			"65722d3706686f73742f310668656164657204626f6479f1a1657e": full,
	} {
		older, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if value := want.encode(); !bytes.Equal(value, older) {
			t.Errorf("got %x, want what version 1 wrote, %x", value, older)
		}
		got, err := decode(older)
		if err != nil || got.deferred || got.reason != "" || got.leaseEnd != 0 || got.token != want.token || got.state != want.state {
			t.Errorf("got %+v, error %v, want %+v", got, err, want)
		}
	}
	for name, change := range map[string]func(*row){
		"deferred":           func(w *row) { w.deferred = true },
		"with a lease's end": func(w *row) { w.leaseEnd = 1 },
		"resolved":           func(w *row) { w.free(); w.reason = "why" },
	} {
		w := reserved
		change(&w)
		if version := w.encode()[3]; version != 2 {
			t.Errorf("%s: got version %d, want 2: version 1 would not say it", name, version)
		}
	}
}

// I2: an expiry never moves to an earlier time, and is not prolonged by more
// than a step takes, however a row is carried on: as durations by the process
// that wrote it, or as instants by one that read it.
func TestRowTimes(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_790_000_000, 0)
	r := semel.Reservation{Key: semel.Key{Scope: "s", ID: "i"}, Token: semel.Token{1}, Lease: time.Minute, Retention: time.Hour}
	first := newRow(&r)
	read := first.stamped(7, start)
	if read.fence != 7 || read.leaseEnd != start.Add(time.Minute).UnixNano() || read.expires != start.Add(time.Hour).UnixNano() || read.created != start.UnixNano() {
		t.Fatalf("got %+v", read)
	}
	later := start.Add(10 * time.Minute)
	for name, w := range map[string]row{"durations": first.later(10 * time.Minute), "instants": read.row} {
		w.complete(semel.Response{Status: 200})
		if got := w.stamped(9, later); got.created != read.created || got.expires != read.expires {
			t.Errorf("%s: got made at %d, expires %d, want %d, %d", name, got.created, got.expires, read.created, read.expires)
		}
	}
	for name, w := range map[string]row{"durations": first.later(10 * time.Second), "instants": read.row} {
		w.deferred = false
		if got := w.stamped(9, start.Add(10*time.Second)); got.leaseEnd != read.leaseEnd || got.due(0) != read.leaseEnd {
			t.Errorf("begun by %s: got a lease until %d, want %d (I1)", name, got.leaseEnd, read.leaseEnd)
		}
	}
	if got := first.later(2 * time.Minute); got.lease != 1 {
		t.Errorf("got a lease of %v after it was over, want the shortest: none at all has no margin", got.lease)
	}
	forever := newRow(&semel.Reservation{Retention: math.MaxInt64, Lease: math.MaxInt64})
	if got := forever.stamped(1, start); got.expires != math.MaxInt64 || got.leaseEnd != math.MaxInt64 || got.due(math.MaxInt64) != math.MaxInt64 {
		t.Errorf("got %+v, want no wrapped instant", got)
	}
	over := row{state: semel.StateReserved, keep: math.MaxInt64}
	if got := over.stamped(1, start); got.due(math.MaxInt64) != 0 {
		t.Errorf("a lease of zero is over at %d, want at once, whatever the margin", got.due(math.MaxInt64))
	}
}

// I2: a hint does not tell whether a lease has ended whose end was fixed before the
// message at hand: the server does.
func TestHintOfBegun(t *testing.T) {
	t.Parallel()
	now := time.Now()
	h := hint{row: newRow(&semel.Reservation{Lease: time.Hour}), sent: now, acked: now}
	if _, late, known := h.next(now); late || !known {
		t.Errorf("got late %v, known %v, want a lease that runs", late, known)
	}
	h.row.leaseEnd = now.UnixNano()
	if _, _, known := h.next(now); known {
		t.Error("a hint knows whether the lease has ended")
	}
}

// I1: bounds on the server's time hold whatever this process's clock does
// between, and are not built upon when they are old.
func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := clock{now: func() time.Time { return now }}
	if _, _, ok := c.bounds(); ok {
		t.Error("bounds on an unknown clock")
	}
	server := int64(5_000_000_000_000)
	c.learn(sample{server: server, sent: now, received: now.Add(10 * time.Millisecond)})
	now = now.Add(time.Second)
	earliest, latest, ok := c.bounds()
	if !ok || earliest > server+int64(990*time.Millisecond) || earliest < server+int64(980*time.Millisecond) ||
		latest < server+int64(time.Second) || latest > server+int64(1010*time.Millisecond) {
		t.Errorf("got %d to %d after %d, %v", earliest-server, latest-server, server, ok)
	}
	now = now.Add(sampleAge)
	if _, _, ok := c.bounds(); ok {
		t.Error("an old answer is built upon")
	}
}

// A route makes no record unreadable to the program of the version before: it is in
// the owner's field, and the version is the one that there was.
func TestCodecRoute(t *testing.T) {
	t.Parallel()
	w := newRow(&semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: "order-7"}, Token: semel.Token{1}, Owner: "host/1", Route: "POST /a", Lease: 30 * time.Second,
	})
	value := w.encode()
	if value[3] != 1 || !bytes.Contains(value, []byte("\x0fhost/1\x00POST /a\x07")) {
		t.Errorf("got %q, want version 1 with the route behind the owner", value)
	}
	if got, err := decode(value); err != nil || got.owner != "host/1" || got.route != "POST /a" {
		t.Errorf("got owner %q, route %q, error %v", got.owner, got.route, err)
	}
}

// What is read of an entry is what was written, and nothing else is read.
func TestEntryCodec(t *testing.T) {
	t.Parallel()
	want := semel.AuditEntry{
		ID: 7, At: time.Unix(1_790_000_000, 0), Actor: "ops", Action: semel.ActionRelease, Key: semel.Key{Scope: "s", ID: "i"},
		Fence: math.MaxInt64, Reason: "a\x00b", Begun: 6, Result: semel.AuditDone,
	}
	good := encodeEntry(&want)
	if got, err := decodeEntry(good, 7, want.At); err != nil || got != want {
		t.Errorf("got %+q, error %v, want it as it was", got.Reason, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := decodeEntry(bad, 7, want.At); err == nil {
			t.Errorf("byte %d may be another", i)
		}
		if _, err := decodeEntry(good[:i], 7, want.At); err == nil {
			t.Errorf("%d of %d bytes are read", i, len(good))
		}
	}
	newer := bytes.Clone(good)
	newer[3] = 2
	if _, err := decodeEntry(newer, 7, want.At); !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got error %v, want one about the version", err)
	}
}
