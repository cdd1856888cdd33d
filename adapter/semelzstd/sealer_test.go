package semelzstd_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelzstd"
	"github.com/semel-go/semel/keyring"
	"github.com/semel-go/semel/store/memstore"
)

func newRing(t testing.TB, cfg keyring.Config) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func ringOf(t testing.TB, keys ...keyring.Key) *keyring.Keyring {
	t.Helper()
	return newRing(t, keyring.Config{Primary: keys[0].ID, Keys: keys})
}

func wrap(t testing.TB, next semel.Sealer, cfg semelzstd.Config) *semelzstd.Sealer {
	t.Helper()
	s, err := semelzstd.Wrap(next, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s semel.Sealer, aad string, plain []byte) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(aad), plain)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

var next = map[string]func(t testing.TB) semel.Sealer{
	"alone":     func(testing.TB) semel.Sealer { return nil },
	"encrypted": func(t testing.TB) semel.Sealer { t.Helper(); return ringOf(t, keyring.NewKey("a")) },
}

// I3: what was sealed comes back, whatever its size and text, also by many at once.
func TestComesBack(t *testing.T) {
	for name, next := range next {
		t.Run(name, func(t *testing.T) {
			s := wrap(t, next(t), semelzstd.Config{MaxSize: 1 << 20})
			json := []byte(strings.Repeat(`{"amount":1,"currency":"EUR"},`, 1000))
			if got := seal(t, s, "record", json); len(got) > len(json)/20 {
				t.Errorf("got %d bytes of %d", len(got), len(json))
			}
			var all sync.WaitGroup
			for _, plain := range [][]byte{
				nil,
				{},
				{1},
				[]byte("paid"), make([]byte, 255), make([]byte, 256), random(t, 256), random(t, 100_000), json,
				make([]byte, 1<<20), make([]byte, 1<<20+1), seal(t, s, "record", json),
			} {
				all.Go(func() {
					got, err := s.Open([]byte("record"), seal(t, s, "record", plain))
					if err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%d bytes: got %d, %v", len(plain), len(got), err)
					}
				})
			}
			all.Wait()
		})
	}
}

// A bomb is damage: no more is made of it than MaxSize, however it tells its size.
func TestBomb(t *testing.T) {
	zeros := make([]byte, 8<<20)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	told := enc.EncodeAll(zeros, nil)
	var untold bytes.Buffer
	enc.Reset(&untold)
	for range 8 {
		_, _ = enc.Write(zeros[:1<<20])
		_ = enc.Flush()
	}
	_ = enc.Close()
	many := bytes.Repeat(enc.EncodeAll(zeros[:1<<19], nil), 16)
	s := wrap(t, nil, semelzstd.Config{MaxSize: 1 << 20})
	for name, bomb := range map[string][]byte{"told": told, "untold": untold.Bytes(), "many frames": many} {
		if got, err := s.Open(nil, append([]byte{0xfb, 1}, bomb...)); err == nil || len(got) != 0 {
			t.Errorf("%s: got %d bytes of %d, want an error", name, len(got), len(bomb))
		}
	}
}

// I3: whoever can write to the store cannot move a field, nor take its mark away or give it one.
func TestMarkIsBound(t *testing.T) {
	ring := ringOf(t, keyring.NewKey("a"))
	s := wrap(t, ring, semelzstd.Config{})
	packed, asIs, alone := seal(t, s, "record", make([]byte, 1000)), seal(t, s, "record", []byte("paid")), seal(t, ring, "record", []byte("paid"))
	if got, err := s.Open([]byte("record"), alone); err != nil || string(got) != "paid" {
		t.Fatalf("got %q, %v of what was kept before compression", got, err)
	}
	other := func(field []byte) []byte { field = bytes.Clone(field); field[1] ^= 1; return field }
	for name, field := range map[string][]byte{
		"packed, mark taken": packed[2:], "as it is, mark taken": asIs[2:], "mark given": append([]byte{0xfb, 0}, alone...),
		"zstd given": append([]byte{0xfb, 1}, alone...), "packed as it is": other(packed), "as it is packed": other(asIs),
		"unknown form": append([]byte{0xfb, 2}, alone...), "the mark alone": {0xfb}, "nothing in it": {0xfb, 0}, "nothing": nil, "plain": []byte("paid"),
	} {
		if got, err := s.Open([]byte("record"), field); !errors.Is(err, keyring.ErrDamaged) {
			t.Errorf("%s: got %q, %v, want damage", name, got, err)
		}
	}
	if _, err := s.Open([]byte("another record"), packed); !errors.Is(err, keyring.ErrDamaged) {
		t.Errorf("got %v, want that the record is bound", err)
	}
	bare := wrap(t, nil, semelzstd.Config{})
	for name, field := range map[string][]byte{"no mark": []byte("paid"), "unknown form": {0xfb, 2, 1}, "no zstd": {0xfb, 1, 1, 2, 3}, "nothing": nil} {
		if got, err := bare.Open(nil, field); err == nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
}

var paid = semel.Response{Status: 201, Header: []byte("\x01location: /payments/7"), Body: []byte(strings.Repeat("correct-horse ", 100))}

func engineOn(t testing.TB, store semel.Store, s semel.Sealer) *semel.Engine {
	t.Helper()
	e, err := semel.New(store, semel.Config{Sealer: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(t.Context()) })
	return e
}

func keep(t testing.TB, e *semel.Engine, id string) {
	t.Helper()
	out, err := e.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "tenant", ID: id}})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Claim.Complete(t.Context(), paid); err != nil {
		t.Fatal(err)
	}
}

func wantReplay(t testing.TB, e *semel.Engine, id string) {
	t.Helper()
	out, err := e.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "tenant", ID: id}})
	if got := out.Record.Response; err != nil || out.Kind != semel.Replay || !bytes.Equal(got.Body, paid.Body) || !bytes.Equal(got.Header, paid.Header) {
		t.Errorf("%s: got %v, %v, %q", id, out.Kind, err, got.Body)
	}
}

// Encryption and compression are switched on one after the other under traffic, and keys rotate.
func TestSwitchingOn(t *testing.T) {
	first, second := keyring.NewKey("a"), keyring.NewKey("b")
	lenient := newRing(t, keyring.Config{Primary: "a", Keys: []keyring.Key{first}, AcceptPlain: true})
	store := memstore.New(memstore.Config{})
	keep(t, engineOn(t, store, nil), "plain")
	bare := engineOn(t, store, wrap(t, nil, semelzstd.Config{}))
	wantReplay(t, bare, "plain")
	keep(t, engineOn(t, store, lenient), "sealed")
	both := engineOn(t, store, wrap(t, lenient, semelzstd.Config{}))
	keep(t, both, "both")
	for _, id := range []string{"plain", "sealed", "both"} {
		wantReplay(t, both, id)
	}
	keep(t, bare, "packed")
	wantReplay(t, bare, "packed")

	rotating := newRing(t, keyring.Config{Primary: "b", Keys: []keyring.Key{first, second}, AcceptPlain: true})
	e := engineOn(t, store, wrap(t, rotating, semelzstd.Config{}))
	for rec, err := range store.List(t.Context(), semel.Filter{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Key.ID == "packed" { // which was not encrypted: it looks damaged
			continue
		}
		fresh, changed, err := e.Rewrap(t.Context(), rec)
		if err != nil || !changed {
			t.Fatalf("%s: got %v, %v, want it under the new key", rec.Key.ID, changed, err)
		}
		if id, err := keyring.KeyID(semelzstd.Inner(fresh.Body)); id != "b" || err != nil {
			t.Errorf("%s: got the key %q, %v", rec.Key.ID, id, err)
		}
		after := memstore.New(memstore.Config{})
		out, err := engineOn(t, after, nil).Begin(t.Context(), semel.Call{Key: rec.Key})
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Claim.Complete(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		strict := engineOn(t, after, wrap(t, ringOf(t, second), semelzstd.Config{}))
		wantReplay(t, strict, rec.Key.ID)
		rec.Response = fresh
		if _, changed, err := e.Rewrap(t.Context(), rec); err != nil || changed {
			t.Errorf("%s: got %v, %v, want it left alone", rec.Key.ID, changed, err)
		}
	}
	if _, _, err := wrap(t, nil, semelzstd.Config{}).Rewrap(nil, nil); err == nil {
		t.Error("got no error without keys")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]semelzstd.Config{"min": {MinSize: -1}, "max": {MaxSize: -1}, "crossed": {MinSize: 10, MaxSize: 9}} {
		if _, err := semelzstd.Wrap(nil, cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// Whatever a store has: it opens or it is an error, within the bound, and never a panic.
func FuzzOpen(f *testing.F) {
	s := wrap(f, nil, semelzstd.Config{MaxSize: 1 << 16})
	for _, plain := range [][]byte{nil, []byte("paid"), make([]byte, 1000), []byte(strings.Repeat("paid", 1000))} {
		f.Add(seal(f, s, "", plain))
	}
	f.Fuzz(func(t *testing.T, field []byte) {
		plain, err := s.Open(nil, field)
		if err != nil || field[1] == 0 {
			return
		}
		if len(plain) > 1<<16 {
			t.Fatalf("got %d bytes", len(plain))
		}
		if again, err := s.Open(nil, seal(t, s, "", plain)); err != nil || !bytes.Equal(again, plain) {
			t.Fatalf("got %d bytes, %v, want %d", len(again), err, len(plain))
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, plain := wrap(b, ringOf(b, keyring.NewKey("a")), semelzstd.Config{}), []byte(strings.Repeat(`{"amount":1,"currency":"EUR"},`, 34))
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(nil, plain); err != nil {
			b.Fatal(err)
		}
	}
}
