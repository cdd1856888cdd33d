package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

var (
	_ semelsql.Dialect = (*dialect)(nil)
	_ semelsql.Ender   = (*dialect)(nil)
)

// dialect implements [semelsql.Dialect] for one pool.
type dialect struct {
	store *Store
	db    *sql.DB
	mode  semel.TxMode
	wrong error                // what is wrong with the configuration
	kept  atomic.Pointer[kept] // nil until the pool is known to be right
}

// ready makes sure that the server can serve, that the pool leads to it, and that the
// statements are prepared. Callers who come together do it more than once.
func (d *dialect) ready(ctx context.Context) error {
	if d.wrong != nil {
		return d.wrong
	}
	if _, err := d.store.ready(ctx); err != nil || d.kept.Load() != nil {
		return err
	}
	if d.db != d.store.db {
		if err := d.store.reachedBy(ctx, d.db); err != nil {
			return err
		}
	}
	k, err := prepareAll(ctx, d.db, d.store.sql.txSteps(d.store.forms.Load(), d.mode))
	if err != nil {
		return err
	}
	if !d.kept.CompareAndSwap(nil, k) { // another caller was first
		return k.close()
	}
	if d.store.isClosed() { // which has not seen ours
		d.forget()
		return ErrClosed
	}
	return nil
}

// reachedBy checks that db leads to the store's database: a lock of the server's that
// the store takes under a fresh name must be taken there too.
func (s *Store) reachedBy(ctx context.Context, db *sql.DB) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	name := "semel " + semel.NewToken().String()
	var got, freed sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name).Scan(&got); err != nil {
		return err
	}
	var schema sql.NullString
	err = db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?), DATABASE()", name).Scan(&got, &schema)
	if err == nil && (!got.Valid || !strings.EqualFold(schema.String, s.forms.Load().schema)) {
		err = fmt.Errorf("%w: its pool does not lead to the store's database", semel.ErrOtherStore)
	}
	return errors.Join(err, conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", name).Scan(&freed))
}

// forget makes the next transaction prepare anew.
func (d *dialect) forget() {
	if k := d.kept.Swap(nil); k != nil {
		_ = k.close() // their connections may be gone
	}
}

// Begin implements [semelsql.Dialect]. It takes two round trips.
func (d *dialect) Begin(ctx context.Context, conn *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	s := d.store
	k := d.kept.Load()
	if k == nil {
		return semelsql.Session{}, ErrClosed
	}
	text := strings.NewReplacer(
		"{level}", s.forms.Load().level,
		"{isolation}", strings.ToUpper(strings.ReplaceAll(isolation.String(), " ", "-")),
	).Replace(s.sql.txBegin)
	if _, err := conn.ExecContext(ctx, text); err != nil {
		return semelsql.Session{}, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return semelsql.Session{}, err
	}
	end := s.sql.txEnd
	if d.mode == semel.SingleTx {
		end = s.sql.txEndSingle
	}
	steps := &txSteps{
		store: s, q: &keptInTx{tx, k}, level: isolation, named: d.mode == semel.SingleTx, forget: d.forget,
	}
	f := &fate{steps: steps}
	return semelsql.Session{
		Tx:     tx,
		Steps:  steps,
		Watch:  f.watch(tx),
		Unseen: f.raise,
		Fate:   f.ended,
		End: func(ctx context.Context) error {
			asked := f.ask(ctx, conn)
			_, err := conn.ExecContext(ctx, end)
			return errors.Join(asked, err)
		},
	}, nil
}

// keptInTx are kept statements in a transaction of their pool.
type keptInTx struct {
	tx   *sql.Tx
	kept *kept
}

func (q *keptInTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if st := q.kept.byText[text]; st != nil {
		return q.tx.StmtContext(ctx, st).ExecContext(ctx, args...) //nolint:sqlclosecheck // the transaction does
	}
	return q.tx.ExecContext(ctx, text, args...)
}

func (q *keptInTx) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if st := q.kept.byText[text]; st != nil {
		return q.tx.StmtContext(ctx, st).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // the transaction does
	}
	return q.tx.QueryRowContext(ctx, text, args...)
}

// Damage implements [semelsql.Dialect]. A lock that was not to be had undoes its
// statement alone, unless innodb_rollback_on_timeout is on: then the row of the attempt
// tells at its completion.
func (d *dialect) Damage(err error) semelsql.Damage {
	switch numberOf(err) {
	case errDeadlock, errRecordChanged, errLockTableFull, errRolledBackCommit:
		return semelsql.Gone
	}
	if isBroken(err) || isKilled(err) {
		return semelsql.Gone
	}
	return semelsql.None
}

// Again implements [semelsql.Dialect].
func (d *dialect) Again(err error) bool {
	return happensNot(err) || isLocked(err) || isBroken(err) || isKilled(err) || errors.Is(err, errGone)
}

// Refused implements [semelsql.Dialect].
func (d *dialect) Refused(err error) bool {
	switch numberOf(err) {
	case errReadOnlyOption, errReadOnlyTx, errReadOnlyMode:
		return true
	}
	return happensNot(err)
}

// Ends implements [semelsql.Ender]: the statements with an implicit commit, of
// https://dev.mysql.com/doc/refman/8.0/en/implicit-commit.html and
// https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/.
func (d *dialect) Ends(words [5]string) bool {
	second := words[1]
	switch words[0] {
	case "ALTER", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "INSTALL", "UNINSTALL", "LOCK", "UNLOCK",
		"CACHE", "CHECK", "FLUSH", "OPTIMIZE", "REPAIR", "RESET", "STOP", "CHANGE", "IMPORT", "CLONE", "BACKUP":
		return true
	case "CREATE":
		return !ofTemporary(words)
	case "DROP":
		return second != "PREPARE" && !ofTemporary(words)
	case "START":
		return second == "SLAVE" || second == "REPLICA" || second == "GROUP_REPLICATION" || second == "ALL"
	case "ANALYZE":
		return second == "TABLE" || second == "LOCAL" || second == "NO_WRITE_TO_BINLOG"
	case "LOAD":
		return second == "INDEX"
	case "SET":
		return second == "PASSWORD" || second == "DEFAULT"
	}
	return false
}

// ofTemporary reports whether a statement makes or drops temporary tables. Sequences of that
// kind commit.
func ofTemporary(words [5]string) bool {
	rest := words[1:]
	if rest[0] == "OR" && rest[1] == "REPLACE" {
		rest = rest[2:]
	}
	return rest[0] == "TEMPORARY" && (rest[1] == "TABLE" || rest[1] == "TABLES")
}
