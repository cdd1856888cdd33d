package sqlitestore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// A bound that is smaller than the clock's microsecond is one all the same.
func TestBoundsOfAge(t *testing.T) {
	t.Parallel()
	const now = 1_000_000
	const all = math.MaxInt64
	for _, c := range []struct {
		filter      semel.Filter
		top, bottom int64
	}{
		{semel.Filter{}, all, math.MinInt64},
		{semel.Filter{MinAge: -1, MaxAge: -1}, all, math.MinInt64},
		{semel.Filter{MinAge: 1}, now - 1, math.MinInt64},
		{semel.Filter{MinAge: time.Microsecond}, now - 1, math.MinInt64},
		{semel.Filter{MinAge: 1001}, now - 2, math.MinInt64},
		{semel.Filter{MaxAge: 1}, all, now},
		{semel.Filter{MaxAge: 1999}, all, now - 1},
		{semel.Filter{MinAge: math.MaxInt64, MaxAge: math.MaxInt64}, now - math.MaxInt64/1000 - 1, now - math.MaxInt64/1000},
		{semel.Filter{MinAge: 1, After: semel.Place{CreatedAt: time.UnixMicro(5), Slot: semel.Slot{1}}}, 5, math.MinInt64},
		{semel.Filter{After: semel.Place{CreatedAt: time.UnixMicro(5)}}, 4, math.MinInt64},
		{semel.Filter{MinAge: 1, After: semel.Place{CreatedAt: time.UnixMicro(now + 5)}}, now - 1, math.MinInt64},
	} {
		q, err := newQuery(c.filter, now)
		if err != nil || q.top.created != c.top || q.bottom != c.bottom {
			t.Errorf("%+v: got %d to %d (%v), want %d to %d", c.filter, q.top.created, q.bottom, err, c.top, c.bottom)
		}
	}
}

// fillOld writes n reservations past the store, so many of each age, the last one the
// youngest. Every hundredth has the route "rare".
func fillOld(t *testing.T, s *Store, n, alike int) {
	t.Helper()
	err := s.with(readWrite, writerPragmas, func(c *conn) error {
		p := preparer{conn: c}
		insert := p.text("insert", c.fill(`INSERT INTO {slots} (slot, scope, key, state, fingerprint, token, fence, lease_until, attempts, lapses,
			owner, created_at, expires_at, route) VALUES (?, 's', ?, 1, zeroblob(32), zeroblob(16), 1, 1, 1, 0, '', ?, 9000000000000000, ?)`, true))
		if err := errors.Join(p.err, c.script("BEGIN IMMEDIATE")); err != nil {
			return err
		}
		for i := range n {
			route := "often"
			if i%100 == 0 {
				route = "rare"
			}
			key := semel.Key{Scope: "s", ID: fmt.Sprint(i)}
			slot := key.Slot()
			if _, err := insert.exec(slot[:], key.ID, int64(i/alike), route); err != nil {
				return err
			}
		}
		return c.script("COMMIT")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A page costs what is on it, wherever it is: it looks at no more rows than a few. One
// whose records are rare looks at ever more at a time, and at each row once.
func TestPageLooksAtFewRows(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	const n = 3_000
	fillOld(t, s, n, 3)
	for _, c := range []struct {
		filter semel.Filter
		reads  int
		rows   int64 // that are looked at, at most
	}{
		{semel.Filter{Limit: 20}, 1, 64},
		{semel.Filter{Limit: 20, After: semel.Place{CreatedAt: time.UnixMicro(n / 6)}}, 1, 64},
		{semel.Filter{Limit: 20, MinAge: time.Since(time.UnixMicro(n / 6))}, 1, 64},
		{semel.Filter{Limit: 200, MaxAge: time.Since(time.UnixMicro(0))}, 1, 200},
		{semel.Filter{Limit: 10, Route: "rare"}, 3, 64 + 256 + 1024},
		{semel.Filter{Limit: 10, Route: "none"}, 4, n},
		{semel.Filter{}, 1, n},
	} {
		q, err := newQuery(c.filter, s.clock.now())
		if err != nil {
			t.Fatal(err)
		}
		reads, found := 0, 0
		var rows int64
		for !q.over {
			if rows += q.window; q.window > q.most || reads > c.reads {
				break
			}
			err := s.readers.with(func(c *readConn) error {
				page, err := q.next(c)
				found += len(page)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			reads++
		}
		if reads > c.reads || min(rows, n) > c.rows {
			t.Errorf("%+v: got %d records in %d reads of %d rows, want %d and %d", c.filter, found, reads, rows, c.reads, c.rows)
		}
	}
}

// What is reserved or free is found at once among many that are completed, however far back
// it lies, and in the same order.
func TestOpenRecordsAreFoundAtOnce(t *testing.T) {
	t.Parallel()
	for _, alike := range []int{1, 70} {
		s := openInternal(t)
		const n = 3_000
		fillOld(t, s, n, alike)
		err := s.with(readWrite, writerPragmas, func(c *conn) error {
			return c.script(c.fill(`UPDATE {slots} SET state = CASE WHEN route = 'often' THEN 2 WHEN id % 200 = 1 THEN 0 ELSE 1 END`, true))
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []semel.Filter{
			{Lapsed: true},
			{Lapsed: true, States: []semel.State{semel.StateReserved}},
			{States: []semel.State{semel.StateReserved}},
			{States: []semel.State{semel.StateFree}},
		} {
			got := listed(t, s, f)
			sorted := slices.IsSortedFunc(got, func(a, b semel.Record) int { return b.CreatedAt.Compare(a.CreatedAt) })
			if len(got) != n/200 || distinct(got) != n/200 || !sorted {
				t.Errorf("%d alike, %+v: got %d of %d records, want %d, the youngest first", alike, f, distinct(got), len(got), n/200)
			}
			f.Limit = n / 200
			q, err := newQuery(f, s.clock.now())
			if err != nil {
				t.Fatal(err)
			}
			err = s.readers.with(func(c *readConn) error {
				got, err = q.next(c)
				return err
			})
			if err != nil || len(got) != n/200 || !q.over {
				t.Errorf("%d alike, %+v: got %d records in one read, error %v, want %d", alike, f, len(got), err, n/200)
			}
		}
	}
}

// Windows lose nothing, and repeat nothing, also when more records than a window has are
// as old as one another; nor do pages that go on behind a place.
func TestWindowsLoseNothing(t *testing.T) {
	t.Parallel()
	const n = 600
	for _, alike := range []int{1, 3, 70, n} {
		s := openInternal(t)
		fillOld(t, s, n, alike)
		for want, f := range map[int]semel.Filter{n: {}, n / 100: {Route: "rare"}, 5: {Route: "rare", Limit: 5}, 123: {Limit: 123}} {
			got := listed(t, s, f)
			sorted := slices.IsSortedFunc(got, func(a, b semel.Record) int { return b.CreatedAt.Compare(a.CreatedAt) })
			if len(got) != want || distinct(got) != want || !sorted {
				t.Errorf("%d alike, %+v: got %d of %d records, want %d, the youngest first", alike, f, distinct(got), len(got), want)
			}
		}
		for _, size := range []int{17, 100} {
			var all []semel.Record
			for f := (semel.Filter{Limit: size}); ; {
				page := listed(t, s, f)
				if len(page) == 0 || len(all) > 2*n {
					break
				}
				all = append(all, page...)
				f.After = page[len(page)-1].Place()
			}
			if len(all) != n || distinct(all) != n {
				t.Errorf("%d alike, pages of %d: got %d of %d records, want %d", alike, size, distinct(all), len(all), n)
			}
		}
	}
}

// listed reads a list in windows of up to 50 rows.
func listed(t *testing.T, s *Store, f semel.Filter) (all []semel.Record) {
	t.Helper()
	q, err := newQuery(f, s.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	for q.window, q.most = 10, 50; !q.over && len(all) < 5_000; {
		err := s.readers.with(func(c *readConn) error {
			found, err := q.next(c)
			all = append(all, found...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func distinct(records []semel.Record) int {
	seen := make(map[semel.Key]bool)
	for _, rec := range records {
		seen[rec.Key] = true
	}
	return len(seen)
}

// A step of a list looks at as many rows as it may, and each goes on where the last one
// ended, also among rows that are as old as one another.
func TestSiftLooksAtFewRows(t *testing.T) {
	t.Parallel()
	const n = 3_000
	for _, alike := range []int{1, 3, 70} {
		s := openInternal(t)
		fillOld(t, s, n, alike)
		for _, c := range []struct {
			filter      semel.Filter
			most, steps int
			want        int
		}{
			{semel.Filter{Route: "rare"}, 100, n / 100, n / 100},
			{semel.Filter{Route: "none"}, 300, n / 300, 0},
			{semel.Filter{Route: "rare", States: []semel.State{semel.StateReserved}, Limit: 5}, 1000, n / 500, n / 100},
			{semel.Filter{}, n, 1, n},
		} {
			var all []semel.Record
			steps := 0
			for f := c.filter; steps <= c.steps; steps++ {
				found, next, err := s.Sift(t.Context(), f, c.most)
				if err != nil {
					t.Fatal(err)
				}
				if room := c.most + alike; len(found) > room || f.Limit > 0 && len(found) > f.Limit {
					t.Errorf("%d alike, %+v: got %d records, want at most %d", alike, f, len(found), room)
				}
				if all = append(all, found...); next.IsZero() {
					break
				}
				if !f.After.IsZero() && !next.CreatedAt.Before(f.After.CreatedAt) && next.Slot == f.After.Slot {
					t.Fatalf("%d alike, %+v: a step ended at %v", alike, f, next)
				}
				f.After = next
			}
			least := (c.steps - 1) * c.most / (c.most + alike) / 2 // a step must not look at everything
			if len(all) != c.want || distinct(all) != c.want || steps > c.steps || steps < least {
				t.Errorf("%d alike, %+v: got %d of %d records in %d steps, want %d in %d to %d", alike, c.filter, distinct(all), len(all), steps, c.want, least, c.steps)
			}
		}
	}
}

// A step that begins behind all of one age comes further, however few rows it may look at.
func TestSiftComesFurther(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	fillOld(t, s, 60, 20)
	place := semel.Place{}
	for range 4 { // the last one finds nothing behind
		_, next, err := s.Sift(t.Context(), semel.Filter{Route: "none", After: place}, 1)
		if err != nil {
			t.Fatal(err)
		}
		place = next
	}
	if !place.IsZero() {
		t.Errorf("got a place at %v after a step for each age, want the end", place)
	}
}

// Three digits of a slot mean one of 4096 records: those are read through their index, in
// one read, and not all that are younger.
func TestShortPrefixUsesItsIndex(t *testing.T) {
	t.Parallel()
	s := openInternal(t)
	fillOld(t, s, 100, 1)
	want := semel.Key{Scope: "s", ID: "3"}
	q, err := newQuery(semel.Filter{Slot: want.Slot().String()[:3], Limit: 10}, s.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	var found []semel.Record
	err = s.readers.with(func(c *readConn) error {
		found, err = q.next(c)
		return err
	})
	if err != nil || len(found) != 1 || found[0].Key != want || !q.over {
		t.Errorf("got %d records, error %v, want the one in one read", len(found), err)
	}
}
