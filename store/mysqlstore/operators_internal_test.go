package mysqlstore

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// slotOf is the slot of a key of tenant-1 in SQL.
func slotOf(id string) string {
	return "UNHEX(SHA2(CONCAT(UNHEX('00000008'), 'tenant-1', UNHEX(LPAD(HEX(LENGTH(" + id + ")), 8, '0')), " + id + "), 256))"
}

// filled is a store with n completed records, a microsecond after one another, the
// oldest an hour old.
func filled(t *testing.T, n int) *Store {
	t.Helper()
	s := newTestStore(t)
	_, err := s.db.Exec(fmt.Sprintf(`INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses,
			owner, created_at, expires_at, status, route)
		SELECT `+slotOf("seq")+`, 'tenant-1', seq, 2, UNHEX(SHA2(seq, 256)), UNHEX(MD5(seq)), seq, 0, 1, 0,
			'host/1', %s - 3600000000 + seq, %s + 3600000000, 201, IF(seq MOD 1000 = 0, 'rare', 'common') FROM seq_1_to_%d`, now, now, n))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec("ANALYZE TABLE semel_slots"); err != nil {
		t.Fatal(err)
	}
	s.db.SetMaxOpenConns(1) // the counters below are those of a session
	return s
}

// rowsRead is how many rows and entries of indexes the server touches for f.
func rowsRead(t *testing.T, s *Store, f func()) int {
	t.Helper()
	if _, err := s.db.Exec("FLUSH STATUS"); err != nil {
		t.Fatal(err)
	}
	f()
	counts := make(map[string]string)
	if err := s.pairs(t.Context(), "SHOW SESSION STATUS LIKE 'Handler_read%'", counts); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, text := range counts {
		n := 0
		_, _ = fmt.Sscan(text, &n)
		sum += n
	}
	return sum
}

func listed(t *testing.T, s *Store, f semel.Filter) (records []semel.Record) {
	t.Helper()
	for rec, err := range s.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// A page costs what is on it, wherever it begins and whatever ages it has.
func TestPageCost(t *testing.T) {
	t.Parallel()
	const n = 20_000
	s := filled(t, n)
	middle := listed(t, s, semel.Filter{Limit: n / 2})[n/2-1].Place()
	for what, f := range map[string]semel.Filter{
		"the first page":     {Limit: 20},
		"a page behind":      {Limit: 20, After: middle},
		"the oldest":         {Limit: 20, MinAge: time.Hour - 100*time.Microsecond},
		"none so young":      {MaxAge: time.Minute},
		"none so old":        {MinAge: 2 * time.Hour},
		"a page with bodies": {Limit: 20, After: middle, Bodies: true},
	} {
		var got []semel.Record
		if read := rowsRead(t, s, func() { got = listed(t, s, f) }); read > 150 {
			t.Errorf("%s: the server read %d rows for %d records", what, read, len(got))
		}
		for _, rec := range got {
			if !f.After.IsZero() && !rec.CreatedAt.Before(f.After.CreatedAt) {
				t.Errorf("%s: got a record that is not behind its place", what)
			}
		}
	}
	seen, rare := 0, semel.Filter{Route: "rare", Limit: 7}
	for {
		page := listed(t, s, rare)
		if seen += len(page); len(page) == 0 || seen > n {
			break
		}
		rare.After = page[len(page)-1].Place()
	}
	if seen != n/1000 {
		t.Errorf("got %d records of the rare route, want %d", seen, n/1000)
	}
}

// The list and the trail of a slot go through their indexes in order: nothing is sorted.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := filled(t, 20_000)
	place, slot := []any{int64(1 << 60), int64(1 << 60), youngest.slot}, semel.Key{Scope: "tenant-1", ID: "7"}.Slot()
	list := slices.Concat(place, []any{
		int64(0), int64(0), oldest.slot, oldest.slot, youngest.slot, 7, false, 0, false, []byte{}, false, []byte{}, false, []byte{}, 20,
	})
	for name, c := range map[string]struct {
		text, key string
		args      []any
	}{
		"window":          {s.sql.window, "created_at", append(slices.Clone(place), int64(0), 19)},
		"list":            {s.sql.list, "created_at", list},
		"trail":           {s.sql.trail, "PRIMARY", []any{int64(1 << 60), 20}},
		"trail of a slot": {s.sql.trailSlot, "slot", []any{slot[:], int64(1 << 60), 20}},
	} {
		var id, kind, table, access, possible, key, length, ref, rows, extra []byte
		err := s.db.QueryRow("EXPLAIN "+c.text, c.args...).Scan(&id, &kind, &table, &access, &possible, &key, &length, &ref, &rows, &extra)
		if err != nil {
			t.Fatal(err)
		}
		if string(key) != c.key || string(access) == "ALL" || string(access) == "index" && name != "trail" || strings.Contains(string(extra), "filesort") {
			t.Errorf("%s: got %s through %s (%s), want the index %s in its order", name, access, key, extra, c.key)
		}
	}
}

// A slot that is reserved anew between the window of a list and the body that belongs
// to it stands elsewhere in the list: it would lead the next page back to the start.
func TestListedThenReserved(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	kept := keep(t, s, 3)
	q, err := newQuery(semel.Filter{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.window(t.Context(), q)
	if err != nil || len(found) != 3 {
		t.Fatalf("got %d records (%v), want 3", len(found), err)
	}
	slot := kept[1].Key.Slot()
	if _, err := s.db.Exec("UPDATE semel_slots SET created_at = created_at + 1000000 WHERE slot = ?", slot[:]); err != nil {
		t.Fatal(err)
	}
	for i := range found {
		key := found[i].record.Key
		ok, err := s.withBody(t.Context(), q, &found[i])
		if err != nil || ok != (key != kept[1].Key) {
			t.Errorf("%s: got it listed %v (%v)", key.ID, ok, err)
		}
	}
}

// I10: records of version 2 are there after the migration, without a route, and the
// program of version 2 goes on beside this one. Whoever of ten migrates is first.
func TestMigrateFromPromises(t *testing.T) {
	t.Parallel()
	dsn := testDatabase(t)
	s := opened(t, dsn)
	two := onlySchema(t, "0001_slots.sql", "0002_promises.sql")
	own := s.sql.files
	s.sql.files = two
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As the program of version 2 writes: it does not know the column.
	insert := func(id string) {
		t.Helper()
		_, err := s.db.Exec(`INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses, deferred, owner,
			created_at, expires_at, status, header, body)
			SELECT `+slotOf("?")+`, 'tenant-1', ?, 2, UNHEX(SHA2('x', 256)), UNHEX(MD5(?)), `+now+`, 0, 1, 0, NULL, 'host/2',
			`+now+`, `+now+` + 3600000000, 200, 'h', ?`, id, id, id, id, id)
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		insert(fmt.Sprint("old ", i))
	}
	s.sql.files = own
	wantVersions(t, s.Validate(t.Context()), "validate", 2, 3, "run Migrate")
	var wg sync.WaitGroup
	for range 10 {
		other := opened(t, dsn)
		wg.Go(func() {
			if err := other.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	insert("later")
	r := ask("new")
	r.Route = "POST /payments"
	if _, err := s.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	records := listed(t, s, semel.Filter{Bodies: true})
	if len(records) != 22 || records[0].Route != r.Route || records[1].Key.ID != "later" {
		t.Fatalf("got %d records, want all 22", len(records))
	}
	for _, rec := range records[2:] {
		if rec.Route != "" || rec.Owner != "host/2" || rec.State != semel.StateCompleted {
			t.Errorf("got %+v of version 2, want it whole and without a route", rec)
		}
	}
}

// The trail of one slot reads what is about that slot.
func TestTrailCost(t *testing.T) {
	t.Parallel()
	s := filled(t, 1)
	key := semel.Key{Scope: "tenant-1", ID: "7"}
	_, err := s.db.Exec(`INSERT INTO semel_slots_audit (added_at, actor, action, slot, scope, key_id, fence, reason, begun, result)
		SELECT seq, 'ops', 'reveal', UNHEX(SHA2(seq, 256)), 'x', seq, 0, '', 0, '' FROM seq_1_to_5000`)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		filter semel.AuditFilter
		want   int
	}{{semel.AuditFilter{Key: key}, 3}, {semel.AuditFilter{Limit: 10}, 10}, {semel.AuditFilter{Before: 20}, 19}} {
		n := 0
		read := rowsRead(t, s, func() {
			for _, err := range s.Trail(t.Context(), c.filter) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
		})
		if n != c.want || read > 100 {
			t.Errorf("got %d entries from %d rows, want %d", n, read, c.want)
		}
	}
	all := 0
	for e, err := range s.Trail(t.Context(), semel.AuditFilter{}) { // more than one page of it
		if err != nil || e.Actor != "ops" {
			t.Fatalf("got %+v, %v", e, err)
		}
		all++
	}
	if all != 5003 {
		t.Errorf("got %d entries, want 5003", all)
	}
}

// A page is as long as its limit when there are so many records, also when one of those
// that were found is gone by the time its body is read.
func TestPageIsFull(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	kept := keep(t, s, 5)
	q, err := newQuery(semel.Filter{Bodies: true, Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	q.size = 5 // as after a window whose records were gone
	if _, err := s.window(t.Context(), q); err != nil || q.over {
		t.Fatalf("got the end of the list (%v), want more behind the first window", err)
	}
	next, err := s.window(t.Context(), q)
	if err != nil || len(next) != 2 || next[0].record.Key != kept[2].Key {
		t.Errorf("got %d records (%v), want the third and the fourth", len(next), err)
	}
	if got := listed(t, s, semel.Filter{Bodies: true, Limit: 4}); len(got) != 4 || got[3].Key != kept[1].Key {
		t.Errorf("got %d records, want 4", len(got))
	}
}

// An age of less than a microsecond is a bound, and a negative one is none.
func TestShortAges(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	keep(t, s, 3)
	for f, want := range map[*semel.Filter]int{{MaxAge: 1}: 0, {MinAge: 1}: 3, {MaxAge: -1}: 3, {MinAge: -1}: 3} {
		if got := listed(t, s, *f); len(got) != want {
			t.Errorf("from %v to %v: got %d records, want %d", f.MinAge, f.MaxAge, len(got), want)
		}
	}
}
