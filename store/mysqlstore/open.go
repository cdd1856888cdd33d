package mysqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The life of a connection: short enough that a pool leaves a server that was
// demoted, or that its name no longer points at.
const (
	connLife = 5 * time.Minute
	connIdle = 2 * time.Minute
)

// Open returns a store with a pool of its own. It starts no connection: a server
// that is down is reported by the first step, and serves when it is back. Close
// the store to close the pool.
//
// The URL is
//
//	mysql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS
//	mysql://USER:PASSWORD@/DATABASE?socket=/run/mysqld/mysqld.sock
//
// or the same with mariadb, or a DSN of go-sql-driver. The parameters are
// maxConns (the bound of the pool), socket, and those of the driver, such as
// tls=true or timeout=5s. The time-outs are 5 s to connect and 30 s for an
// answer where it says nothing. The sessions are READ COMMITTED, strict and
// autocommit, and wait 2 s for the lock of a row. No error contains the password.
func Open(_ context.Context, url string, cfg Config) (*Store, error) {
	s, err := open(url, cfg)
	if err != nil {
		return nil, fmt.Errorf("mysqlstore: open: %w", err)
	}
	return s, nil
}

func open(url string, cfg Config) (*Store, error) {
	t, err := parseTarget(url, cfg)
	if err != nil {
		return nil, err
	}
	if t.driver.DialFunc == nil && t.driver.Net == "tcp" {
		t.driver.DialFunc = dial
	}
	base, err := mysql.NewConnector(t.driver)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(&connector{base})
	db.SetMaxOpenConns(t.maxConns)
	db.SetMaxIdleConns(t.maxConns)
	db.SetConnMaxLifetime(connLife)
	db.SetConnMaxIdleTime(connIdle)
	s, err := newStore(db, cfg)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.owns = true
	return s, nil
}

// setup is what a new session is told. The isolation level is a statement of
// its own because the variable has different names.
var setup = []string{
	"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
	"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, innodb_lock_wait_timeout = 2, lock_wait_timeout = 5",
}

// connector makes sessions that are set up.
type connector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	ec, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver cannot run a statement"), conn.Close())
	}
	for _, text := range setup {
		if _, err := ec.ExecContext(ctx, text, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// dial connects with what ends a connection whose other end has vanished: the
// kernel asks after 15 s of silence, and gives up 30 s after what was sent, or
// asked, stays without an answer.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
		Control:         userTimeout,
	}
	return d.DialContext(ctx, network, addr)
}
