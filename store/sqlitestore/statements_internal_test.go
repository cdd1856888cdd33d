package sqlitestore

import (
	"database/sql/driver"
	"strings"
	"testing"
)

// No statement but the operator's list walks through a table, so that a million
// records cost a step no more than ten.
func TestStatementsUseAnIndex(t *testing.T) {
	s := openInternal(t)
	entries, err := statements.ReadDir("sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := statements.ReadFile("sql/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range planOf(t, s.writer.conn.conn, s.fill(string(text), true)) {
			fast := strings.HasPrefix(step, "SEARCH") || strings.HasPrefix(step, "SCALAR SUBQUERY") ||
				strings.HasPrefix(step, "SCAN CONSTANT ROW") || step == "USE TEMP B-TREE FOR ORDER BY" && e.Name() == "list_slot.sql" ||
				step == "USE TEMP B-TREE FOR LAST TERM OF ORDER BY" && (e.Name() == "list.sql" || e.Name() == "list_open.sql") // of what is as old
			if !fast {
				t.Errorf("%s: got step %q, want a search", e.Name(), step)
			}
		}
	}
}

// planOf returns how SQLite runs a query, one line a step. The writer is idle.
func planOf(t *testing.T, c *conn, query string) (steps []string) {
	t.Helper()
	p := preparer{conn: c}
	stmt := p.text("explain", "EXPLAIN QUERY PLAN "+query)
	if p.err != nil {
		t.Fatal(p.err)
	}
	var v [4]driver.Value
	none := make([]driver.Value, strings.Count(query, "?"))
	err := stmt.each(v[:], func() error {
		cols := columns{values: v[3:]}
		steps = append(steps, cols.text())
		return cols.err
	}, none...)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}
