package pgstore

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// migrated is a store in a schema of its own.
func migrated(t *testing.T) *Store {
	t.Helper()
	s := newTestStore(t, servertest.Name(t))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// begin begins a transaction, which has a time of its own from then on.
func begin(t *testing.T, s *Store) pgx.Tx {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(t.Context()) })
	number[int64](t, s, tx, "SELECT (extract(epoch FROM now()) * 1000000)::bigint")
	return tx
}

// number returns the one value of a query of a test's own.
func number[T any](t *testing.T, s *Store, q querier, text string, args ...any) (v T) {
	t.Helper()
	if err := q.QueryRow(t.Context(), s.names.replacer.Replace(text), args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// clock is the server's, in microseconds since 1970.
func clock(t *testing.T, s *Store, q querier) int64 {
	t.Helper()
	return number[int64](t, s, q, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
}

// I4, I10: inside a transaction that began earlier, leases and retentions count
// from the step, and not from the beginning of the transaction.
func TestTimeOfTheStep(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	r := ask("a")
	tx := begin(t, s)
	before := clock(t, s, tx)
	held, err := s.reserve(t.Context(), tx, r.Key.Slot(), r, 1)
	if err != nil || held.Token != r.Token {
		t.Fatalf("got it held by %v (%v)", held.Token, err)
	}
	const leaseUntil = `SELECT lease_until FROM "slots"`
	if held.CreatedAt.UnixMicro() < before || number[int64](t, s, tx, leaseUntil) < before+micros(r.Lease) {
		t.Errorf("got a reservation %d µs older than its step", before-held.CreatedAt.UnixMicro())
	}
	before = clock(t, s, tx)
	slot := r.Key.Slot()
	rows, err := tx.Query(t.Context(), s.sql.renew, [][]byte{slot[:]}, [][]byte{r.Token[:]}, micros(r.Lease))
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := tokensOf(rows); err != nil || !renewed[r.Token] {
		t.Fatalf("got %d renewed (%v)", len(renewed), err)
	}
	if until := number[int64](t, s, tx, leaseUntil); until < before+micros(r.Lease) {
		t.Errorf("got a lease that counts from %d µs before its renewal", before+micros(r.Lease)-until)
	}
}

// I10: an attempt that completes its slot in a long transaction, in which its
// lease has ended, is late: its response is kept for a whole retention from then.
func TestLateInALongTransaction(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	r := ask("a")
	if _, err := s.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, s) // the lease runs
	const end = `UPDATE "slots" SET lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint RETURNING lease_until`
	ended := number[int64](t, s, s.pool, end)
	for clock(t, s, tx) <= ended { //nolint:revive // the server's clock goes on
	}
	if began := number[int64](t, s, tx, "SELECT (extract(epoch FROM now()) * 1000000)::bigint"); began >= ended {
		t.Fatal("the lease ended before the transaction began: the test shows nothing")
	}
	before := clock(t, s, tx)
	c := semel.Completion{Key: r.Key, Token: r.Token, Retention: r.Retention, Response: semel.Response{Status: 200}}
	if err := s.complete(t.Context(), tx, c); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if until := number[int64](t, s, s.pool, `SELECT expires_at FROM "slots"`); until < before+micros(r.Retention) {
		t.Errorf("got a response that is kept for %d µs less than its retention", before+micros(r.Retention)-until)
	}
}

// I10: what is late, lapsed or over is so by the server's clock, and not by that of
// this program: a server whose clock is a day off is right.
func TestClockOfTheServer(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	for _, offset := range []string{"1 day", "-1 day"} {
		s := migrated(t)
		other := servertest.Name(t)
		for _, text := range []string{
			"CREATE SCHEMA " + other,
			"CREATE FUNCTION " + other + ".clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE SQL AS " +
				"$$SELECT pg_catalog.clock_timestamp() + interval '" + offset + "'$$",
		} {
			if _, err := s.pool.Exec(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		shifted, err := Open(t.Context(), url+"&search_path="+other+",pg_catalog", Config{Schema: s.names.schema, Logger: s.logger})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = shifted.Close() })
		in, err := shifted.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(in.Clock).Abs(); off < 23*time.Hour {
			t.Fatalf("%s: the server's clock is only %v off: the test shows nothing", offset, off)
		}
		before := clock(t, shifted, shifted.pool)
		r := ask("a")
		held, err := shifted.Reserve(t.Context(), r)
		after := clock(t, shifted, shifted.pool)
		if err != nil || held.CreatedAt.UnixMicro() < before || held.CreatedAt.UnixMicro() > after {
			t.Fatalf("%s: got %v (%v), want the time of the server", offset, held.CreatedAt, err)
		}
		until := number[int64](t, s, s.pool, `SELECT lease_until FROM "slots"`) - micros(r.Lease)
		if until < before || until > after {
			t.Errorf("%s: got a lease that counts from %v, want it to count from the server's time", offset, timeOf(until))
		}
	}
}
