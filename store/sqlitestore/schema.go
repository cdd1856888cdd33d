package sqlitestore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// applicationID marks our files, see https://www.sqlite.org/pragma.html#pragma_application_id.
// It spells "Seml".
const applicationID = 0x53656d6c

// SchemaError says that a file has another schema than this version's.
type SchemaError struct {
	// Have is the version of the file, Want that of this program.
	Have, Want int
}

// Error names both versions and what to do.
func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("sqlitestore: the file has schema %d, and this program knows none after %d: use a newer program", e.Have, e.Want)
	}
	return fmt.Sprintf("sqlitestore: the file has schema %d, and this program needs %d: migrate it", e.Have, e.Want)
}

// migration brings a file from the version before to its own.
type migration struct {
	version int
	sql     string
}

// migrations returns the embedded files in their order: 0001_name.sql has
// version 1, and there is no gap.
func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(schemaFiles, "schema") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(all)+1 {
			return nil, fmt.Errorf("sqlitestore: schema file %s is not number %d", e.Name(), len(all)+1)
		}
		text, err := fs.ReadFile(schemaFiles, "schema/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, string(text)})
	}
	return all, nil
}

// Schema returns the statements that make an empty database of a store's own, for
// reading. Open and [Migrate] run them; besides, they set application_id and
// user_version.
func Schema() string { return schemaFor(database{}) }

// GuestSchema returns the statements that make the tables of a store in an
// application's database, see [Config.Guest]. [Open] runs them when they have not
// been run.
func GuestSchema() string {
	text, err := guestFiles.ReadFile("guest/version.sql")
	all, merr := migrations()
	if err != nil || merr != nil {
		return ""
	}
	version := strings.ReplaceAll(string(text), "{version}", strconv.Itoa(len(all)))
	return schemaFor(database{guest: true}) + "\n" + version
}

func schemaFor(d database) string {
	all, err := migrations()
	if err != nil {
		return "" // the files are part of the program; a test reads them
	}
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = d.fill(m.sql, true) + "\n"
	}
	return strings.Join(texts, "\n")
}

// Migrate creates the database at path, or brings its schema to this version,
// as [Open] does by default. It needs the file for itself. Running it again,
// or twice at once, changes nothing.
func Migrate(_ context.Context, path string) error {
	s, err := Open(path, Config{})
	if err != nil {
		return err
	}
	return s.Close()
}

// Validate reports whether the database at path can be used by this version,
// without changing it: nil, a [*SchemaError], or why it cannot be read.
func Validate(_ context.Context, path string) error {
	s, err := Open(path, Config{ReadOnly: true})
	if err != nil {
		return err
	}
	return s.Close()
}

// migrate applies to c what it lacks, in one transaction.
func (c *conn) migrate() error {
	all, err := migrations()
	if err != nil {
		return err
	}
	if err := c.script("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := c.apply(all); err != nil {
		_ = c.script("ROLLBACK") // the connection is closed next
		return err
	}
	return c.script("COMMIT")
}

func (c *conn) apply(all []migration) error {
	have, err := c.version() // again, alone with the file now
	if err != nil {
		return err
	}
	for _, m := range all {
		if int64(m.version) <= have {
			continue
		}
		if c.migrating != nil {
			c.migrating(m.version, len(all))
		}
		if err := c.script(c.fill(m.sql, true)); err != nil {
			return fmt.Errorf("schema %d: %w", m.version, err)
		}
	}
	return c.mark(len(all))
}

// checkSchema reports whether the file lacks a migration, and an error when it
// is newer than this program.
func (c *conn) checkSchema() (stale *SchemaError, err error) {
	all, err := migrations()
	if err != nil {
		return nil, err
	}
	version, err := c.version()
	if err != nil {
		return nil, err
	}
	found := &SchemaError{Have: int(version), Want: len(all)}
	switch {
	case found.Have > found.Want:
		return nil, found
	case found.Have < found.Want:
		return found, nil
	}
	return nil, nil //nolint:nilnil // nothing to tell
}
