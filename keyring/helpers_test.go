package keyring_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/keyring"
	"github.com/semel-go/semel/store/memstore"
)

// ringOf makes a keyring of the keys, the first of them primary.
func ringOf(t testing.TB, keys ...keyring.Key) *keyring.Keyring {
	t.Helper()
	return newRing(t, keyring.Config{Primary: keys[0].ID, Keys: keys})
}

func newRing(t testing.TB, cfg keyring.Config) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func seal(t testing.TB, s semel.Sealer, aad, plain string) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(aad), []byte(plain))
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return sealed
}

func wantOpen(t testing.TB, s semel.Sealer, aad string, sealed []byte, want string) {
	t.Helper()
	got, err := s.Open([]byte(aad), sealed)
	if err != nil || string(got) != want {
		t.Fatalf("Open: got %q, %v, want %q", got, err, want)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

// engineOn makes an engine with its own view of a store.
func engineOn(t testing.TB, store semel.Store, sealer semel.Sealer) *semel.Engine {
	t.Helper()
	e, err := semel.New(store, semel.Config{Sealer: sealer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(t.Context()) })
	return e
}

func callOf(id string) semel.Call { return semel.Call{Key: semel.Key{Scope: "tenant", ID: id}} }

// keep runs an attempt that answers r.
func keep(t testing.TB, e *semel.Engine, id string, r semel.Response) {
	t.Helper()
	out, err := e.Begin(t.Context(), callOf(id))
	if err != nil || out.Kind != semel.Reserved {
		t.Fatalf("Begin: got %v, %v, want reserved", out.Kind, err)
	}
	if err := out.Claim.Complete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func wantReplay(t testing.TB, e *semel.Engine, id string, want semel.Response) {
	t.Helper()
	out, err := e.Begin(t.Context(), callOf(id))
	got := out.Record.Response
	if err != nil || out.Kind != semel.Replay || got.Status != want.Status ||
		!bytes.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body) {
		t.Fatalf("Begin: got %v, %v, %q, want a replay of %q", out.Kind, err, got.Body, want.Body)
	}
}

// stored is the record as the store keeps it.
func stored(t testing.TB, store *memstore.Store, id string) semel.Record {
	t.Helper()
	for rec, err := range store.List(t.Context(), semel.Filter{Scope: "tenant", ID: id, Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	t.Fatalf("there is no record of %s", id)
	return semel.Record{}
}

// put keeps r in a store as it is.
func put(t testing.TB, store *memstore.Store, id string, r semel.Response) {
	t.Helper()
	keep(t, engineOn(t, store, nil), id, r)
}

var paid = semel.Response{Status: 201, Header: []byte("\x01location: /payments/7"), Body: []byte("correct-horse")}
