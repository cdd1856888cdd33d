//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// mariadb is a server under test.
type mariadb struct {
	*rig
	server *servertest.Server
	admin  *sql.DB
}

// mariadbLog is the size of the log that MariaDB 10.11 comes with. servertest
// makes it smaller, to start quickly.
const mariadbLog = "innodb-log-file-size=96M"

func mariadbGroup(ctx context.Context, r *rig) (section, error) {
	m := &mariadb{rig: r, server: servertest.NewMariaDB(r, mariadbLog)}
	root, err := m.plainPool("", 2)
	if err != nil {
		return section{}, err
	}
	_, err = root.ExecContext(ctx, "CREATE DATABASE bench")
	if err := errors.Join(err, root.Close()); err != nil {
		return section{}, err
	}
	if m.admin, err = m.plainPool("bench", 2); err != nil {
		return section{}, err
	}
	r.Cleanup(func() { _ = m.admin.Close() })
	if err := m.fresh(ctx); err != nil {
		return section{}, err
	}
	s, err := m.open(ctx, 8)
	if err != nil {
		return section{}, err
	}
	settings, err := settingsOf(ctx, s, "innodb_flush_log_at_trx_commit", "innodb_doublewrite", "innodb_flush_method")
	if err := errors.Join(err, s.Close()); err != nil {
		return section{}, err
	}
	pairs := &contest{env: r.env, what: "pairs", callers: []int{1, 8, 32}, fresh: m.fresh, all: []contender{
		{"Semel mysqlstore", func(ctx context.Context, callers int) (pairs, error) {
			return r.loadStore(ctx, callers, func() (closer, error) { return m.open(ctx, callers) })
		}},
		{"plain driver", func(ctx context.Context, callers int) (pairs, error) {
			return r.loadStore(ctx, callers, func() (closer, error) { return m.plain(ctx, callers) })
		}},
	}}
	if err := pairs.run(ctx); err != nil {
		return section{}, err
	}
	found := section{
		method: fmt.Sprintf(mariadbMethod, settings, r.size.serving, number(float64(r.size.backlog), 0)),
		tables: []table{pairs.table("Pairs per second")},
	}
	for _, callers := range pairs.callers {
		found.goals = append(found.goals, atLeast(
			fmt.Sprintf("MariaDB pairs, %s ≥ 0.90 of the raw statements", callersName(callers)), pairs.ratio(1, callers), 0.9))
	}
	for _, part := range []func(context.Context, *section) error{m.replays, m.renewal, m.purge} {
		if err := part(ctx, &found); err != nil {
			return section{}, err
		}
	}
	return found, nil
}

const mariadbMethod = `%s, started for this group with the settings that it comes with, 300 connections and no binary
log, over loopback TCP on the same cores. A pair is as above; the table is empty before each row, a window is %s after a
warm-up. The plain driver has two prepared statements, INSERT and UPDATE … WHERE slot = ? AND token = ? AND state = 1, on the
store's table, at READ COMMITTED, with times from this process. Each has as many connections as callers. A replay reserves one of
1,024 completed keys; the plain driver SELECTs it by its slot, which is the least that a retry costs. A call of Renew is
one statement for up to 1,000 leases. The purge is as for
PostgreSQL, with a backlog of %s rows.`

// open opens the store with so many connections.
func (m *mariadb) open(ctx context.Context, callers int) (*mysqlstore.Store, error) {
	return mysqlstore.Open(ctx, "mysql://root@"+m.server.Addr()+"/bench", mysqlstore.Config{MaxConns: callers, Logger: quiet})
}

// plainPool is the driver without the store.
func (m *mariadb) plainPool(database string, conns int) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = "root", "tcp", m.server.Addr(), database
	cfg.Params = map[string]string{"tx_isolation": "'READ-COMMITTED'"}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// fresh makes the store's table anew.
func (m *mariadb) fresh(ctx context.Context) error {
	if _, err := m.admin.ExecContext(ctx, "DROP TABLE IF EXISTS semel_slots, semel_slots_schema, semel_slots_audit"); err != nil {
		return err
	}
	s, err := m.open(ctx, 1)
	if err != nil {
		return err
	}
	return errors.Join(s.Migrate(ctx), s.Close())
}

// replays compares a retry with the look that it cannot do without.
func (m *mariadb) replays(ctx context.Context, found *section) (err error) {
	if err := m.fresh(ctx); err != nil {
		return err
	}
	s, err := m.open(ctx, 32)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	keys, err := keepSome(ctx, s)
	if err != nil {
		return err
	}
	plain, err := m.plain(ctx, 32)
	if err != nil {
		return err
	}
	defer closeInto(&err, plain)
	look := mysqlLooks{plain}
	c := &contest{env: m.env, what: "replays", callers: []int{1, 8, 32}, all: []contender{
		{"Semel mysqlstore", func(ctx context.Context, callers int) (pairs, error) { return m.loadReplays(ctx, callers, s, keys) }},
		{"SELECT", func(ctx context.Context, callers int) (pairs, error) { return m.loadReplays(ctx, callers, look, keys) }},
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	found.tables = append(found.tables, c.table("Replays per second"))
	return nil
}

func (m *mariadb) renewal(ctx context.Context, found *section) (err error) {
	if err := m.fresh(ctx); err != nil {
		return err
	}
	s, err := m.open(ctx, 16)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	t, goals, err := m.renewServed(ctx, "MariaDB", s)
	found.tables, found.goals = append(found.tables, t), append(found.goals, goals...)
	return err
}

func (m *mariadb) purge(ctx context.Context, found *section) (err error) {
	if err := m.fresh(ctx); err != nil {
		return err
	}
	m.progress("makes a backlog of %d rows", m.size.backlog)
	const most = 50_000 // rows a statement: its undo log must not outgrow everything else
	for from := 1; from <= m.size.backlog; from += most {
		text := fmt.Sprintf(mariadbBacklog, from, min(from+most-1, m.size.backlog))
		if _, err := m.admin.ExecContext(ctx, text, scopeText, keyTemplate, kept.Header, kept.Body); err != nil {
			return err
		}
	}
	if _, err := m.admin.ExecContext(ctx, "ANALYZE TABLE semel_slots"); err != nil {
		return err
	}
	s, err := m.open(ctx, 16)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	b := backlog{env: m.env, store: s}
	left := func(ctx context.Context) (n int, err error) {
		err = m.admin.QueryRowContext(ctx, "SELECT COUNT(*) FROM semel_slots WHERE expires_at < UNIX_TIMESTAMP() * 1000000").Scan(&n)
		return n, err
	}
	if err := b.run(ctx, left); err != nil {
		return err
	}
	b.report("MariaDB", found)
	return nil
}

// mariadbBacklog makes records that expired a day ago, in the order of their
// expiry.
const mariadbBacklog = `
INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses, owner,
                         created_at, expires_at, status, header, body)
SELECT UNHEX(SHA2(seq, 256)), ?, ?, 2, UNHEX(SHA2(-seq, 256)), UNHEX(MD5(seq)), 1, 0, 1, 0, 'bench/1',
       (UNIX_TIMESTAMP() - 86400) * 1000000 + seq, (UNIX_TIMESTAMP() - 86400) * 1000000 + seq, 201, ?, ?
  FROM seq_%d_to_%d`
