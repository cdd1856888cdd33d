package mysqlstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// levels returns the findings of a store by name.
func levels(t *testing.T, s *mysqlstore.Store) (semel.Inspection, map[string]semel.Finding) {
	t.Helper()
	in, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]semel.Finding)
	for _, f := range in.Findings {
		byName[f.Name] = f
	}
	return in, byName
}

// A server with the settings of production has nothing but fine findings when
// Open made the sessions, and grade B.
func TestInspect(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	s := open(t, dsn, mysqlstore.Config{})
	if g := s.Grade(); g.Letter != "C" {
		t.Errorf("got grade %s of a server that was not asked, want C", g.Letter)
	}
	in, byName := levels(t, s)
	if !strings.HasPrefix(in.Server, "MariaDB 1") {
		t.Errorf("got server %q", in.Server)
	}
	for _, f := range in.Findings {
		if f.Level != semel.Fine {
			t.Errorf("got %s %q %v: %s", f.Name, f.Value, f.Level, f.Advice)
		}
	}
	if f := byName["isolation"]; f.Value != "READ-COMMITTED" {
		t.Errorf("got isolation %q, want READ-COMMITTED", f.Value)
	}
	if g := s.Grade(); g.Letter != "B" {
		t.Errorf("got grade %s, want B", g.Letter)
	}
	if byName["schema"].Value != "3" {
		t.Errorf("got schema %q, want 3", byName["schema"].Value)
	}
	_, byName = levels(t, openOnly(t, dsn, mysqlstore.Config{Table: "other"}))
	if f := byName["schema"]; f.Level != semel.Broken {
		t.Errorf("got a missing schema %v, want it broken", f.Level)
	}
	_, byName = levels(t, on(t, pool(t, dsn), mysqlstore.Config{}))
	if f := byName["isolation"]; f.Level != semel.Weak {
		t.Errorf("got REPEATABLE READ %v, want it weak", f.Level)
	}
}

// A server that does not sync is grade C and says why, and so is one whose
// binary log is not synced. One that writes statements to it is refused.
func TestInspectWeakServer(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb-flush-log-at-trx-commit=2", "log-bin=binlog", "sync-binlog=0", "server-id=1",
		"rpl-semi-sync-master-enabled=ON")
	dsn := database(t, server, "")
	s := open(t, dsn, mysqlstore.Config{})
	works(t, s)
	if g := s.Grade(); g.Letter != "C" {
		t.Errorf("got grade %s, want C", g.Letter)
	}
	_, byName := levels(t, s)
	for _, name := range []string{"innodb_flush_log_at_trx_commit", "sync_binlog", "semi_sync_wait_point", "semi_sync_timeout"} {
		if f := byName[name]; f.Level != semel.Weak {
			t.Errorf("got %s %q %v, want it weak", name, f.Value, f.Level)
		}
	}
	run(t, pool(t, dsn), "SET GLOBAL binlog_format = STATEMENT")
	fresh := openOnly(t, dsn, mysqlstore.Config{})
	if _, err := fresh.Reserve(t.Context(), reservation("k")); err == nil || !strings.Contains(err.Error(), "binlog_format") {
		t.Errorf("got %v, want statements in the binary log refused", err)
	}
}

// The store's clock is the server's, whatever the time zone of the session, also
// in the hour of autumn that happens twice.
func TestClockInAutumn(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	dsn := database(t, server, "")
	db := pool(t, dsn)
	for _, text := range []string{
		"INSERT INTO mysql.time_zone VALUES (9, 'N')",
		"INSERT INTO mysql.time_zone_name VALUES ('Test/Zone', 9)",
		"INSERT INTO mysql.time_zone_transition_type VALUES (9, 0, 7200, 1, 'CEST'), (9, 1, 3600, 0, 'CET')",
		"INSERT INTO mysql.time_zone_transition VALUES (9, 1743296400, 0), (9, 1761440400, 1)",
	} {
		run(t, db, text)
	}
	open(t, dsn, mysqlstore.Config{})
	wrong := 0
	for _, second := range []int64{1761438600, 1761442200} { // half past two, and an hour later
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Params = map[string]string{"time_zone": "'Test/Zone'", "timestamp": fmt.Sprint(second, ".25")}
		db := pool(t, cfg.FormatDSN())
		var naive float64
		if err := db.QueryRow("SELECT UNIX_TIMESTAMP(NOW(6))").Scan(&naive); err != nil {
			t.Fatal(err)
		}
		if int64(naive) != second {
			wrong++
		}
		s := on(t, db, mysqlstore.Config{})
		in, _ := levels(t, s)
		if want := time.Unix(second, 250e6).UTC(); !in.Clock.Equal(want) {
			t.Errorf("got the clock %v, want %v", in.Clock, want)
		}
		r := reservation(fmt.Sprint(second))
		if held := mustReserve(t, s, r); held.Fence != second*1e6+250_000 {
			t.Errorf("got fence %d, want the clock in microseconds, %d", held.Fence, second*1e6+250_000)
		}
		slot, until := r.Key.Slot(), int64(0)
		if err := db.QueryRow("SELECT lease_until FROM semel_slots WHERE slot = ?", slot[:]).Scan(&until); err != nil {
			t.Fatal(err)
		}
		if want := second*1e6 + 250_000 + r.Lease.Microseconds(); until != want {
			t.Errorf("got a lease until %d, want %d: it counts from the server's clock", until, want)
		}
	}
	if wrong == 0 {
		t.Error("the session's time zone has no hour that happens twice: the test shows nothing")
	}
}
