package sqlitestore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

func open(t testing.TB, path string, cfg sqlitestore.Config) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// look reads one integer from the file as SQLite sees it, past the store.
func look(t *testing.T, path, query string) (n int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "semel.db")
}

func reservation(id string) semel.Reservation {
	return semel.Reservation{
		Key:         semel.Key{Scope: "tenant", ID: id},
		Fingerprint: semel.FingerprintOf([]byte("request")),
		Token:       semel.NewToken(),
		Lease:       time.Minute,
		Retention:   time.Hour,
		Owner:       "host/1",
	}
}

func mustReserve(t *testing.T, s semel.Store, r semel.Reservation) semel.Record {
	t.Helper()
	held, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if held.Token != r.Token || held.State != semel.StateReserved {
		t.Fatalf("got %+v, want the reservation of %v", held, r.Token)
	}
	return held
}

func mustComplete(t *testing.T, s semel.Store, r semel.Reservation, body string) {
	t.Helper()
	if err := s.Complete(t.Context(), completion(r, body)); err != nil {
		t.Fatal(err)
	}
}

func completion(r semel.Reservation, body string) semel.Completion {
	return semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: []byte("header of " + body), Body: []byte(body)},
	}
}

// again is r as another attempt makes it.
func again(r semel.Reservation) semel.Reservation {
	r.Token = semel.NewToken()
	return r
}

// I13: keys are bytes. What SQLite does with text must not make two of them one.
func TestKeysAreBytes(t *testing.T) {
	s := open(t, newPath(t), sqlitestore.Config{})
	keys := []semel.Key{
		{Scope: "a", ID: "b\x00c"},
		{Scope: "a", ID: "b"},
		{Scope: "a", ID: "b\x00"},
		{Scope: "a\x00b", ID: "c"},
		{Scope: "\xff\xfe", ID: "'; DROP TABLE slots; --"},
		{Scope: "A", ID: "B"},
	}
	want := make(map[semel.Key]bool)
	for _, k := range keys {
		r := reservation("")
		r.Key, r.Owner = k, k.ID
		mustReserve(t, s, r)
		want[k] = true
	}
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !want[rec.Key] || rec.Owner != rec.Key.ID {
			t.Errorf("got key %q %q and owner %q, want one of those reserved", rec.Key.Scope, rec.Key.ID, rec.Owner)
		}
		delete(want, rec.Key)
	}
	if len(want) != 0 {
		t.Errorf("got no record for %d keys", len(want))
	}
}

// Every body row belongs to one completed slot, whatever way slots went.
func TestNoBodyIsLeftBehind(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	short := func(id string) semel.Reservation {
		r := reservation(id)
		r.Retention = time.Microsecond
		return r
	}

	expired := short("expired and reserved again")
	mustReserve(t, s, expired)
	mustComplete(t, s, expired, "old")
	next := again(expired)
	mustReserve(t, s, next)
	mustComplete(t, s, next, "new")

	purged := short("purged")
	mustReserve(t, s, purged)
	mustComplete(t, s, purged, "gone")
	if n, err := s.Purge(t.Context(), 10); err != nil || n != 2 {
		t.Fatalf("got %d purged and error %v, want both expired ones", n, err)
	}

	lost := reservation("completed by a stranger")
	mustReserve(t, s, lost)
	if err := s.Complete(t.Context(), completion(again(lost), "stray")); !errors.Is(err, semel.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
	mustComplete(t, s, lost, "kept")
	mustComplete(t, s, lost, "a repetition")

	lapsed := reservation("resolved twice")
	lapsed.Lease = time.Microsecond
	held := mustReserve(t, s, lapsed)
	resolution := semel.Resolution{
		Key: lapsed.Key, Fence: held.Fence, Retention: time.Hour,
		Response: &semel.Response{Status: 200, Body: []byte("by hand")},
	}
	if err := s.Resolve(t.Context(), resolution); err != nil {
		t.Fatal(err)
	}
	if err := s.Resolve(t.Context(), resolution); !errors.Is(err, semel.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}

	if got := look(t, path, "SELECT count(*) FROM bodies"); got != 2 {
		t.Errorf("got %d bodies, want 2", got)
	}
	if got := look(t, path, `SELECT count(*) FROM slots JOIN bodies ON bodies.id = body_id WHERE state = 2`); got != 2 {
		t.Errorf("got %d completed slots with a body, want 2", got)
	}
}

// I3: a late attempt must not take an operator's answer for its own.
func TestResolvedSlotIsLostToItsAttempt(t *testing.T) {
	s := open(t, newPath(t), sqlitestore.Config{})
	r := reservation("k")
	r.Lease = time.Microsecond
	held := mustReserve(t, s, r)
	err := s.Resolve(t.Context(), semel.Resolution{
		Key: r.Key, Fence: held.Fence, Retention: time.Hour, Response: &semel.Response{Status: 200, Body: []byte("by hand")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), completion(r, "late")); !errors.Is(err, semel.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

// A thousand renewals are one transaction, and name those that are lost.
func TestRenewMany(t *testing.T) {
	s := open(t, newPath(t), sqlitestore.Config{})
	var holders []semel.Holder
	var wg sync.WaitGroup
	for i := range 1000 {
		r := reservation(fmt.Sprint(i))
		r.Lease = time.Microsecond
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
		wg.Go(func() {
			if _, err := s.Reserve(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stranger := semel.Holder{Key: holders[7].Key, Token: semel.NewToken()}
	lost, err := s.Renew(t.Context(), time.Hour, append(holders, stranger))
	if err != nil {
		t.Fatal(err)
	}
	if len(lost) != 1 || lost[0] != stranger.Token {
		t.Errorf("got %d lost, want only the stranger", len(lost))
	}
	for rec, err := range s.List(t.Context(), semel.Filter{Lapsed: true}) {
		t.Fatalf("got a lapsed record %v (%v), want none", rec.Key, err)
	}
}

// After Close every method says so, and nothing waits for ever.
func TestClosed(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	r := reservation("k")
	mustReserve(t, s, r)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, reserve := s.Reserve(t.Context(), again(r))
	_, renew := s.Renew(t.Context(), time.Minute, []semel.Holder{{Key: r.Key, Token: r.Token}})
	_, purge := s.Purge(t.Context(), 1)
	_, audit := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	var list, trail error
	for _, err := range s.Trail(t.Context(), semel.AuditFilter{}) {
		trail = err
	}
	for _, err := range s.List(t.Context(), semel.Filter{}) {
		list = err
	}
	for name, err := range map[string]error{
		"Reserve":  reserve,
		"Complete": s.Complete(t.Context(), completion(r, "x")),
		"Release":  s.Release(t.Context(), r.Key, r.Token),
		"Renew":    renew,
		"Purge":    purge,
		"List":     list,
		"Audit":    audit,
		"Trail":    trail,
		"Reseal":   s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, nil),
		"Resolve":  s.Resolve(t.Context(), semel.Resolution{Key: r.Key}),
		"Ping":     s.Ping(t.Context()),
	} {
		if !errors.Is(err, sqlitestore.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	reopened := open(t, path, sqlitestore.Config{})
	mustComplete(t, reopened, r, "after all")
}

// Close waits for the steps under way, and each of them has one clear result.
func TestCloseUnderLoad(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []semel.Reservation
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				r := reservation(fmt.Sprint(i, "/", n))
				_, err := s.Reserve(t.Context(), r)
				if err != nil {
					if !errors.Is(err, sqlitestore.ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, r)
				mu.Unlock()
				if n == 20 && i == 0 {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	reopened := open(t, path, sqlitestore.Config{})
	for _, r := range acknowledged { // I10
		held, err := reopened.Reserve(t.Context(), again(r))
		if err != nil || held.Token != r.Token {
			t.Fatalf("got %v (%v), want the token of an acknowledged reservation", held.Token, err)
		}
	}
}
