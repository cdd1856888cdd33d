package pgstore

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// execute runs statements with the store's names, past the store.
func execute(t *testing.T, s *Store, text string) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), s.names.replacer.Replace(text), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

func mustAudit(t *testing.T, s *Store, e semel.AuditEntry) semel.AuditEntry {
	t.Helper()
	e, err := s.Audit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func trailOf(t *testing.T, s *Store, f semel.AuditFilter) (found []semel.AuditEntry) {
	t.Helper()
	for e, err := range s.Trail(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e)
	}
	return found
}

// The table refuses whoever would change the trail, its owner too. It outlives the other
// table, and no migration touches it.
func TestTrailIsKept(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	first := mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge, Reason: "too many"})
	mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge, Begun: first.ID, Result: semel.AuditDone})
	before := trailOf(t, s, semel.AuditFilter{})
	for _, statement := range []string{
		`UPDATE "audit" SET actor = 'nobody'`,
		`UPDATE "audit" SET actor = 'nobody' WHERE id = 0`,
		`DELETE FROM "audit"`,
		`TRUNCATE "audit"`,
		`TRUNCATE "audit" RESTART IDENTITY CASCADE`,
		`INSERT INTO "audit" OVERRIDING SYSTEM VALUE SELECT * FROM "audit" ON CONFLICT (id) DO UPDATE SET actor = 'nobody'`,
	} {
		_, err := s.pool.Exec(t.Context(), s.names.replacer.Replace(statement))
		if err == nil || !strings.Contains(err.Error(), "semel: no entry of the trail is ever changed or removed") {
			t.Errorf("%s: got error %v, want the trail's refusal", statement, err)
		}
	}
	execute(t, s, `DROP TABLE "slots"`)
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := trailOf(t, s, semel.AuditFilter{}); !slices.Equal(before, after) || len(after) != 2 {
		t.Errorf("got %+v, want the trail as it was", after)
	}
	if next := mustAudit(t, s, semel.AuditEntry{Actor: "ops", Action: "a"}); next.ID <= before[0].ID {
		t.Errorf("got ID %d after %d", next.ID, before[0].ID)
	}
}

// Who adds an entry waits until the one before it is visible: no entry appears below one
// that has been read.
func TestTrailAppearsInOrder(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	var first, at int64
	if err := tx.QueryRow(t.Context(), s.sql.audit, s.names.trailNumber(), []byte("ops"), []byte("a"), nil, []byte(""), []byte(""), 0, []byte(""), 0, []byte("")).
		Scan(&first, &at); err != nil {
		t.Fatal(err)
	}
	added := make(chan semel.AuditEntry)
	go func() {
		e, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: "b"})
		if err != nil {
			t.Error(err)
		}
		added <- e
	}()
	for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
		select {
		case e := <-added:
			t.Fatalf("got entry %d added while %d was not visible", e.ID, first)
		default:
		}
		number := uint64(s.names.trailNumber())
		err := s.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND classid::bigint = $1 AND objid::bigint = $2)`, int64(number>>32), int64(number&math.MaxUint32)).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second := <-added; second.ID <= first || second.At.UnixMicro() < at {
		t.Errorf("got entry %d of %d after %d of %d", second.ID, second.At.UnixMicro(), first, at)
	}
}

// A trail that is longer than a page is whole and in order.
func TestLongTrail(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	const n = 450
	slot := semel.Key{Scope: "s", ID: "a"}.Slot()
	execute(t, s, fmt.Sprintf(`INSERT INTO "audit" (at, fence, begun, actor, action, slot, scope, key, reason, result)
		SELECT i, 0, 0, 'ops', 'reveal', CASE i %% 2 WHEN 0 THEN decode('%x', 'hex') END, 's', 'a', '', '' FROM generate_series(1, %d) AS i`,
		slot[:], n))
	for want, f := range map[int]semel.AuditFilter{
		n: {}, n / 2: {Key: semel.Key{Scope: "s", ID: "a"}}, 300: {Limit: 300}, 200: {Limit: 200}, 201: {Limit: 201},
	} {
		found := trailOf(t, s, f)
		falls := slices.IsSortedFunc(found, func(a, b semel.AuditEntry) int { return int(b.ID - a.ID) })
		if len(found) != want || !falls {
			t.Errorf("%+v: got %d entries, the latest first %v, want %d", f, len(found), falls, want)
		}
	}
}

// plan is a node of what EXPLAIN says.
type plan struct {
	Node    string  `json:"Node Type"`
	Index   string  `json:"Index Name"`
	Way     string  `json:"Scan Direction"`
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan  `json:"Plans"`
}

// planOf runs a query and says how, as a list of nodes.
func planOf(t *testing.T, s *Store, text string, args ...any) (nodes []plan) {
	t.Helper()
	var raw []byte
	query := "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + text
	if err := s.pool.QueryRow(t.Context(), query, append([]any{s.planEach()}, args...)...).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var top []struct{ Plan plan }
	if err := json.Unmarshal(raw, &top); err != nil || len(top) != 1 {
		t.Fatalf("%v: %s", err, raw)
	}
	var walk func(p plan)
	walk = func(p plan) {
		nodes = append(nodes, p)
		for _, below := range p.Plans {
			walk(below)
		}
	}
	walk(top[0].Plan)
	return nodes
}

// A page costs what is on it, wherever it is: it goes on in the index, and what it looks
// at or sorts is little more.
func TestPagesUseTheIndex(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	const n, page = 30_000, 20
	execute(t, s, fmt.Sprintf(`INSERT INTO "slots" (slot, scope, key, state, token, fingerprint, owner, fence, lease_until,
		                                             created_at, expires_at, attempts, lapses, route)
		SELECT sha256(i::text::bytea), 's', i::text::bytea, i %% 3, '\x00112233445566778899aabbccddeeff', sha256('r'), '', i, 0,
		       i / 3, 9000000000000000, 1, 0, 'POST /payments'
		  FROM generate_series(1, %[1]d) AS i;
		INSERT INTO "audit" (at, fence, begun, actor, action, slot, scope, key, reason, result)
		SELECT i, 0, 0, 'ops', 'reveal', sha256((i %% 1000)::text::bytea), 's', 'k', '', '' FROM generate_series(1, %[1]d) AS i;
		ANALYZE "slots"; ANALYZE "audit"`, n))
	since := func(created int64) time.Duration { return time.Since(time.UnixMicro(created)) }
	list := func(f semel.Filter) func() []plan {
		return func() []plan {
			q, err := newQuery(f)
			if err != nil {
				t.Fatal(err)
			}
			return planOf(t, s, s.sql.list, listArgs(q, page)...)
		}
	}
	slot := semel.Slot(slices.Repeat([]byte{0x80}, 32))
	about := sha256.Sum256([]byte("1"))
	for name, c := range map[string]struct {
		plan  func() []plan
		index string
	}{
		"the first page":        {list(semel.Filter{}), "_created_at"},
		"a page in the middle":  {list(semel.Filter{After: semel.Place{CreatedAt: time.UnixMicro(n / 6), Slot: slot}}), "_created_at"},
		"the last page":         {list(semel.Filter{After: semel.Place{CreatedAt: time.UnixMicro(5), Slot: slot}}), "_created_at"},
		"at least so old":       {list(semel.Filter{MinAge: since(n / 6)}), "_created_at"},
		"at most so old":        {list(semel.Filter{MaxAge: since(n/3 - 2)}), "_created_at"},
		"of a route, completed": {list(semel.Filter{Route: "POST /payments", States: []semel.State{semel.StateCompleted}}), "_created_at"},
		"one key":               {list(semel.Filter{Scope: "s", ID: "k"}), "_pkey"},
		"the trail":             {func() []plan { return planOf(t, s, s.sql.trail, n/2, page) }, "_audit_pkey"},
		"the trail of a slot":   {func() []plan { return planOf(t, s, s.sql.trailSlot, n/2, page, about[:]) }, "_audit_slot"},
	} {
		nodes := c.plan()
		used := false
		for _, node := range nodes {
			used = used || strings.HasSuffix(node.Index, c.index)
			if node.Node == "Seq Scan" || node.Rows+node.Removed > 5*page {
				t.Errorf("%s: got %+v in %+v", name, node, nodes)
			}
		}
		if !used {
			t.Errorf("%s: got %+v, want the index %s", name, nodes, c.index)
		}
	}
}

// A bound that is smaller than the clock's microsecond is one all the same, and a record
// from the future, after the server's clock was set back, is younger than any bound.
func TestBoundsOfAge(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration][2]int64{ // an age has whole microseconds
		1: {1, 0}, time.Microsecond: {1, 1}, 1001: {2, 1}, 1999: {2, 1}, -1: {-ages, ages}, 0: {-ages, ages},
	} {
		q, err := newQuery(semel.Filter{MinAge: age, MaxAge: age})
		if err != nil || q.leastAge != want[0] || q.mostAge != want[1] {
			t.Errorf("%d: got %d to %d (%v), want %v", age, q.leastAge, q.mostAge, err, want)
		}
	}
	s := migrated(t)
	for _, id := range []string{"future", "now", "past"} {
		r := ask(id)
		reserved(t, s, r)
	}
	execute(t, s, `UPDATE "slots" SET created_at = created_at + CASE key WHEN 'future' THEN 1000000000 ELSE -1000000000 END WHERE key <> 'now'`)
	for _, c := range []struct {
		least, most time.Duration
		want        string
	}{
		{0, 0, "future now past"},
		{-1, -1, "future now past"},
		{1, 0, "now past"},
		{0, 1, "future"},
		{1, 1, ""},
		{0, time.Hour, "future now past"},
		{time.Minute, time.Hour, "past"},
		{math.MaxInt64, 0, ""},
		{0, math.MaxInt64, "future now past"},
	} {
		var got []string
		for rec, err := range s.List(t.Context(), semel.Filter{MinAge: c.least, MaxAge: c.most}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rec.Key.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%d to %d: got %v, want %v", c.least, c.most, got, c.want)
		}
	}
}

// I3, I4: responses are sealed anew while their slots are purged, taken and completed by
// others. Each that is read is whole.
func TestResealBesideOthers(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	const slots, rounds = 6, 60
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() {
			for n := range rounds {
				r := ask(fmt.Sprint(i / 2))
				r.Retention = time.Duration(1+n%2*1_000) * time.Microsecond
				held, err := s.Reserve(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				if held.State == semel.StateCompleted && !strings.HasPrefix(string(held.Response.Body), string(held.Response.Header)) {
					t.Errorf("got header %q with body %q", held.Response.Header, held.Response.Body)
				}
				if held.Token == r.Token {
					c := semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200, Header: []byte("1"), Body: []byte("1 body")}}
					if err := s.Complete(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
				header := fmt.Sprint(n + 2)
				err = s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: held.Token}, []byte(header), []byte(header+" body"))
				if err != nil && !errors.Is(err, semel.ErrLost) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			if _, err := s.Purge(t.Context(), 10); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// I4, I8: who seals waits for a transaction that has taken the slot, and hears ErrLost if
// it commits.
func TestResealBesideATransaction(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	for _, end := range []struct {
		name string
		do   func(pgx.Tx) error
		want error
	}{
		{"commit", func(tx pgx.Tx) error { return tx.Commit(t.Context()) }, semel.ErrLost},
		{"rollback", func(tx pgx.Tx) error { return tx.Rollback(t.Context()) }, nil},
	} {
		r := ask(end.name)
		r.Retention = time.Microsecond
		reserved(t, s, r)
		if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200}}); err != nil {
			t.Fatal(err)
		}
		tx, err := s.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps, err := Tx(tx).Steps(s)
		if err != nil {
			t.Fatal(err)
		}
		taker := next(r)
		if held, err := steps.Reserve(t.Context(), taker); err != nil || held.Token != taker.Token {
			t.Fatalf("got it held by %v (%v), want it taken", held.Token, err)
		}
		sealed := make(chan error)
		go func() {
			sealed <- s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, []byte("sealed"))
		}()
		if err := end.do(tx); err != nil {
			t.Fatal(err)
		}
		if err := <-sealed; !errors.Is(err, end.want) {
			t.Errorf("%s: got %v, want %v", end.name, err, end.want)
		}
	}
	huge := make([]byte, maxResponse)
	if err := s.Reseal(t.Context(), semel.Holder{Key: ask("a").Key}, []byte("h"), huge); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// A transaction says of what kind the request is, as every reservation does: for a slot
// that is fresh, and for one that is taken anew.
func TestRouteInATransaction(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	r := ask("a")
	for _, route := range []string{"POST /payments", "PUT /payments"} {
		r = next(r)
		r.Route, r.Retention = route, time.Microsecond
		tx := begin(t, s)
		steps, err := Tx(tx).Steps(s)
		if err != nil {
			t.Fatal(err)
		}
		if held, err := steps.Reserve(t.Context(), r); err != nil || held.Token != r.Token || held.Route != route {
			t.Errorf("got it held by %v with route %q (%v), want %q", held.Token, held.Route, err, route)
		}
		if err := steps.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held, err := s.Look(t.Context(), r.Key); err != nil || held.Route != route {
			t.Errorf("got route %q (%v), want %q", held.Route, err, route)
		}
	}
}

// I7, I10: the schema of the second program is brought to this one's in place, whoever of
// ten is first; that program goes on beside this one, and its reservations name no route.
func TestSecondSchema(t *testing.T) {
	t.Parallel()
	schema := servertest.Name(t)
	second := withFiles(t, schema, 2)
	if err := second.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := ask("before")
	before.Deferred = true
	reserveOld(t, second, 2, before)
	done := ask("kept 0")
	reserveOld(t, second, 2, done)
	if err := second.Complete(t.Context(), semel.Completion{Key: done.Key, Token: done.Token, Response: semel.Response{Status: 200, Body: []byte("kept 0")}}); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, newTestStore(t, schema).Validate(t.Context()), "validate", 2, newest, "migrate it")
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 10 {
		s := newTestStore(t, schema)
		wg.Go(func() {
			<-start
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()

	s := newTestStore(t, schema)
	replayed(t, s, []semel.Reservation{done})
	after := ask("after")
	reserveOld(t, second, 2, after)
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil || rec.Route != "" || rec.Deferred != (rec.Key == before.Key) {
			t.Errorf("got %+v (%v), want no route", rec, err)
		}
	}
	lapseOf(t, second, after)
	taker := next(after)
	taker.TakeOver, taker.Route = true, "POST /payments"
	if held := reserved(t, s, taker); held.Token != taker.Token || held.Route != taker.Route {
		t.Errorf("got it held by %v with route %q, want it taken over", held.Token, held.Route)
	}
}
