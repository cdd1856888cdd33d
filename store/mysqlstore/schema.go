package mysqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// SchemaError says that the tables have another schema than this version's.
type SchemaError struct {
	// Have is the version of the tables, 0 when there are none; Want is that
	// of this program.
	Have, Want int
}

// Error names both versions and what to do.
func (e *SchemaError) Error() string {
	switch {
	case e.Have == 0:
		return fmt.Sprintf("there are no tables, and this program needs schema %d: run Migrate", e.Want)
	case e.Have > e.Want:
		return fmt.Sprintf("the tables have schema %d, and this program knows none after %d: use a newer program", e.Have, e.Want)
	}
	return fmt.Sprintf("the tables have schema %d, and this program needs %d: run Migrate", e.Have, e.Want)
}

// migration brings the tables from the version before to its own. MySQL commits
// at each statement of a schema, so every one of them can be repeated.
type migration struct {
	version int
	sql     string
}

// migrations returns the schema files in their order: 0001_name.sql has version
// 1, and there is no gap.
func (s *statements) migrations() ([]migration, error) {
	entries, err := fs.ReadDir(s.files, "schema") // sorted by name
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
		text, err := fs.ReadFile(s.files, "schema/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, string(text)})
	}
	return all, nil
}

// Schema returns the statements that make the tables of the default name, for
// reading or for an operator who runs them himself: they do what
// [Store.Migrate] does on an empty database.
func Schema() string {
	texts, err := newStatements("semel_slots")
	if err != nil {
		return "" // the name is ours; a test reads the text
	}
	all, err := texts.migrations()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, text := range texts.script(all, 0) {
		b.WriteString(text)
		b.WriteString(";\n\n")
	}
	return strings.TrimSpace(b.String()) + "\n"
}

// script returns the statements that bring the tables from the version have to
// the newest one.
func (s *statements) script(all []migration, have int) []string {
	script := []string{clean(s.versions)}
	for _, m := range all[have:] {
		script = append(script, s.recorded(m)...)
	}
	return script
}

// recorded returns the statements of one migration, and the one that records it.
func (s *statements) recorded(m migration) []string {
	var script []string
	for text := range strings.SplitSeq(s.fill(m.sql), ";\n") {
		script = append(script, clean(text))
	}
	return append(script, clean(strings.ReplaceAll(s.versionUp, "{version}", strconv.Itoa(m.version))))
}

func clean(statement string) string { return strings.TrimSuffix(strings.TrimSpace(statement), ";") }

// Migrate makes the tables, or brings their schema to this version. Any number
// of processes may run it at once: one works, the others wait. It may be run
// again after it was interrupted. It needs the rights to CREATE and to ALTER, and
// ends with ctx. A newer schema is left alone and is a [*SchemaError].
func (s *Store) Migrate(ctx context.Context) error { return explain("migrate", s.migrate(ctx)) }

func (s *Store) migrate(ctx context.Context) (err error) {
	all, err := s.sql.migrations()
	if err != nil {
		return err
	}
	if s.isClosed() {
		return ErrClosed
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	unlock, err := s.lock(ctx, conn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	have, err := s.schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	if have > len(all) {
		return &SchemaError{Have: have, Want: len(all)}
	}
	return s.apply(ctx, conn, all, have)
}

// apply brings the tables from the version have to the newest one.
func (s *Store) apply(ctx context.Context, conn *sql.Conn, all []migration, have int) error {
	script := []string{clean(s.sql.versions)}
	for i := 0; ; i++ {
		for _, text := range script {
			if _, err := conn.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		if have+i == len(all) {
			return nil
		}
		m := all[have+i]
		if s.cfg.Migrating != nil {
			s.cfg.Migrating(m.version, len(all))
		}
		script = s.sql.recorded(m)
	}
}

// lock takes the server's lock for this table. It belongs to the connection: a
// process that dies gives it back.
func (s *Store) lock(ctx context.Context, conn *sql.Conn) (unlock func() error, err error) {
	const name = "CONCAT('semel ', MD5(CONCAT(DATABASE(), '.', ?)))" // at most 64 characters
	for {
		var got sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", 1)", s.sql.table).Scan(&got)
		if err != nil {
			return nil, err
		}
		if got.Bool {
			break
		}
		if !got.Valid {
			return nil, errors.New("the server gives no lock: the connection names no database, or was told to stop")
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return func() error {
		var freed sql.NullBool
		return conn.QueryRowContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK("+name+")", s.sql.table).Scan(&freed)
	}, nil
}

// rowQuerier is a pool or one connection.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// schemaVersion returns the version of the tables, 0 when there are none.
func (s *Store) schemaVersion(ctx context.Context, q rowQuerier) (version int, err error) {
	err = q.QueryRowContext(ctx, s.sql.version).Scan(&version)
	if isNoRows(err) || numberOf(err) == errNoTable {
		return 0, nil
	}
	return version, err
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
