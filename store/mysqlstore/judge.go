package mysqlstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// schemaFinding is the name of the finding about our tables.
const schemaFinding = "schema"

// verdicts collects findings.
type verdicts []semel.Finding

// add appends a finding, which is fine unless something stands against it.
func (v *verdicts) add(name, value string, bad bool, level semel.Level, advice string) {
	if !bad {
		level, advice = semel.Fine, ""
	}
	*v = append(*v, semel.Finding{Name: name, Value: value, Level: level, Advice: advice})
}

// judge says what the facts mean for the promise. It is pure: what is Broken
// here is refused by Validate.
func (f *facts) judge(cfg Config) []semel.Finding {
	var v verdicts
	need, ok := f.oldEnough()
	v.add("version", f.version, !ok, semel.Broken, "Use version "+need+" or newer.")
	f.judgeSession(&v)
	f.judgeTables(&v)
	f.judgeDisk(&v)
	f.judgeCopies(&v, cfg)
	return v
}

// judgeSession looks at what our connections are allowed to do.
func (f *facts) judgeSession(v *verdicts) {
	v.add("database", f.schema, f.schema == "", semel.Broken, "Name a database in the DSN.")
	for _, name := range []string{"read_only", "super_read_only", "innodb_read_only", "transaction_read_only", "tx_read_only"} {
		if value := f.any(name); value != "" {
			v.add(name, value, f.readOnly(name), semel.Broken, "Connect to the server that takes writes; this may be a replica.")
		}
	}
	v.add("autocommit", f.any("autocommit"), !f.on("autocommit"), semel.Broken,
		"Leave autocommit on in the sessions of the store: without it no step is ever committed.")
	mode := f.any("sql_mode")
	v.add("sql_mode", mode, !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES"),
		semel.Broken, "Add STRICT_TRANS_TABLES, or the server cuts values that do not fit.")
	v.add("bytes", map[bool]string{true: "kept", false: "changed"}[f.bytes], !f.bytes, semel.Broken,
		"Use one character set for the connection, such as utf8mb4: the server converts what is sent.")
	format := f.any("binlog_format")
	v.add("binlog_format", format, f.on("log_bin") && format == "STATEMENT", semel.Broken,
		"Set binlog_format to ROW: statements do not replicate READ COMMITTED, nor the clock's microseconds.")
	isolation := f.isolation()
	level, advice := semel.Weak, "Use READ-COMMITTED in the sessions of the store (Open does): every step is right without it, but locks gaps and waits more."
	if isolation == "READ-UNCOMMITTED" {
		level, advice = semel.Broken, "Use READ-COMMITTED in the sessions of the store (Open does): they see what is not committed, and may never be."
	}
	v.add("isolation", isolation, isolation != "READ-COMMITTED", level, advice)
	packet := f.number("max_allowed_packet")
	v.add("max_allowed_packet", f.any("max_allowed_packet"), packet < 4<<20, semel.Weak,
		"Set it to 4M or more: larger responses cannot be kept.")
	v.add("innodb_lock_wait_timeout", f.any("innodb_lock_wait_timeout"), f.number("innodb_lock_wait_timeout") > 5, semel.Weak,
		"Set it to 2 for these sessions: a row that somebody keeps locked holds up the renewal of a thousand leases for as long.")
	wait := f.number("wait_timeout")
	v.add("wait_timeout", f.any("wait_timeout"), wait >= 0 && wait < 60, semel.Weak,
		"Set it to 60 or more, or the pool's ConnMaxIdleTime below it: the server closes connections that the pool keeps.")
}

func (f *facts) readOnly(name string) bool {
	v := f.any(name)
	return f.on(name) || strings.HasPrefix(v, "NO_LOCK") // MariaDB 12 has more values than ON and OFF
}

// judgeTables looks at what Migrate makes.
func (f *facts) judgeTables(v *verdicts) {
	advice := (&SchemaError{Have: f.have, Want: f.want}).Error()
	v.add(schemaFinding, strconv.Itoa(f.have), f.have != f.want, semel.Broken, strings.ToUpper(advice[:1])+advice[1:]+".")
	if f.engine != "" {
		v.add("engine", f.engine, !strings.EqualFold(f.engine, "InnoDB"), semel.Broken,
			"Make the table anew with ENGINE=InnoDB: no other engine keeps a step whole.")
	}
}

// judgeDisk looks at what a power loss takes.
func (f *facts) judgeDisk(v *verdicts) {
	const flush = "innodb_flush_log_at_trx_commit"
	v.add(flush, f.any(flush), !f.flushes(), semel.Weak, "Set it to 1: a crash of the machine loses acknowledged steps.")
	if f.on("log_bin") {
		v.add("sync_binlog", f.any("sync_binlog"), f.number("sync_binlog") != 1, semel.Weak,
			"Set it to 1: a crash of the machine loses acknowledged steps, as recovery follows the binary log.")
	}
	v.add("innodb_doublewrite", f.any("innodb_doublewrite"), f.any("innodb_doublewrite") == "OFF", semel.Weak,
		"Switch it on, unless the file system writes pages whole: a crash may tear a page.")
	method := f.any("innodb_flush_method")
	v.add("innodb_flush_method", method, strings.EqualFold(method, "nosync"), semel.Weak,
		"Use O_DIRECT: nothing is ever synced.")
}

// flushes reports whether a commit waits for the redo log.
func (f *facts) flushes() bool {
	n := f.number("innodb_flush_log_at_trx_commit")
	return n == 1 || n == 3 && f.mariaDB()
}

// durable reports whether the disk of this server keeps what was acknowledged.
func (f *facts) durable() bool {
	return f.flushes() && (!f.on("log_bin") || f.number("sync_binlog") == 1) &&
		!strings.EqualFold(f.any("innodb_flush_method"), "nosync")
}

// judgeCopies looks at what a failover takes.
func (f *facts) judgeCopies(v *verdicts, cfg Config) {
	if f.on("wsrep_on") {
		level := semel.Broken
		if cfg.AcceptGalera {
			level = semel.Weak
		}
		v.add("wsrep_on", f.any("wsrep_on"), true, level,
			"Use a server that is no Galera node, or accept with Config.AcceptGalera that acknowledged steps may be lost and requests run twice.")
	}
	if f.grouped() {
		consistency := f.any("group_replication_consistency")
		v.add("group_replication_consistency", consistency, !f.consistent(), semel.Weak,
			"Set it to BEFORE_ON_PRIMARY_FAILOVER: a new primary may answer before it has caught up.")
		v.add("group_replication_single_primary_mode", f.any("group_replication_single_primary_mode"),
			!f.on("group_replication_single_primary_mode"), semel.Weak,
			"Switch it on: steps on two primaries conflict and are rolled back.")
		v.add("group_members", strconv.Itoa(f.members), f.members < 3, semel.Weak,
			"Run three members or more, and let the store's user read performance_schema.replication_group_members.")
	}
	if f.on(semiSync("enabled")...) {
		point := f.any(semiSync("wait_point")...)
		v.add("semi_sync_wait_point", point, point != "AFTER_SYNC", semel.Weak,
			"Set it to AFTER_SYNC: others see a step before a replica has it.")
		v.add("semi_sync_timeout", f.any(semiSync("timeout")...), f.number(semiSync("timeout")...) < degradeMillis, semel.Weak,
			fmt.Sprintf("Set it to %d or more (milliseconds): after it the server goes on alone.", degradeMillis))
		v.add("semi_sync_wait_no_replica", f.any(waitAlone...), !f.on(waitAlone...), semel.Weak,
			"Switch it on: without a replica the server goes on alone at once.")
		status := f.any(semiSync("status")...)
		v.add("semi_sync_status", status, status != "ON", semel.Weak, "Connect a semi-synchronous replica: steps are on this server only.")
	}
}

// degradeMillis is the shortest time-out with which a server counts as one that
// waits for its replica: a day, in which somebody has looked.
var degradeMillis = (24 * time.Hour).Milliseconds()

// waitAlone names the setting that makes a server without a replica wait.
var waitAlone = []string{"rpl_semi_sync_source_wait_no_replica", "rpl_semi_sync_master_wait_no_slave"}

// semiSync returns the name of a setting on MySQL and on MariaDB.
func semiSync(setting string) []string {
	return []string{"rpl_semi_sync_source_" + setting, "rpl_semi_sync_master_" + setting}
}

func (f *facts) consistent() bool {
	switch f.any("group_replication_consistency") {
	case "BEFORE_ON_PRIMARY_FAILOVER", "AFTER", "BEFORE_AND_AFTER":
		return true
	}
	return false
}

// copied reports whether every acknowledged step is on another server too.
func (f *facts) copied() bool {
	group := f.grouped() && f.consistent() && f.on("group_replication_single_primary_mode") && f.members >= 3
	semi := f.on(semiSync("enabled")...) && f.any(semiSync("wait_point")...) == "AFTER_SYNC" &&
		f.number(semiSync("timeout")...) >= degradeMillis &&
		f.on(waitAlone...) && f.on(semiSync("status")...)
	return group || semi
}

// grade says what the facts amount to.
func (f *facts) grade() semel.Grade {
	switch {
	case f.on("wsrep_on"):
		return semel.Grade{Letter: "C", Survives: "Galera: acknowledged steps may be lost when a node crashes or the network parts."}
	case !f.durable():
		return semel.Grade{Letter: "C", Survives: "A kill of the server; a crash of its machine loses the last steps."}
	case f.copied():
		return semel.Grade{Letter: "A", Survives: "The loss of the primary, when a replica that has acknowledged takes over."}
	}
	return semel.Grade{Letter: "B", Survives: "A crash of the server and of its machine, when the disk keeps what it has synced; a failover to an asynchronous replica loses the last steps."}
}
