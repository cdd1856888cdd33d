//go:build unix

package servertest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// MariaDB returns the MariaDB server of this package's tests. The user of its
// DSN may do everything.
func MariaDB(tb TB) *Server {
	tb.Helper()
	return share(tb, "mariadb", "SEMEL_TEST_MARIADB_DSN", externalMySQL, func() (*Server, error) { return startMariaDB(nil) })
}

// MySQL returns the MySQL server that SEMEL_TEST_MYSQL_DSN names, in the form of
// go-sql-driver. Without it the test is skipped, also where everything is
// required: no registry that continuous integration reaches has MySQL 8.
func MySQL(tb TB) *Server {
	tb.Helper()
	dsn := os.Getenv("SEMEL_TEST_MYSQL_DSN")
	if dsn == "" {
		tb.Skip("SEMEL_TEST_MYSQL_DSN names no MySQL server")
	}
	s, err := externalMySQL(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// NewMariaDB starts a MariaDB server for one test. Each of settings is
// "name=value", as in its option file.
func NewMariaDB(tb TB, settings ...string) *Server {
	tb.Helper()
	return private(tb, "mariadb", func() (*Server, error) { return startMariaDB(settings) })
}

var tcpAddress = regexp.MustCompile(`@tcp\(([^)]+)\)/`)

func externalMySQL(dsn string) (*Server, error) {
	m := tcpAddress.FindStringSubmatch(dsn)
	if m == nil {
		return nil, fmt.Errorf("the DSN is not of the form USER:PASSWORD@tcp(HOST:PORT)/")
	}
	return &Server{kind: "mysql", addr: m[1], dsn: dsn}, nil
}

var mariadbTemplate template

func initMariaDB(dir, data string) error {
	install, err := find("mariadb-install-db")
	if err != nil {
		return err
	}
	return command(dir, install, "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=16M")
}

func startMariaDB(settings []string) (*Server, error) {
	program, err := find("mariadbd")
	if err != nil {
		return nil, err
	}
	dir, err := folder("mariadb")
	if err != nil {
		return nil, err
	}
	data, err := mariadbTemplate.copyTo(dir, "mariadb", initMariaDB)
	if err != nil {
		return nil, err
	}
	return firstStart(dir, func(port string) *Server {
		args := []string{
			// At its start MariaDB deletes the temporary tables in its tmpdir, also
			// those of others.
			"--no-defaults", "--datadir=" + data, "--tmpdir=" + dir, "--port=" + port, "--bind-address=127.0.0.1",
			"--socket=" + filepath.Join(dir, "sock"), "--pid-file=" + filepath.Join(dir, "pid"),
			"--skip-name-resolve", "--innodb-log-file-size=16M", "--max-connections=300",
		}
		for _, s := range settings {
			args = append(args, "--"+s)
		}
		return &Server{
			kind: "mariadb", program: program, args: args, quit: syscall.SIGTERM, answers: mysqlAnswers,
			dsn: "root@tcp(127.0.0.1:" + port + ")/",
		}
	})
}

// mysqlAnswers waits for the greeting of a server that lets clients in (MySQL's
// documentation, "Protocol::HandshakeV10").
func mysqlAnswers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	var greeting [5]byte // length, sequence, protocol version
	if _, err := io.ReadFull(c, greeting[:]); err != nil {
		return err
	}
	if greeting[4] != 10 {
		return fmt.Errorf("it greets with %d", greeting[4])
	}
	return nil
}
