package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
