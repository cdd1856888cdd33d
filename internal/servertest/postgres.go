//go:build unix

package servertest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Postgres returns the PostgreSQL server of this package's tests. The user of
// its DSN may do everything.
func Postgres(tb TB) *Server {
	tb.Helper()
	return share(tb, "postgres", "SEMEL_TEST_POSTGRES_DSN", externalURL, func() (*Server, error) {
		return startPostgres("postgres", initPostgres, nil)
	})
}

// NewPostgres starts a PostgreSQL server for one test. Each of settings is
// "name=value", as in postgresql.conf without quotes.
func NewPostgres(tb TB, settings ...string) *Server {
	tb.Helper()
	return private(tb, "postgres", func() (*Server, error) {
		return startPostgres("postgres", initPostgres, settings)
	})
}

// NewPostgresStandby starts a standby that follows primary. It calls itself
// "standby", for synchronous_standby_names.
func NewPostgresStandby(tb TB, primary *Server, settings ...string) *Server {
	tb.Helper()
	return private(tb, "postgres", func() (*Server, error) {
		return startPostgres("standby", func(dir string) (string, error) {
			backup, err := find("pg_basebackup")
			if err != nil {
				return "", err
			}
			data := filepath.Join(dir, "data")
			return data, command(dir, backup, "-D", data, "-R", "-X", "stream", "-c", "fast",
				"-d", primary.DSN()+"&application_name=standby")
		}, settings)
	})
}

func externalURL(dsn string) (*Server, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	return &Server{kind: u.Scheme, addr: u.Host, dsn: dsn}, nil
}

var postgresTemplate template

// initPostgres makes a cluster whose superuser is semel and that trusts
// everybody who reaches its port, on loopback.
func initPostgres(dir string) (data string, err error) {
	return postgresTemplate.copyTo(dir, "postgres", func(dir, data string) error {
		initdb, err := find("initdb")
		if err != nil {
			return err
		}
		return command(dir, initdb, "-D", data, "-U", "semel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	})
}

func startPostgres(kind string, prepare func(dir string) (data string, err error), settings []string) (*Server, error) {
	program, err := find("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := folder(kind)
	if err != nil {
		return nil, err
	}
	data, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	return firstStart(dir, func(port string) *Server {
		args := []string{
			"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir,
			"-c", "max_connections=300",
		}
		for _, s := range settings {
			args = append(args, "-c", s)
		}
		return &Server{
			kind: kind, program: program, args: args, quit: syscall.SIGINT, answers: postgresAnswers,
			dsn: "postgres://semel@127.0.0.1:" + port + "/postgres?sslmode=disable",
		}
	})
}

// firstStart starts a server on a free port. Somebody else may be quicker to
// take that port, so it tries a few.
func firstStart(dir string, with func(port string) *Server) (*Server, error) {
	var failed error
	for range 3 {
		p, err := port()
		if err != nil {
			return nil, err
		}
		s := with(strconv.Itoa(p))
		s.dir, s.addr = dir, "127.0.0.1:"+strconv.Itoa(p)
		if failed = s.start(); failed == nil {
			return s, nil
		}
	}
	_ = os.RemoveAll(dir)
	return nil, failed
}

// postgresAnswers begins a session (PostgreSQL's documentation, "Message Flow",
// start-up) and ends it.
func postgresAnswers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	const version = 3 << 16
	body := binary.BigEndian.AppendUint32(nil, version)
	body = append(body, "user\x00semel\x00database\x00postgres\x00\x00"...)
	hello := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	if _, err := c.Write(append(hello, body...)); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := c.Read(kind[:]); err != nil {
		return err
	}
	if kind[0] != 'R' { // E while it recovers
		return fmt.Errorf("it answers %q", kind)
	}
	_, err = c.Write([]byte{'X', 0, 0, 0, 4})
	return err
}
