package pgstore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// migrateLock is the advisory lock of all migrations of all stores in one
// database. It spells "semelpgs".
const migrateLock = 0x73656d656c706773

// SchemaError says that the database has another schema than this program's.
type SchemaError struct {
	// Have is the version in the database, 0 when there is none; Want is that of
	// this program.
	Have, Want int
	// Table is the table, with its schema, quoted.
	Table string
}

// Error names the versions and what to do.
func (e *SchemaError) Error() string {
	switch {
	case e.Have == 0:
		return fmt.Sprintf("there is no schema for %s: %s", e.Table, e.advice())
	case e.Have > e.Want:
		return fmt.Sprintf("%s has schema %d, and this program knows none after %d: %s", e.Table, e.Have, e.Want, e.advice())
	}
	return fmt.Sprintf("%s has schema %d, and this program needs %d: %s", e.Table, e.Have, e.Want, e.advice())
}

func (e *SchemaError) advice() string {
	if e.Have > e.Want {
		return "use a newer program"
	}
	return "migrate it, with Store.Migrate or semel schema apply"
}

// migration brings a schema from the version before to its own.
type migration struct {
	version int
	sql     string
}

// list returns the schema files in their order: 0001_name.sql has version 1, and
// there is no gap.
func (n *names) list() ([]migration, error) {
	entries, err := fs.ReadDir(n.files, "schema") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(all)+1 {
			return nil, fmt.Errorf("schema file %s is not number %d", e.Name(), len(all)+1)
		}
		text, err := fs.ReadFile(n.files, "schema/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, n.replacer.Replace(string(text))})
	}
	return all, nil
}

// compare returns nil when a schema of version have is this program's.
func (n *names) compare(have int) (*SchemaError, error) {
	all, err := n.list()
	if err != nil || have == len(all) {
		return nil, err
	}
	return &SchemaError{Have: have, Want: len(all), Table: n.qualified(n.table)}, nil
}

// recorded is a migration and the note that it was applied.
func (n *names) recorded(m migration) string {
	return fmt.Sprintf("%s\nINSERT INTO %s (version) VALUES (%d);\n", m.sql, n.qualified(n.migrations()), m.version)
}

// Schema returns the statements by which [Store.Migrate] makes the schema of the
// zero [Config], for reading, or for running by somebody who may.
func Schema() string {
	n, err := newNames("", "")
	if err != nil {
		return "" // these names are good
	}
	return n.script()
}

// Schema is [Schema] with the names of this store.
func (s *Store) Schema() string { return s.names.script() }

func (n *names) script() string {
	all, err := n.list()
	if err != nil {
		return "" // the files are part of the program; a test reads them
	}
	var b strings.Builder
	b.WriteString("BEGIN;\n\n")
	if n.schema != defaultSchema {
		fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n\n", pgx.Identifier{n.schema}.Sanitize())
	}
	b.WriteString(n.statement("migrations"))
	for _, m := range all {
		b.WriteString("\n" + n.recorded(m))
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String()
}

// Migrate makes the schema, or brings it to this version, in one transaction. A
// table that was dropped is made again. It changes nothing, and needs no right
// to, when that is done already. Any number of processes may run it at once: they
// wait for one another. It ends when ctx does. A newer schema is a
// [*SchemaError].
//
// A program of the schema before goes on with the new one, until it is started
// again. Bringing a table to a new schema rewrites no row, but waits for
// transactions that use the table, and steps wait behind it.
func (s *Store) Migrate(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return explain("migrate", err)
	}
	defer conn.Release()
	return explain("migrate", s.migrate(ctx, conn))
}

func (s *Store) migrate(ctx context.Context, conn *pgxpool.Conn) error {
	all, err := s.names.list()
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}) // the lock comes first, and what is read later must be new
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after the commit
	for _, prepare := range []string{
		"SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = 0",
		fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(migrateLock)),
	} {
		if _, err := tx.Exec(ctx, prepare, pgx.QueryExecModeExec); err != nil {
			return err
		}
	}
	have, err := s.versionIn(ctx, tx)
	if err != nil {
		return err
	}
	if have > len(all) {
		return &SchemaError{Have: have, Want: len(all), Table: s.names.qualified(s.names.table)}
	}
	if have, err = s.unlessDropped(ctx, tx, have); err != nil {
		return err
	}
	for _, m := range all[have:] {
		if s.migrating != nil {
			s.migrating(m.version, len(all))
		}
		if _, err := tx.Exec(ctx, s.names.recorded(m), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("schema %d: %w", m.version, err)
		}
	}
	return tx.Commit(ctx)
}

// versionIn returns the version in the database. It makes what records it when
// that is missing.
func (s *Store) versionIn(ctx context.Context, tx pgx.Tx) (version int, err error) {
	schema := pgx.Identifier{s.names.schema}.Sanitize()
	var noSchema, noTable bool
	err = tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NULL", pgx.QueryExecModeExec, schema).Scan(&noSchema)
	if err == nil && noSchema {
		_, err = tx.Exec(ctx, "CREATE SCHEMA "+schema, pgx.QueryExecModeExec)
	}
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT to_regclass($1) IS NULL", pgx.QueryExecModeExec, s.names.qualified(s.names.migrations())).Scan(&noTable)
	if err == nil && noTable {
		_, err = tx.Exec(ctx, s.names.statement("migrations"), pgx.QueryExecModeSimpleProtocol)
	}
	if err != nil {
		return 0, err
	}
	return version, tx.QueryRow(ctx, s.sql.version, pgx.QueryExecModeExec).Scan(&version)
}

// unlessDropped returns have, or 0 when the table is gone and only the notes of
// its migrations are left; it removes those.
func (s *Store) unlessDropped(ctx context.Context, tx pgx.Tx, have int) (int, error) {
	var gone bool
	err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NULL", pgx.QueryExecModeExec, s.names.qualified(s.names.table)).Scan(&gone)
	if err != nil || !gone || have == 0 {
		return have, err
	}
	_, err = tx.Exec(ctx, "DELETE FROM "+s.names.qualified(s.names.migrations()), pgx.QueryExecModeExec)
	return 0, err
}
