package sqlitestore

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed guest/*.sql
var guestFiles embed.FS

// guestPrefix begins the names of our tables in a file of an application.
const guestPrefix = "semel_"

// database is a file and how our tables are called in it.
type database struct {
	path      string
	guest     bool                  // the file is an application's
	migrating func(version, of int) // nil tells nobody
}

// fill puts the names of our tables into a statement. For a connection that is
// not ours they name the database too: it may have other tables of that name,
// temporary or attached ones.
func (d database) fill(text string, ours bool) string {
	prefix := ""
	if d.guest {
		prefix = guestPrefix
	}
	if !ours {
		prefix = "main." + prefix
	}
	return strings.NewReplacer(
		"{slots}", prefix+"slots", "{bodies}", prefix+"bodies", "{fence_floor}", prefix+"fence_floor", "{audit}", prefix+"audit",
	).Replace(strings.TrimSpace(text))
}

// statement returns the text of sql/NAME.sql with our tables in it.
func (d database) statement(name string, ours bool) (string, error) {
	text, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return "", err
	}
	return d.fill(string(text), ours), nil
}

// callerNames are the statements that run on a connection that is not ours.
var callerNames = []string{
	"lock", "reserve_fresh", "floor", "reserve", "find", "take", "body_insert", "body_delete", "complete", "complete_late",
}

// callerTexts returns their texts by name.
func (d database) callerTexts() (texts map[string]string, err error) {
	texts = make(map[string]string, len(callerNames))
	for _, name := range callerNames {
		if texts[name], err = d.statement(name, false); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// version returns the version of our tables; 0 when there are none.
func (c *conn) version() (int64, error) {
	if !c.guest {
		return c.integer("PRAGMA user_version")
	}
	tables, err := c.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'semel_schema'")
	if err != nil || tables == 0 {
		return 0, err
	}
	return c.integer("SELECT version FROM semel_schema WHERE id = 1")
}

// mark writes down that the tables have this version.
func (c *conn) mark(version int) error {
	if !c.guest { // application_id and user_version are ours
		return c.script(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
	}
	text, err := guestFiles.ReadFile("guest/version.sql")
	if err != nil {
		return err
	}
	return c.script(strings.ReplaceAll(string(text), "{version}", fmt.Sprint(version)))
}

// ours are the tables that a check of the file looks at: all of a file of our
// own.
func (c *conn) ours() ([]string, error) {
	if !c.guest {
		return []string{"1"}, nil
	}
	tables := []string{"semel_slots", "semel_bodies", "semel_fence_floor", "semel_schema"}
	trails, err := c.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'semel_audit'")
	if trails > 0 { // since version 3
		tables = append(tables, "semel_audit")
	}
	return tables, err
}

// checkOwner returns an error when the file is not of the kind that it was
// opened as.
func (c *conn) checkOwner() error {
	id, err := c.integer("PRAGMA application_id")
	switch {
	case err != nil:
		return err
	case c.guest && id == applicationID:
		return fmt.Errorf("the file is a store's own: open it without Config.Guest")
	case c.guest || id == applicationID:
		return nil
	}
	tables, err := c.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'semel_schema'")
	if err == nil && tables > 0 {
		return ErrGuest
	}
	return fmt.Errorf("it is a database of another application (application_id %#x, ours is %#x)", id, applicationID)
}
