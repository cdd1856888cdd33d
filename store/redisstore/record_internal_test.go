package redisstore

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// written is a record as the scripts write it.
func written(r semel.Reservation, response *semel.Response) string {
	head := []byte("0SML\x01\x01\x00\x00\x00\x00")
	if response != nil {
		head[5] = byte(semel.StateCompleted)
		head[8], head[9] = byte(response.Status>>8), byte(response.Status)
	}
	for i := range 4 {
		head = append(head, 0, 6, 1, 2, 3, 4, 5, byte(i))
	}
	head = append(head, 0, 0, 0, 2, 0, 0, 0, 1)
	head = append(head, nameOf(r)...)
	if response != nil {
		head = append(head, responseOf(r.Key.Slot(), *response)...)
	}
	return string(head)
}

// extended is a record of layout 1 in layout 2.
func extended(record string, deferred bool, reason string) string {
	extension := []byte{0, byte(len(reason) >> 8), byte(len(reason))}
	if deferred {
		extension[0] = 1
	}
	return record[:4] + "\x02" + record[5:1+headSize] + string(extension) + reason + record[1+headSize:]
}

func benchRecord() (semel.Reservation, semel.Response) {
	return semel.Reservation{
		Key: semel.Key{Scope: "scope", ID: "id"}, Fingerprint: semel.Fingerprint{1, 31: 2}, Token: semel.Token{3, 15: 4}, Owner: "host/1",
	}, semel.Response{Status: 503, Header: []byte("header"), Body: []byte("body")}
}

// What is written is read.
func TestDecode(t *testing.T) {
	t.Parallel()
	r, response := benchRecord()
	at := int64(0x0006010203040500)
	want := semel.Record{
		Key: r.Key, State: semel.StateCompleted, Fingerprint: r.Fingerprint, Token: r.Token, Fence: at, Attempts: 2, Lapses: 1,
		Owner: r.Owner, CreatedAt: time.UnixMicro(at + 2), ExpiresAt: time.UnixMicro(at + 3), Response: response,
	}
	kept, reserved := written(r, &response), written(r, nil)
	resolved, deferred := want, want
	resolved.Reason = "asked the bank"
	deferred.State, deferred.Response, deferred.Deferred = semel.StateReserved, semel.Response{}, true
	for name, c := range map[string]struct {
		reply string
		want  semel.Record
	}{
		"layout 1":      {kept, want},
		"layout 2":      {extended(kept, false, ""), want},
		"with a reason": {extended(kept, false, resolved.Reason), resolved},
		"deferred":      {extended(reserved, true, ""), deferred},
	} {
		got, err := decode(r.Key.Slot(), c.reply, true)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, error %v, want %+v", name, got, err, c.want)
		}
	}
	for name, reply := range map[string]string{
		"a deferred response":               extended(kept, true, ""),
		"a reservation with a reason":       extended(reserved, false, "why"),
		"a reason beyond the record":        extended(kept, false, "")[:1+headSize+1] + "\xff" + kept[1+headSize:],
		"names beyond the record":           extended(reserved[:1+headSize+atNames], true, "")[:1+headSize+atNames],
		"neither deferred nor the contrary": extended(kept, false, "")[:1+headSize] + "\x02" + extended(kept, false, "")[2+headSize:],
	} {
		if got, err := decode(r.Key.Slot(), reply, true); !errors.Is(err, semel.ErrDamaged) {
			t.Errorf("%s: got %+v, error %v, want a damaged record", name, got, err)
		}
	}
}

// I3: no reply makes the decoder panic, and no byte that is changed is read as
// another response.
func FuzzDecode(f *testing.F) {
	r, response := benchRecord()
	slot := r.Key.Slot()
	f.Add(written(r, &response), true)
	f.Add(written(r, &response), false)
	f.Add(written(r, nil), true)
	f.Add(extended(written(r, &response), false, "asked the bank"), true)
	f.Add(extended(written(r, nil), true, ""), false)
	f.Add("", true)
	f.Fuzz(func(t *testing.T, reply string, whole bool) {
		rec, err := decode(slot, reply, whole)
		if err != nil {
			return
		}
		if rec.Key != r.Key || rec.State > semel.StateCompleted {
			t.Errorf("got a record of another key, or none: state %d", rec.State)
		}
		if rec.Deferred && rec.State != semel.StateReserved || rec.Reason != "" && rec.State == semel.StateReserved {
			t.Errorf("got a %v record, deferred %v, for the reason %q", rec.State, rec.Deferred, rec.Reason)
		}
		if whole && rec.State == semel.StateCompleted {
			again := responseOf(slot, rec.Response)
			if len(reply) < len(again) || reply[len(reply)-len(again):] != string(again) {
				t.Error("got a response that is not the one in the reply")
			}
		}
	})
}

// Durations are rounded up: a lease that is asked for never becomes none.
func TestMicros(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{
		-1: 0, 0: 0, 1: 1, time.Microsecond: 1, time.Microsecond + 1: 2, time.Hour: 3_600_000_000, 1<<63 - 1: 9_223_372_036_854_776,
	} {
		if got := micros(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
}

// What the version before wrote, in both layouts, is read as it was meant: without a
// route. A program with a route writes the same layouts.
func TestDecodeWithoutRoute(t *testing.T) {
	t.Parallel()
	r, response := benchRecord()
	for text, want := range map[string]semel.Record{
		"534d4c0102000001f70006010203040500000601020304050100060102030405020006010203040503000000020000000101000000000000000000000000000000" +
			"000000000000000000000000000000020300000000000000000000000000000400000005000000020000000673636f70656964686f73742f310000000643bf59e3" +
			"686561646572626f6479": {State: semel.StateCompleted, Response: response},
		"534d4c0201000000000006010203040500000601020304050100060102030405020006010203040503000000020000000101000001000000000000000000000000" +
			"000000000000000000000000000000000000020300000000000000000000000000000400000005000000020000000673636f70656964686f73742f31": {State: semel.StateReserved},
	} {
		value, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(r.Key.Slot(), "0"+string(value), true)
		if err != nil || got.State != want.State || got.Owner != "host/1" || got.Route != "" || string(got.Response.Body) != string(want.Response.Body) {
			t.Errorf("got %+v, error %v, want a %v record without a route", got, err, want.State)
		}
	}
	r.Route = "POST /a"
	got, err := decode(r.Key.Slot(), written(r, &response), true)
	if err != nil || got.Owner != r.Owner || got.Route != r.Route {
		t.Errorf("got owner %q, route %q, error %v", got.Owner, got.Route, err)
	}
}
