package pgstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// oldest is the oldest server that the statements are written for.
const oldest = 120000

// settings are what a look at the server reads.
var settings = []string{
	"fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "data_checksums",
	"autovacuum", "track_counts", "default_transaction_isolation",
	"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
}

// facts are what a look at the server found. The zero value is a server of which
// nothing is known.
type facts struct {
	version       string
	versionNum    int32
	clock         int64
	recovery      bool
	readOnly      bool
	pooled        bool
	set           map[string]string
	schema        *SchemaError // nil: as it should be
	schemaVersion int
	lacking       []string // rights
	qualified     string   // the table
}

// look asks the server, and remembers what is needed later.
func (s *Store) look(ctx context.Context) (*facts, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	table := s.names.qualified(s.names.table)
	f := &facts{set: make(map[string]string), qualified: table}
	var pid uint32
	var there bool
	var values []string
	err = conn.QueryRow(ctx, s.sql.server, pgx.QueryExecModeExec, s.names.qualified(s.names.migrations()), table, settings).
		Scan(&pid, &f.version, &f.versionNum, &f.clock, &f.recovery, &f.readOnly, &there, &values)
	if err != nil {
		return nil, err
	}
	for i, name := range settings {
		f.set[name] = values[i]
	}
	f.pooled = s.wayTo(conn, pid)
	if there {
		if err := conn.QueryRow(ctx, s.sql.version, pgx.QueryExecModeExec).Scan(&f.schemaVersion); err != nil {
			return nil, err
		}
		rows, err := conn.Query(ctx, s.sql.rights, pgx.QueryExecModeExec, table)
		if err != nil {
			return nil, err
		}
		if f.lacking, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	if f.schema, err = s.names.compare(f.schemaVersion); err != nil {
		return nil, err
	}
	g := f.grade()
	s.grade.Store(&g)
	return f, nil
}

func (f *facts) server() string { return "PostgreSQL " + f.version }

// unfit says why the store must not serve.
func (f *facts) unfit() error {
	err := semel.Unfit(f.findings())
	switch {
	case err == nil:
		return nil
	case f.recovery || f.readOnly:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case f.schema != nil && f.versionNum >= oldest:
		return f.schema
	}
	return err
}

// grade says what the settings promise. Nothing known counts as the worst.
func (f *facts) grade() semel.Grade {
	commit := f.set["synchronous_commit"]
	switch {
	case f.set["fsync"] != "on" || f.set["full_page_writes"] != "on":
		return semel.Grade{
			Letter:   "C",
			Survives: "A kill of the programs; not a crash of the server's machine, after which the database may be damaged.",
		}
	case commit == "off":
		return semel.Grade{
			Letter:   "C",
			Survives: "A kill of this process; not a crash of the server, which forgets the last steps that it acknowledged.",
		}
	case f.set["synchronous_standby_names"] != "" && (commit == "on" || commit == "remote_apply"):
		return semel.Grade{
			Letter:   "A",
			Survives: "The loss of the server, when a synchronous standby takes over; not a failover to another one.",
		}
	}
	return semel.Grade{
		Letter:   "B",
		Survives: "A crash of the server and, when its disk keeps what it has synced, a power loss; not a failover to a replica.",
	}
}

// Inspect implements [semel.Inspector].
func (s *Store) Inspect(ctx context.Context) (semel.Inspection, error) {
	f, err := s.look(ctx)
	if err != nil {
		return semel.Inspection{}, explain("inspect", err)
	}
	return f.inspection(), nil
}

func (f *facts) inspection() semel.Inspection {
	return semel.Inspection{Server: f.server(), Clock: time.UnixMicro(f.clock), Findings: f.findings()}
}

// findings judges the facts.
func (f *facts) findings() []semel.Finding {
	var all []semel.Finding
	add := func(name, value string, fine bool, level semel.Level, advice string) {
		if fine {
			level, advice = semel.Fine, ""
		}
		all = append(all, semel.Finding{Name: name, Value: value, Level: level, Advice: advice})
	}
	setting := func(name string, fine bool, level semel.Level, advice string) {
		add(name, f.set[name], fine, level, advice)
	}

	add("server_version", f.version, f.versionNum >= oldest, semel.Broken, "Use PostgreSQL 12 or newer: older ones do not know the statements.")
	role := "primary"
	if f.recovery {
		role = "replica"
	}
	add("role", role, !f.recovery, semel.Broken, "Name the primary: a replica takes no writes.")
	if !f.recovery {
		add("transaction_read_only", onOff(f.readOnly), !f.readOnly, semel.Broken,
			"Set default_transaction_read_only to off for this role: steps are writes.")
	}
	schema := fmt.Sprint(f.schemaVersion)
	if f.schema != nil {
		add("schema", schema, false, semel.Broken, sentence(f.schema.advice()))
	} else {
		add("schema", schema, true, semel.Fine, "")
		f.rights(add)
	}
	setting("fsync", f.set["fsync"] == "on", semel.Weak, "Set it to on: without it a power loss damages the database and loses records.")
	setting("full_page_writes", f.set["full_page_writes"] == "on", semel.Weak,
		"Set it to on: without it a power loss in the middle of a page damages the database.")
	f.commit(setting)
	setting("data_checksums", f.set["data_checksums"] == "on", semel.Weak,
		"Enable them with pg_checksums: without them a response that the disk has damaged is replayed.")
	setting("autovacuum", f.set["autovacuum"] == "on" && f.set["track_counts"] == "on", semel.Weak,
		"Set autovacuum and track_counts to on: the room of purged records is not used again without it.")
	setting("default_transaction_isolation", f.set["default_transaction_isolation"] == "read committed", semel.Weak,
		"Set it to read committed for this role: at higher levels steps that meet are refused, and the store repeats them.")
	setting("statement_timeout", true, semel.Fine, "")
	setting("lock_timeout", true, semel.Fine, "")
	setting("idle_in_transaction_session_timeout", true, semel.Fine, "")
	way := "none seen"
	if f.pooled {
		way = "seen"
	}
	add("pooler", way, true, semel.Fine, "")
	return all
}

func (f *facts) rights(add func(name, value string, fine bool, level semel.Level, advice string)) {
	if len(f.lacking) == 0 {
		add("rights", "all", true, semel.Fine, "")
		return
	}
	level, why := semel.Broken, "steps need them."
	list := strings.Join(f.lacking, ", ")
	if list == "DELETE" {
		level, why = semel.Weak, "without it nothing can be purged."
	}
	add("rights", "without "+list, false, level, fmt.Sprintf("GRANT %s ON %s to this role: %s", list, f.qualified, why))
}

// commit judges what a commit waits for.
func (f *facts) commit(setting func(name string, fine bool, level semel.Level, advice string)) {
	standbys := f.set["synchronous_standby_names"] != ""
	commit := f.set["synchronous_commit"]
	fine := commit == "on" || commit == "remote_apply" || !standbys && commit != "off"
	advice := "Set it to on for this role: a crash of the server forgets steps that were acknowledged."
	if commit != "off" {
		advice = "Set it to on for this role: a standby is configured, and no step waits until it has kept it."
	}
	setting("synchronous_commit", fine, semel.Weak, advice)
	setting("synchronous_standby_names", true, semel.Fine, "")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
