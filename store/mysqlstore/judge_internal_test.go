package mysqlstore

import (
	"maps"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// good are the facts of a server that nothing stands against.
func good() *facts {
	return &facts{
		version: "8.4.2", comment: "MySQL Community Server - GPL", schema: "payments", bytes: true, have: 1, want: 1, engine: "InnoDB",
		settings: map[string]string{
			"autocommit": "ON", "binlog_format": "ROW", "innodb_doublewrite": "ON", "innodb_flush_log_at_trx_commit": "1",
			"innodb_flush_method": "O_DIRECT", "innodb_lock_wait_timeout": "2", "innodb_read_only": "OFF", "log_bin": "ON",
			"max_allowed_packet": "67108864", "read_only": "OFF", "sql_mode": "STRICT_TRANS_TABLES", "super_read_only": "OFF",
			"sync_binlog": "1", "transaction_isolation": "READ-COMMITTED", "transaction_read_only": "OFF", "wait_timeout": "28800",
		},
	}
}

// Every setting that the promise rests on is judged: what breaks it is Broken,
// what weakens it is Weak, and the grade follows.
func TestJudge(t *testing.T) {
	t.Parallel()
	group := map[string]string{
		"group_replication_group_name": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "group_replication_consistency": "BEFORE_ON_PRIMARY_FAILOVER",
		"group_replication_single_primary_mode": "ON",
	}
	semi := func(prefix, wait string) map[string]string {
		return map[string]string{
			prefix + "enabled": "ON", prefix + "wait_point": "AFTER_SYNC", prefix + "timeout": "1000000000",
			prefix + wait: "ON", prefix + "status": "ON",
		}
	}
	source := semi("rpl_semi_sync_source_", "wait_no_replica")
	master := semi("rpl_semi_sync_master_", "wait_no_slave")
	with := func(base map[string]string, name, value string) map[string]string {
		m := maps.Clone(base)
		if m == nil {
			m = make(map[string]string)
		}
		m[name] = value
		return m
	}
	one := func(name, value string) map[string]string { return with(nil, name, value) }
	maria := func(f *facts) { f.version = "11.4.2-MariaDB-log" }
	members := func(n int) func(*facts) { return func(f *facts) { f.members = n } }
	galera := Config{AcceptGalera: true}

	for _, c := range []struct {
		what     string
		settings map[string]string
		change   func(*facts)
		cfg      Config
		broken   string // names of findings
		weak     string
		grade    string
	}{
		{what: "good", grade: "B"},
		{what: "MariaDB", change: maria, grade: "B"},
		{what: "old MySQL", change: func(f *facts) { f.version = "5.7.44" }, broken: "version", grade: "B"},
		{what: "old MariaDB", change: func(f *facts) { f.version = "10.4.32-MariaDB" }, broken: "version", grade: "B"},
		{what: "prefixed MariaDB", change: func(f *facts) { f.version = "5.5.5-10.5.0-MariaDB" }, grade: "B"},
		{what: "no version", change: func(f *facts) { f.version = "gateway" }, broken: "version", grade: "B"},
		{what: "no database", change: func(f *facts) { f.schema = "" }, broken: "database", grade: "B"},
		{what: "read_only", settings: one("read_only", "ON"), broken: "read_only", grade: "B"},
		{what: "super_read_only", settings: one("super_read_only", "ON"), broken: "super_read_only", grade: "B"},
		{what: "innodb_read_only", settings: one("innodb_read_only", "ON"), broken: "innodb_read_only", grade: "B"},
		{what: "read_only of MariaDB 12", settings: one("read_only", "NO_LOCK_NO_ADMIN"), broken: "read_only", grade: "B"},
		{what: "read-only sessions", settings: one("transaction_read_only", "ON"), broken: "transaction_read_only", grade: "B"},
		{what: "no autocommit", settings: one("autocommit", "OFF"), broken: "autocommit", grade: "B"},
		{what: "not strict", settings: one("sql_mode", "NO_ENGINE_SUBSTITUTION"), broken: "sql_mode", grade: "B"},
		{what: "bytes", change: func(f *facts) { f.bytes = false }, broken: "bytes", grade: "B"},
		{what: "statements", settings: one("binlog_format", "STATEMENT"), broken: "binlog_format", grade: "B"},
		{what: "statements nowhere", settings: with(one("binlog_format", "STATEMENT"), "log_bin", "OFF"), grade: "B"},
		{what: "older schema", change: func(f *facts) { f.have = 0 }, broken: "schema", grade: "B"},
		{what: "newer schema", change: func(f *facts) { f.have = 2 }, broken: "schema", grade: "B"},
		{what: "MyISAM", change: func(f *facts) { f.engine = "MyISAM" }, broken: "engine", grade: "B"},
		{what: "isolation", settings: one("transaction_isolation", "REPEATABLE-READ"), weak: "isolation", grade: "B"},
		{what: "dirty reads", settings: one("transaction_isolation", "READ-UNCOMMITTED"), broken: "isolation", grade: "B"},
		{what: "packet", settings: one("max_allowed_packet", "1048576"), weak: "max_allowed_packet", grade: "B"},
		{what: "impatient", settings: one("wait_timeout", "10"), weak: "wait_timeout", grade: "B"},

		{what: "flush 0", settings: one("innodb_flush_log_at_trx_commit", "0"), weak: "innodb_flush_log_at_trx_commit", grade: "C"},
		{what: "flush 2", settings: one("innodb_flush_log_at_trx_commit", "2"), weak: "innodb_flush_log_at_trx_commit", grade: "C"},
		{what: "flush 3", settings: one("innodb_flush_log_at_trx_commit", "3"), change: maria, grade: "B"},
		{what: "binary log", settings: one("sync_binlog", "0"), weak: "sync_binlog", grade: "C"},
		{what: "no binary log", settings: with(one("sync_binlog", "0"), "log_bin", "OFF"), grade: "B"},
		{what: "nosync", settings: one("innodb_flush_method", "nosync"), weak: "innodb_flush_method", grade: "C"},
		{what: "doublewrite", settings: one("innodb_doublewrite", "OFF"), weak: "innodb_doublewrite", grade: "B"},

		{what: "Galera", settings: one("wsrep_on", "ON"), broken: "wsrep_on", grade: "C"},
		{what: "Galera, accepted", settings: one("wsrep_on", "ON"), cfg: galera, weak: "wsrep_on", grade: "C"},
		{what: "no Galera", settings: one("wsrep_on", "OFF"), grade: "B"},

		{what: "group", settings: group, change: members(3), grade: "A"},
		{what: "group of two", settings: group, change: members(2), weak: "group_members", grade: "B"},
		{what: "group of unknown size", settings: group, change: members(-1), weak: "group_members", grade: "B"},
		{
			what: "eventual group", settings: with(group, "group_replication_consistency", "EVENTUAL"), change: members(3),
			weak: "group_replication_consistency", grade: "B",
		},
		{
			what: "group of primaries", settings: with(group, "group_replication_single_primary_mode", "OFF"), change: members(3),
			weak: "group_replication_single_primary_mode", grade: "B",
		},
		{
			what: "group that does not sync", settings: with(group, "innodb_flush_log_at_trx_commit", "2"), change: members(3),
			weak: "innodb_flush_log_at_trx_commit", grade: "C",
		},

		{what: "semi-sync", settings: source, grade: "A"},
		{what: "semi-sync of MariaDB", settings: master, change: maria, grade: "A"},
		{what: "semi-sync too late", settings: with(source, "rpl_semi_sync_source_wait_point", "AFTER_COMMIT"), weak: "semi_sync_wait_point", grade: "B"},
		{what: "semi-sync that gives up", settings: with(source, "rpl_semi_sync_source_timeout", "10000"), weak: "semi_sync_timeout", grade: "B"},
		{what: "semi-sync without a replica", settings: with(source, "rpl_semi_sync_source_status", "OFF"), weak: "semi_sync_status", grade: "B"},
		{
			what: "semi-sync that does not wait", settings: with(source, "rpl_semi_sync_source_wait_no_replica", "OFF"),
			weak: "semi_sync_wait_no_replica", grade: "B",
		},
		{what: "semi-sync off", settings: with(source, "rpl_semi_sync_source_enabled", "OFF"), grade: "B"},
	} {
		f := good()
		maps.Copy(f.settings, c.settings)
		if c.change != nil {
			c.change(f)
		}
		names := map[semel.Level][]string{}
		for _, finding := range f.judge(c.cfg) {
			names[finding.Level] = append(names[finding.Level], finding.Name)
			if (finding.Advice == "") != (finding.Level == semel.Fine) || finding.Name == "" {
				t.Errorf("%s: %s is %v and has the advice %q", c.what, finding.Name, finding.Level, finding.Advice)
			}
		}
		if got := strings.Join(names[semel.Broken], " "); got != c.broken {
			t.Errorf("%s: got broken %q, want %q", c.what, got, c.broken)
		}
		if got := strings.Join(names[semel.Weak], " "); got != c.weak {
			t.Errorf("%s: got weak %q, want %q", c.what, got, c.weak)
		}
		if got := f.grade(); got.Letter != c.grade || got.Survives == "" {
			t.Errorf("%s: got grade %q, want %q", c.what, got.Letter, c.grade)
		}
	}
}

// Statement files are whole, and hold no value but through a parameter.
func TestStatements(t *testing.T) {
	t.Parallel()
	s, err := newStatements("some_table")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(append(s.steps(s.formsOf(server("11.4.2-MariaDB"))), s.steps(s.formsOf(server("8.4.0")))...), s.renew, s.renewWhole, s.renewHeld, s.purgeFind, s.purge, s.window, s.list, s.listSlot, s.ping,
		s.reseal, s.audit, s.auditResult, s.trail, s.trailSlot) {
		text = lists(text, 3)
		if strings.ContainsAny(text, "{}") {
			t.Errorf("a placeholder is left in %s", text)
		}
		if !strings.Contains(text, "`some_table") {
			t.Errorf("the table is not in %s", text)
		}
		for line := range strings.Lines(text) {
			if comment, ok := strings.CutPrefix(line, "--"); ok && strings.ContainsAny(comment, "?'`\"") {
				t.Errorf("a comment has what a driver may take for a parameter or a quote: %s", line)
			}
		}
	}
}
