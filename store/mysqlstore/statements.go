package mysqlstore

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/semel-go/semel"
)

//go:embed sql/*.sql
var statementFiles embed.FS

// now is the server's clock in microseconds since 1970. It is built on
// UTC_TIMESTAMP because UNIX_TIMESTAMP(NOW()) goes through the time zone of the
// session, where an hour of autumn happens twice. It is the same wherever it
// stands in a statement, and as old as the statement: one that waited for a row
// judges leases with the time before the wait, which errs to the safe side.
const now = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

// Conditions of statements that take a slot: no row is to be seen, and nobody else
// has the slot's named lock, which then is ours until the connection gives it back.
const (
	absent = "NOT EXISTS (SELECT 1 FROM {table} WHERE slot = ?)"
	named  = "GET_LOCK(?, 0) = 1"
)

// noWait makes a statement of MariaDB fail at once where it would wait for a lock.
const noWait = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "

// tableName is what a table may be called: nothing that needs quoting, and room
// for the names of the tables beside it below 64 characters.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,54}$`)

// statements are the texts of all steps, for one table.
type statements struct {
	table string
	files fs.FS // schema/*.sql

	insert, insertAbsent         string
	insertNamed, insertBoth      string
	find, take, takeUnlocked     string
	complete, completed          string
	lock, completeLocked, look   string
	txBegin, txEnd, txEndSingle  string
	release                      string
	begin, begun                 string
	renew, renewWhole, renewHeld string
	resolveFree, resolveDone     string
	resolvable                   string
	purgeFind, purge             string
	window, list, listSlot       string
	clock, reseal                string
	audit, auditResult           string
	trail, trailSlot             string
	ping, server, engine         string
	members, settings, status    string
	packet                       string
	version, versions, versionUp string
}

func newStatements(table string) (*statements, error) {
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("Config.Table %q is not a letter and up to 54 letters, digits and underscores", table)
	}
	s := &statements{table: table, files: schemaFiles}
	for _, f := range []struct {
		to   *string
		file string
	}{
		{&s.insert, "insert"},
		{&s.find, "find"},
		{&s.lock, "lock"},
		{&s.txBegin, "tx_begin"},
		{&s.txEnd, "tx_end"},
		{&s.txEndSingle, "tx_end_single"},
		{&s.complete, "complete"},
		{&s.completed, "completed"},
		{&s.release, "release"},
		{&s.begin, "begin"},
		{&s.begun, "begun"},
		{&s.renew, "renew"},
		{&s.renewWhole, "renew_whole"},
		{&s.renewHeld, "renew_held"},
		{&s.resolveFree, "resolve_free"},
		{&s.resolveDone, "resolve_complete"},
		{&s.resolvable, "resolvable"},
		{&s.purgeFind, "purge_find"},
		{&s.purge, "purge"},
		{&s.window, "window"},
		{&s.clock, "clock"},
		{&s.reseal, "reseal"},
		{&s.audit, "audit"},
		{&s.auditResult, "audit_result"},
		{&s.ping, "ping"},
		{&s.server, "server"},
		{&s.engine, "engine"},
		{&s.members, "members"},
		{&s.settings, "settings"},
		{&s.status, "status"},
		{&s.packet, "packet"},
		{&s.version, "version"},
		{&s.versions, "versions"},
		{&s.versionUp, "version_raise"},
	} {
		*f.to = s.text(f.file)
	}
	s.fillForms()
	return s, nil
}

// fillForms sets the statements that are forms of one file.
func (s *statements) fillForms() {
	only := s.text("insert_if")
	s.insertAbsent = strings.ReplaceAll(only, "{condition}", s.fill(absent))
	s.insertNamed = strings.ReplaceAll(only, "{condition}", named)
	s.insertBoth = strings.ReplaceAll(only, "{condition}", named+" AND "+s.fill(absent))
	s.completeLocked = s.complete + " AND lease_until = ?"
	s.look = s.find + " LOCK IN SHARE MODE"
	take := s.text("take")
	s.take = strings.ReplaceAll(take, "{row}", s.fill("{table} AS s"))
	s.takeUnlocked = strings.ReplaceAll(take, "{row}", s.text("unlocked"))
	list := s.text("list")
	s.list = strings.ReplaceAll(list, "{index}", "created_at")
	s.listSlot = strings.ReplaceAll(list, "{index}", "PRIMARY")
	trail := s.text("trail")
	s.trail = strings.NewReplacer("{index}", "PRIMARY", "{chosen}", "").Replace(trail)
	s.trailSlot = strings.NewReplacer("{index}", "slot", "{chosen}", "slot = ? AND").Replace(trail)
}

// text returns an embedded file with this store's names in it.
func (s *statements) text(file string) string {
	b, err := statementFiles.ReadFile("sql/" + file + ".sql")
	if err != nil {
		panic(err) // the files are part of the program; a test reads them
	}
	return s.fill(string(b))
}

func (s *statements) fill(text string) string {
	return strings.NewReplacer(
		"{table}", "`"+s.table+"`",
		"{versions}", "`"+s.table+"_schema`",
		"{audit}", "`"+s.table+"_audit`",
		"{name}", s.table,
		"{now}", now,
		"{nowait}", noWait,
	).Replace(strings.TrimSpace(text))
}

// steps are the statements that are prepared and kept: those that a request
// runs. The others are rare, or have lists of changing length.
func (s *statements) steps(f *forms) []string {
	return []string{
		s.insert, f.insert, s.find, s.take, f.takeOver, s.complete, s.completed, s.release,
		s.begin, s.begun, s.resolveFree, s.resolveDone, s.resolvable,
	}
}

// txSteps are those that transactions prepare.
func (s *statements) txSteps(f *forms, mode semel.TxMode) []string {
	if mode == semel.SingleTx {
		return []string{f.insertSingle, s.insertNamed, s.find, f.findNow, f.takeSingle, s.complete}
	}
	return []string{s.lock, s.completeLocked}
}

// lists fills in lists of n slots and of n pairs of slot and token.
func lists(text string, n int) string {
	return strings.NewReplacer(
		"{ids}", strings.TrimSuffix(strings.Repeat("?,", n), ","),
		"{pairs}", strings.TrimSuffix(strings.Repeat("(?,?),", n), ","),
	).Replace(text)
}
