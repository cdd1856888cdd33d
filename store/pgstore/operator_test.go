package pgstore_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// A list that is longer than a page is whole, in order and without doubles, also
// with records of one instant, and with the response of each.
func TestLongList(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	schema := servertest.Name(t)
	s := opened(t, url, pgstore.Config{Schema: schema})
	migrate(t, s)
	const n = 1203
	run(t, poolOf(t, url), fmt.Sprintf(`
		INSERT INTO %s.semel_slots (slot, scope, key, state, token, fingerprint, owner, fence, lease_until,
		                            created_at, expires_at, attempts, lapses, status, header, body)
		SELECT sha256('\x0000000873636f7065206f6e6500000004'::bytea || convert_to(to_char(i, 'FM0000'), 'UTF8')),
		       'scope one', to_char(i, 'FM0000')::bytea, 2, '\x00112233445566778899aabbccddeeff', sha256('r'), '', i, 0,
		       i / 7, 9000000000000000, 1, 0, 200, 'header', to_char(i, 'FM0000')::bytea
		  FROM generate_series(0, %d) AS i`, schema, n-1))
	for _, f := range []semel.Filter{{}, {Limit: 501}, {Limit: 500}, {States: []semel.State{semel.StateCompleted}, Scope: "scope one"}} {
		want := n
		if f.Limit > 0 {
			want = f.Limit
		}
		seen := make(map[string]bool)
		last := time.Unix(1<<40, 0)
		for rec, err := range s.List(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[rec.Key.ID] || rec.CreatedAt.After(last) {
				t.Fatalf("got a record twice or out of order")
			}
			seen[rec.Key.ID], last = true, rec.CreatedAt
		}
		if len(seen) != want {
			t.Errorf("%+v: got %d records, want %d", f, len(seen), want)
		}
	}
	for _, prefix := range []string{"xyz", strings.Repeat("0", 65)} {
		for _, err := range s.List(t.Context(), semel.Filter{Slot: prefix}) {
			wantError(t, err, "list", nil)
		}
	}
}

// A role that has bytes written in the old form costs nothing: none is sent as text.
func TestListOfEscapedBytes(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN()+"&bytea_output=escape")
	r := reservation("a")
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	mustReplay(t, s, r, "body")
	n := 0
	for rec, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
		if err != nil || rec.Key != r.Key || string(rec.Response.Body) != "body" {
			t.Fatalf("got %q with the body %q (%v), want the kept response", rec.Key.ID, rec.Response.Body, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

// Bodies are those of the records that are listed: a slot that was taken anew
// meanwhile is left out.
func TestListWithBodies(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	for _, id := range []string{"a", "b", "c"} {
		r := reservation(id)
		r.Retention = time.Millisecond
		if id == "c" {
			r.Retention = time.Hour
		}
		mustReserve(t, s, r)
		mustComplete(t, s, r, "body of "+id)
	}
	var got []string
	for rec, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(rec.Response.Body))
		if rec.Key.ID == "c" {
			mustReserve(t, s, again(reservation("b"))) // its retention is over
		}
	}
	if fmt.Sprint(got) != "[body of c body of a]" {
		t.Errorf("got bodies %q, want those of c and a", got)
	}
}

// Several purges at once share the work; each record is counted once.
func TestPurgesAtOnce(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	schema := servertest.Name(t)
	s := opened(t, url, pgstore.Config{Schema: schema})
	migrate(t, s)
	// Lapsed reservations lie before and among what is over.
	run(t, poolOf(t, url), fmt.Sprintf(`
		INSERT INTO %s.semel_slots (slot, scope, key, state, token, fingerprint, owner, fence, lease_until,
		                            created_at, expires_at, attempts, lapses)
		SELECT sha256(i::text::bytea), 's', 'k', CASE WHEN i < 2000 OR i %% 3 = 0 THEN 1 ELSE 2 * (i %% 2) END,
		       '\x00112233445566778899aabbccddeeff', sha256('r'), '', i, 1, i, i, 1, 0
		  FROM generate_series(1, 8000) AS i`, schema))
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		other := opened(t, url, pgstore.Config{Schema: schema})
		wg.Go(func() {
			for {
				n, err := other.Purge(t.Context(), 5000)
				if err != nil || n > 1000 {
					t.Errorf("purge: got %d (%v), want up to 1000", n, err)
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
				if n == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	for { // what a purge that was under way had locked
		n, err := s.Purge(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if want := 4001; total != want {
		t.Errorf("got %d deleted, want %d", total, want)
	}
	if left := look[int](t, poolOf(t, url), "SELECT count(*) FROM "+schema+".semel_slots WHERE state <> 1"); left != 0 {
		t.Errorf("got %d records left that are over", left)
	}
	for _, limit := range []int{0, -1} {
		if n, err := s.Purge(t.Context(), limit); n != 0 || err != nil {
			t.Errorf("got %d (%v) for a limit of %d", n, err, limit)
		}
	}
}

// A response that the store cannot keep is refused before anything is sent; a
// large one is kept whole.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	r, held := lapse(t, s, "a")
	c := completion(r, "")
	c.Response.Body = make([]byte, 256<<20)
	err := s.Complete(t.Context(), c)
	wantError(t, err, "complete", semel.ErrTooLarge)
	err = s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence, Response: &c.Response})
	wantError(t, err, "resolve", semel.ErrTooLarge)
	c.Response.Body = c.Response.Body[:16<<20]
	if err := s.Complete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	mustReplay(t, s, r, string(c.Response.Body))
	if err := s.Release(t.Context(), r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
}

// A statement of a step has its plan for as long as its connection: it must not
// be one for a table of a few rows.
func TestPlansOutliveASmallTable(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	schema := servertest.Name(t)
	s := opened(t, url+"&pool_max_conns=1", pgstore.Config{Schema: schema})
	migrate(t, s)
	admin := poolOf(t, url)
	table := schema + ".semel_slots"
	run(t, admin, "ALTER TABLE "+table+" SET (autovacuum_enabled = false)")
	mustReserve(t, s, reservation("first"))
	run(t, admin, "VACUUM ANALYZE "+table) // one page: a scan of all is the best plan now
	for i := range 20 {
		mustReserve(t, s, reservation(fmt.Sprint(i)))
		mustComplete(t, s, reservationOf(t, s, fmt.Sprint(i)), "body")
	}
	if err := s.Close(); err != nil { // the server counts when a session ends
		t.Fatal(err)
	}
	const scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = $1::regclass AND n_tup_ins = 21"
	eventually(t, "the rows are counted", func() bool {
		return look[int](t, admin, "SELECT count(*) FROM ("+scans+") AS counted", table) == 1
	})
	if n := look[int](t, admin, scans, table); n > 5 { // ANALYZE and the making of two indexes
		t.Errorf("got %d scans of the whole table, want none by steps", n)
	}
}

// reservationOf is a reservation with the token that holds the slot.
func reservationOf(t *testing.T, s *pgstore.Store, id string) semel.Reservation {
	t.Helper()
	r := reservation(id)
	held, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Token = held.Token
	return r
}

// L1: a lease that was given up is over for everybody, whatever the margin.
func TestGivenUpWhateverTheMargin(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	const centuries = math.MaxInt64 // of nanoseconds: three, and the clock has counted half of one
	r, _ := lapse(t, s, "a")
	asker := again(r)
	asker.Margin = centuries
	if held, err := s.Reserve(t.Context(), asker); err != nil || !held.Lapsed {
		t.Errorf("got lapsed %v (%v), want it so", held.Lapsed, err)
	}
	listed := 0
	for _, err := range s.List(t.Context(), semel.Filter{Lapsed: true, Margin: centuries}) {
		if err != nil {
			t.Fatal(err)
		}
		listed++
	}
	if listed != 1 {
		t.Errorf("got %d lapsed records listed, want 1", listed)
	}
	next := taker(r)
	next.Margin = centuries
	held := mustReserve(t, s, next)
	if _, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: next.Key, Token: next.Token}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence, Margin: centuries}); err != nil {
		t.Errorf("resolve: %v", err)
	}
}
