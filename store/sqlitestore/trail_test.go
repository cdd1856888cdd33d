package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

func mustAudit(t *testing.T, s semel.Auditor, e semel.AuditEntry) semel.AuditEntry {
	t.Helper()
	e, err := s.Audit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func trailOf(t *testing.T, s semel.Auditor, f semel.AuditFilter) (found []semel.AuditEntry) {
	t.Helper()
	for e, err := range s.Trail(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e)
	}
	return found
}

// The file itself refuses whoever would change the trail, in a file of the store's own
// and in an application's.
func TestTrailIsKept(t *testing.T) {
	t.Parallel()
	for table, cfg := range map[string]sqlitestore.Config{"audit": {}, "semel_audit": {Guest: true}} {
		path := newPath(t)
		s := open(t, path, cfg)
		first := mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge, Reason: "too many"})
		mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge, Begun: first.ID, Result: semel.AuditDone})
		before := trailOf(t, s, semel.AuditFilter{})
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		for statement, want := range map[string]string{
			"UPDATE %s SET actor = 'nobody'":                                            "ever changed",
			"UPDATE %s SET id = 9 WHERE id = 2":                                         "ever changed",
			"DELETE FROM %s":                                                            "ever removed",
			"DELETE FROM %s WHERE id = 1":                                               "ever removed",
			"INSERT OR REPLACE INTO %[1]s SELECT * FROM %[1]s WHERE id = 1":             "ever replaced",
			"REPLACE INTO %[1]s (id, actor) SELECT id, 'nobody' FROM %[1]s":             "ever replaced",
			"INSERT INTO %[1]s SELECT * FROM %[1]s WHERE id = 1 ON CONFLICT DO NOTHING": "ever replaced",
		} {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf(strings.Replace(statement, "%s", "%[1]s", 1), table))
			if err == nil || !strings.Contains(err.Error(), "semel: no entry of the trail is "+want) {
				t.Errorf("%s in %s: got error %v, want the trail's refusal", statement, table, err)
			}
		}
		if after := trailOf(t, s, semel.AuditFilter{}); !slices.Equal(before, after) || len(after) != 2 {
			t.Errorf("got %+v, want the trail as it was", after)
		}
	}
}

// A trail that is longer than a page is whole and in order; one that is opened for
// reading reads it, and adds nothing.
func TestLongTrail(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	var wg sync.WaitGroup
	const n = 450
	for i := range n {
		wg.Go(func() {
			e := semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: semel.Key{Scope: "s", ID: fmt.Sprint(i % 2)}}
			if _, err := s.Audit(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	reader := open(t, path, sqlitestore.Config{ReadOnly: true})
	for want, f := range map[int]semel.AuditFilter{
		n: {}, n / 2: {Key: semel.Key{Scope: "s", ID: "1"}}, 300: {Limit: 300}, 200: {Limit: 200}, 201: {Limit: 201},
	} {
		found := trailOf(t, reader, f)
		falls := slices.IsSortedFunc(found, func(a, b semel.AuditEntry) int { return int(b.ID - a.ID) })
		if len(found) != want || !falls {
			t.Errorf("%+v: got %d entries, the latest first %v, want %d", f, len(found), falls, want)
		}
	}
	if _, err := reader.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: "a"}); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("got error %v, want ErrReadOnly", err)
	}
	if err := reader.Reseal(t.Context(), semel.Holder{}, nil, nil); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("got error %v, want ErrReadOnly", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	for _, err := range s.Trail(ctx, semel.AuditFilter{}) {
		if !errors.Is(err, cause) {
			t.Errorf("got error %v, want the cause", err)
		}
	}
}

// Whoever looks waits for nobody who writes: not for a transaction of an application,
// and sees nothing of it.
func TestReadingBesideAWriter(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	r := reservation("a")
	mustReserve(t, s, r)
	mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: r.Key})
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `UPDATE slots SET route = 'changed', created_at = created_at + 1;
		INSERT INTO audit (at, actor, action, scope, key, fence, reason, begun, result) VALUES (1, 'x', 'x', '', '', 0, '', 0, '')`); err != nil {
		t.Fatal(err)
	}
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil || rec.Route != r.Route {
			t.Errorf("got route %q, error %v, want that of the record", rec.Route, err)
		}
	}
	for _, f := range []semel.AuditFilter{{}, {Key: r.Key}} {
		if found := trailOf(t, s, f); len(found) != 1 || found[0].Actor != "ops" {
			t.Errorf("got %+v, want the one entry", found)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}
