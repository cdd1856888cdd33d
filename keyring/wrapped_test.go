package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/keyring"
)

// vault is a key service in this process: it wraps with AES-256-GCM under master keys
// that it never gives away.
type vault struct {
	mu             sync.Mutex
	primary        string
	masters        map[string]cipher.AEAD
	wraps, unwraps int
	broken         error         // what it answers with
	hangs          bool          // until its caller gives up
	deaf           chan struct{} // until it is closed, whatever its caller does
}

func newVault(ids ...string) *vault {
	v := &vault{primary: ids[0], masters: make(map[string]cipher.AEAD)}
	for _, id := range ids {
		block, err := aes.NewCipher(keyring.NewKey(id).Secret)
		if err != nil {
			panic(err)
		}
		if v.masters[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			panic(err)
		}
	}
	return v
}

func (v *vault) Primary() string { v.mu.Lock(); defer v.mu.Unlock(); return v.primary }

func (v *vault) Wrap(ctx context.Context, id string, key []byte) ([]byte, error) {
	if err := v.serve(ctx, &v.wraps); err != nil {
		return nil, err
	}
	return v.masters[id].Seal(nil, nil, key, []byte(id)), nil
}

func (v *vault) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	if err := v.serve(ctx, &v.unwraps); err != nil {
		return nil, err
	}
	master := v.masters[id]
	if master == nil {
		return nil, keyring.ErrUnknownKey
	}
	key, err := master.Open(nil, nil, wrapped, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keyring.ErrDamaged, err)
	}
	return key, nil
}

func (v *vault) serve(ctx context.Context, count *int) error {
	v.mu.Lock()
	*count++
	broken, hangs, deaf := v.broken, v.hangs, v.deaf
	v.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
	if hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return broken
}

func (v *vault) set(f func()) { v.mu.Lock(); defer v.mu.Unlock(); f() }

func (v *vault) wantCalls(t *testing.T, wraps, unwraps int) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wraps != wraps || v.unwraps != unwraps {
		t.Errorf("the service was asked to wrap %d and to unwrap %d times, want %d and %d", v.wraps, v.unwraps, wraps, unwraps)
	}
}

func newWrapped(t testing.TB, v keyring.Wrapper, cfg keyring.WrappedConfig) *keyring.Wrapped {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := keyring.NewWrapped(v, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var errDown = errors.New("the key service is down")

// I3: what one process seals, another opens through the service, which is asked once.
func TestWrapped(t *testing.T) {
	service := newVault("a", "b")
	one, two := newWrapped(t, service, keyring.WrappedConfig{}), newWrapped(t, service, keyring.WrappedConfig{})
	for range 10 {
		sealed := seal(t, one, "record", "paid")
		if id, err := keyring.KeyID(sealed); id != "a" || err != nil || one.Stale(sealed) {
			t.Fatalf("got the id %q, %v", id, err)
		}
		wantOpen(t, one, "record", sealed, "paid")
		wantOpen(t, two, "record", sealed, "paid")
		_, err := two.Open([]byte("another record"), sealed)
		wantError(t, err, keyring.ErrDamaged)
	}
	service.wantCalls(t, 1, 1)
	sealed := seal(t, one, "record", "paid")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := one.Open([]byte("record"), changed); !errors.Is(err, keyring.ErrDamaged) && !errors.Is(err, keyring.ErrUnknownKey) {
			t.Fatalf("byte %d: got %v", i, err)
		}
	}
}

// A new master key seals at once, the old one opens, and rewrapping moves on.
func TestWrappedRotation(t *testing.T) {
	service := newVault("a", "b")
	w := newWrapped(t, service, keyring.WrappedConfig{})
	old := seal(t, w, "record", "paid")
	service.set(func() { service.primary = "b" })
	seal(t, w, "record", "the last one under the old key, which gets the new one")
	fresh, changed, err := w.Rewrap([]byte("record"), old)
	if id, _ := keyring.KeyID(fresh); err != nil || !changed || id != "b" || w.Stale(fresh) || !w.Stale(old) {
		t.Fatalf("got %q, %v, %v, want it under b", id, changed, err)
	}
	wantOpen(t, newWrapped(t, service, keyring.WrappedConfig{}), "record", fresh, "paid")
	service.set(func() { delete(service.masters, "a") })
	_, err = newWrapped(t, service, keyring.WrappedConfig{}).Open([]byte("record"), old)
	wantError(t, err, keyring.ErrUnknownKey)
}

// From a file to a service: what the file's keys have sealed is read and rewrapped.
func TestWrappedReadsOld(t *testing.T) {
	ring := ringOf(t, keyring.NewKey("file"))
	old := seal(t, ring, "record", "paid")
	w := newWrapped(t, newVault("a"), keyring.WrappedConfig{Old: ring})
	wantOpen(t, w, "record", old, "paid")
	if fresh, changed, err := w.Rewrap([]byte("record"), old); err != nil || !changed || w.Stale(fresh) {
		t.Errorf("got %v, %v, want it under the service's key", changed, err)
	}
	_, err := newWrapped(t, newVault("a"), keyring.WrappedConfig{}).Open([]byte("record"), old)
	wantError(t, err, keyring.ErrUnknownKey)
	_, err = ring.Open([]byte("record"), seal(t, w, "record", "paid"))
	wantError(t, err, keyring.ErrUnknownKey)
}

// The bounds hold: no data key seals or opens beyond its age, its uses, or in large number.
func TestWrappedBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newVault("a")
		w := newWrapped(t, service, keyring.WrappedConfig{MaxUses: 4})
		for range 12 {
			seal(t, w, "record", "paid")
		}
		service.wantCalls(t, 4, 0) // the fourth is at hand when the third is used up

		service = newVault("a")
		w = newWrapped(t, service, keyring.WrappedConfig{})
		sealed := seal(t, w, "record", "paid")
		time.Sleep(keyring.DefaultMaxAge)
		wantOpen(t, w, "record", sealed, "paid")
		wantOpen(t, w, "record", sealed, "paid")
		seal(t, w, "record", "paid")
		service.wantCalls(t, 2, 1)

		service = newVault("a")
		maker := newWrapped(t, service, keyring.WrappedConfig{MaxUses: 1})
		w = newWrapped(t, service, keyring.WrappedConfig{MaxKeys: 2})
		three := [][]byte{seal(t, maker, "record", "paid"), seal(t, maker, "record", "paid"), seal(t, maker, "record", "paid")}
		for _, sealed := range three {
			wantOpen(t, w, "record", sealed, "paid")
			wantOpen(t, w, "record", sealed, "paid")
		}
		service.wantCalls(t, 3, 3)
		for _, sealed := range three {
			wantOpen(t, w, "record", sealed, "paid")
		}
		if service.unwraps == 3 {
			t.Error("got three keys in memory, want two")
		}
	})
}

// An outage shorter than a quarter of the age is not noticed, but logged; a longer one fails
// within the time-out, and heals.
func TestWrappedOutage(t *testing.T) {
	for name, down := range map[string]func(v *vault, down bool){
		"fails": func(v *vault, down bool) {
			v.broken = nil
			if down {
				v.broken = errDown
			}
		},
		"hangs": func(v *vault, down bool) { v.hangs = down },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				service := newVault("a")
				w := newWrapped(t, service, keyring.WrappedConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				sealed := seal(t, w, "record", "paid")
				service.set(func() { down(service, true) })
				time.Sleep(50 * time.Minute)
				start := time.Now()
				seal(t, w, "record", "paid")
				seal(t, w, "record", "paid") // does not ask again so soon
				if took := time.Since(start); took > keyring.DefaultTimeout || !strings.Contains(log.String(), "not to be had yet") {
					t.Errorf("it took %v, and the log has %q", took, log.String())
				}
				service.wantCalls(t, 2, 0)
				time.Sleep(10 * time.Minute)
				start = time.Now()
				_, err := w.Seal([]byte("record"), []byte("paid"))
				wantError(t, err, semel.ErrKeyUnavailable)
				service.set(func() { service.wraps = 2 })
				wantError(t, w.Prepare(), semel.ErrKeyUnavailable)
				service.wantCalls(t, 3, 0)
				_, err = w.Open([]byte("record"), sealed)
				wantError(t, err, semel.ErrKeyUnavailable)
				if errors.Is(err, keyring.ErrDamaged) || time.Since(start) > 3*keyring.DefaultTimeout {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
				service.set(func() { down(service, false) })
				wantOpen(t, w, "record", sealed, "paid")
				wantError(t, w.Prepare(), nil)
				seal(t, w, "record", "paid")
			})
		})
	}
}

// Many who need the same key ask once, and one who is stuck in the service keeps no other.
func TestWrappedAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newVault("a")
		sealed := seal(t, newWrapped(t, service, keyring.WrappedConfig{}), "record", "paid")
		w := newWrapped(t, service, keyring.WrappedConfig{})
		free := make(chan struct{})
		service.set(func() { service.deaf, service.wraps = free, 0 })
		var all sync.WaitGroup
		var mu sync.Mutex
		late := 0
		for i := range 20 {
			all.Go(func() {
				start := time.Now()
				var err error
				if i%2 == 0 {
					_, err = w.Seal([]byte("record"), nil)
				} else {
					_, err = w.Open([]byte("record"), sealed)
				}
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, semel.ErrKeyUnavailable) && time.Since(start) == keyring.DefaultTimeout {
					late++
				} else if err != nil {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
			})
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if late != 18 {
			t.Errorf("%d gave up in time, want all but the two in the service", late)
		}
		mu.Unlock()
		service.wantCalls(t, 1, 1)
		close(free)
		all.Wait()
		service.wantCalls(t, 1, 1)
		wantOpen(t, w, "record", sealed, "paid")
		service.wantCalls(t, 1, 1)
	})
}

// oddVault answers what no key service should.
type oddVault struct {
	id      string
	wrapped []byte
	key     []byte
	panics  bool
}

func (v *oddVault) Primary() string { return v.id }

func (v *oddVault) Wrap(context.Context, string, []byte) ([]byte, error) {
	if v.panics {
		panic("a bug in the service")
	}
	return v.wrapped, nil
}

func (v *oddVault) Unwrap(context.Context, string, []byte) ([]byte, error) { return v.key, nil }

// A service that answers nonsense is an error, and never a weak key.
func TestWrappedNonsense(t *testing.T) {
	for name, v := range map[string]*oddVault{
		"no id":     {id: "", wrapped: []byte("x")},
		"a long id": {id: "arn:aws:kms:eu-central-1", wrapped: []byte("x")},
		"nothing":   {id: "a"},
		"too much":  {id: "a", wrapped: make([]byte, 4097)},
	} {
		if sealed, err := newWrapped(t, v, keyring.WrappedConfig{}).Seal(nil, nil); err == nil {
			t.Errorf("%s: got %x, want an error", name, sealed)
		}
	}
	good := seal(t, newWrapped(t, newVault("a"), keyring.WrappedConfig{}), "record", "paid")
	_, err := newWrapped(t, &oddVault{id: "a", key: make([]byte, 16)}, keyring.WrappedConfig{}).Open([]byte("record"), good)
	wantError(t, err, keyring.ErrDamaged)

	v := &oddVault{id: "a", wrapped: []byte("x"), panics: true}
	w := newWrapped(t, v, keyring.WrappedConfig{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, _ = w.Seal(nil, nil)
	}()
	v.panics = false
	seal(t, w, "record", "a panic leaves nothing locked")
	for name, cfg := range map[string]keyring.WrappedConfig{"time": {Timeout: -1}, "age": {MaxAge: -1}, "uses": {MaxUses: -1}, "keys": {MaxKeys: -1}} {
		if _, err := keyring.NewWrapped(v, cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := keyring.NewWrapped(nil, keyring.WrappedConfig{}); err == nil {
		t.Error("got no error without a service")
	}
}
