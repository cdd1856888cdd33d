package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// oldRecords are what a file of version 1 held: one of each kind.
var oldRecords = map[string]semel.Record{
	"running":   {State: semel.StateReserved},
	"lapsed":    {State: semel.StateReserved, Lapsed: true, Lapses: 2},
	"free":      {State: semel.StateFree},
	"completed": {State: semel.StateCompleted, Response: semel.Response{Status: 201, Header: []byte("header"), Body: []byte("body")}},
	"empty":     {State: semel.StateCompleted, Response: semel.Response{Status: 204}},
}

// oldFile makes a file as version 1 made it, with oldRecords, and returns what
// they are by their id.
func oldFile(t *testing.T) (path string, records map[string]semel.Record) {
	t.Helper()
	schema, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "old.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	records = make(map[string]semel.Record)
	err = database{path: path}.with(readWrite, writerPragmas, func(c *conn) error {
		mark := fmt.Sprintf("\nPRAGMA application_id = %d; PRAGMA user_version = 1;", applicationID)
		if err := c.script(string(schema) + mark); err != nil {
			return err
		}
		for id, rec := range oldRecords {
			rec.Key = semel.Key{Scope: "s", ID: id}
			rec.Fingerprint, rec.Fence, rec.Attempts, rec.Owner = semel.FingerprintOf([]byte(id)), time.Now().UnixMicro(), 3, "host/1"
			if rec.State != semel.StateFree {
				rec.Token = semel.NewToken()
			}
			if err := insertOld(c, rec); err != nil {
				return err
			}
			records[id] = rec
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path, records
}

// insertOld writes a record in the words of version 1.
func insertOld(c *conn, rec semel.Record) error {
	slot, now := rec.Key.Slot(), time.Now().UnixMicro()
	lease := now + micros(time.Hour)
	if rec.Lapsed {
		lease = now - 1
	}
	var status, body any
	if rec.State == semel.StateCompleted {
		status = int64(rec.Response.Status)
		p := preparer{conn: c}
		insert := p.text("body", "INSERT INTO bodies (header, body, sum) VALUES (?, ?, ?)")
		if p.err != nil {
			return p.err
		}
		_, id, err := insert.insert(nonEmpty(rec.Response.Header), nonEmpty(rec.Response.Body), sumOf(slot, rec.Response))
		if err != nil {
			return err
		}
		body = id
	}
	p := preparer{conn: c}
	insert := p.text("slot", `INSERT INTO slots (slot, scope, key, state, fingerprint, token, fence, lease_until,
		attempts, lapses, owner, created_at, expires_at, status, body_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if p.err != nil {
		return p.err
	}
	_, err := insert.exec(slot[:], rec.Key.Scope, rec.Key.ID, int64(rec.State), rec.Fingerprint[:], rec.Token[:], rec.Fence,
		lease, int64(rec.Attempts), int64(rec.Lapses), rec.Owner, now, now+micros(time.Hour), status, body)
	return err
}

// I2, I7, I9: a file of version 1 keeps all that it held; what it had reserved has
// promised nothing, and so is not blameless.
func TestOldFileIsMigrated(t *testing.T) {
	path, records := oldFile(t)
	if _, err := Open(path, Config{NoMigrate: true}); err == nil {
		t.Error("NoMigrate: got a store, want a SchemaError")
	}
	for range 2 { // the second time there is nothing to do
		s, err := Open(path, Config{})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range records {
			got, err := s.Reserve(t.Context(), blamelessTaker(want))
			if id == "free" {
				continue // taken by the first, seen by the second
			}
			if err != nil || got.State != want.State || got.Token != want.Token || got.Fence != want.Fence ||
				got.Attempts != 3 || got.Lapses != want.Lapses || got.Lapsed != want.Lapsed || got.Deferred || got.Reason != "" ||
				got.Response.Status != want.Response.Status || string(got.Response.Body) != string(want.Response.Body) ||
				string(got.Response.Header) != string(want.Response.Header) {
				t.Errorf("%s: got %+v, error %v, want %+v", id, got, err, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A migrated file does all that a new one does.
func TestMigratedFileServes(t *testing.T) {
	path, records := oldFile(t)
	s, err := Open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	running := records["running"]
	if err := s.BeginEffects(ctx, running.Key, running.Token); err != nil {
		t.Error(err)
	}
	if err := s.Complete(ctx, semel.Completion{Key: running.Key, Token: running.Token, Response: semel.Response{Status: 200}}); err != nil {
		t.Error(err)
	}
	free := blamelessTaker(records["free"])
	if held, err := s.Reserve(ctx, free); err != nil || held.Token != free.Token || held.Attempts != 4 || held.Fence <= records["free"].Fence {
		t.Errorf("free: got %+v, error %v, want it reserved", held, err)
	}
	lapsed := records["lapsed"]
	if err := s.Resolve(ctx, semel.Resolution{Key: lapsed.Key, Fence: lapsed.Fence, Reason: "looked it up", Retention: time.Hour}); err != nil {
		t.Error(err)
	}
	if err := s.Release(ctx, lapsed.Key, lapsed.Token); !errors.Is(err, semel.ErrLost) {
		t.Errorf("release: got error %v, want ErrLost", err)
	}
	for rec, err := range s.List(ctx, semel.Filter{ID: "lapsed"}) {
		if err != nil || rec.State != semel.StateFree || rec.Reason != "looked it up" {
			t.Errorf("lapsed: got %+v, error %v, want it freed for the reason", rec, err)
		}
	}
}

func blamelessTaker(rec semel.Record) semel.Reservation {
	return semel.Reservation{
		Key: rec.Key, Fingerprint: rec.Fingerprint, Token: semel.NewToken(), Lease: time.Hour, Retention: time.Hour,
		TakeOverBlameless: true,
	}
}

// fileOf makes a file as version 2 or 3 made it, an application's or not, with records
// whose order of age is not that in which they were written.
func fileOf(t *testing.T, version int, guest bool) (path string, oldest []string) {
	t.Helper()
	all, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "old.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	oldest = []string{"completed", "lapsed", "free", "empty", "running"}
	err = database{path: path, guest: guest}.with(readWrite, writerPragmas, func(c *conn) error {
		if err := c.apply(all[:version]); err != nil {
			return err
		}
		return c.script(c.fill(`
			INSERT INTO {bodies} (header, body, sum) VALUES (NULL, NULL, 0);
			INSERT INTO {slots} (slot, scope, key, state, fingerprint, token, fence, lease_until, attempts, lapses,
			                     owner, created_at, expires_at, status, body_id, deferred, reason)
			SELECT unhex(substr(hex(value) || printf('%064d', 0), 1, 64)), 's', value, CASE value WHEN 'running' THEN 1 WHEN 'lapsed' THEN 1 WHEN 'free' THEN 0 ELSE 2 END,
			       zeroblob(32), zeroblob(16), 1, CASE value WHEN 'running' THEN 9000000000000000 ELSE 0 END, 3, 0,
			       'host/1', 1000 + 7 * key % 5, 9000000000000000, 204, 1, 0, CASE value WHEN 'free' THEN 'asked' ELSE '' END
			  FROM json_each('["completed", "free", "running", "lapsed", "empty"]')`, true))
	})
	if err != nil {
		t.Fatal(err)
	}
	return path, oldest
}

// I2, I9: a file of version 2 or 3 is brought to this one's by whoever of many comes
// first, while the others wait. It keeps what it had, without a route, and is listed by
// age, with what is open as a part of it.
func TestLaterFileIsMigrated(t *testing.T) {
	for _, version := range []int{2, 3} {
		for _, guest := range []bool{false, true} {
			path, oldest := fileOf(t, version, guest)
			for _, cfg := range []Config{{ReadOnly: true}, {Shared: true}, {NoMigrate: true}} {
				cfg.Guest = guest
				_, err := Open(path, cfg)
				if stale := (*SchemaError)(nil); !errors.As(err, &stale) || stale.Have != version || stale.Want != 4 {
					t.Errorf("%+v: got error %v, want a SchemaError with both versions", cfg, err)
				}
			}
			at := 1
			if guest {
				at = 8
			}
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() { migrated(t, path, guest, oldest) })
			}
			wg.Wait()
		}
	}
}

// migrated opens a file of fileOf and looks whether all is there.
func migrated(t *testing.T, path string, guest bool, oldest []string) {
	t.Helper()
	s, err := Open(path, Config{Guest: guest})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		filter semel.Filter
		want   []string
	}{
		{semel.Filter{}, oldest},
		{semel.Filter{Lapsed: true}, []string{"lapsed"}},
		{semel.Filter{States: []semel.State{semel.StateReserved}}, []string{"lapsed", "running"}},
		{semel.Filter{States: []semel.State{semel.StateFree}}, []string{"free"}},
	} {
		var got []string
		for rec, err := range s.List(t.Context(), c.filter) {
			if err != nil || rec.Route != "" || rec.Owner != "host/1" || rec.Attempts != 3 || (rec.Reason == "asked") != (rec.Key.ID == "free") {
				t.Errorf("got %+v, error %v, want it as it was", rec, err)
			}
			got = append(got, rec.Key.ID)
		}
		slices.Reverse(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v, the oldest first", c.filter, got, c.want)
		}
	}
	if _, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge}); err != nil {
		t.Error(err)
	}
}

// A program of version 2 that has an application's file open goes on beside this one, and
// what it reserves has no route.
func TestSecondProgramGoesOn(t *testing.T) {
	path, _ := fileOf(t, 2, true)
	err := database{path: path, guest: true}.with(readWrite, writerPragmas, func(c *conn) error {
		p := preparer{conn: c}
		insert := p.text("insert", c.fill(`INSERT INTO {slots} (slot, scope, key, state, fingerprint, token, fence, lease_until,
			attempts, lapses, owner, created_at, expires_at, deferred) VALUES (?, 's', ?, 1, zeroblob(32), zeroblob(16), 1, 1, 1, 0, '', 1, 1, 0)
			ON CONFLICT (slot) DO NOTHING`, true))
		if p.err != nil {
			return p.err
		}
		for _, id := range []string{"before", "after"} {
			slot := semel.Key{Scope: "s", ID: id}.Slot()
			if n, err := insert.exec(slot[:], id); err != nil || n != 1 {
				return fmt.Errorf("%s: %d rows: %w", id, n, err)
			}
			s, err := Open(path, Config{Guest: true})
			if err != nil {
				return err
			}
			for rec, err := range s.List(t.Context(), semel.Filter{Scope: "s", ID: id}) {
				if err != nil || rec.Route != "" || rec.State != semel.StateReserved {
					t.Errorf("%s: got %+v, error %v", id, rec, err)
				}
			}
			if err := s.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
