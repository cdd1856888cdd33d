//go:build unix

package servertest

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
)

// NewPgBouncer starts a pgbouncer in transaction mode in front of a PostgreSQL
// server that this package started. Each of settings is "name=value", as in its
// ini file.
func NewPgBouncer(tb TB, behind *Server, settings ...string) *Server {
	tb.Helper()
	return private(tb, "pgbouncer", func() (*Server, error) { return startPgBouncer(behind, settings) })
}

func startPgBouncer(behind *Server, settings []string) (*Server, error) {
	program, err := find("pgbouncer")
	if err != nil {
		return nil, err
	}
	dir, err := folder("pgbouncer")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(behind.addr)
	if err != nil {
		return nil, err
	}
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "ini")
	if err := writeFile(users, "\"semel\" \"\"\n"); err != nil {
		return nil, err
	}
	var failed error
	s, err := firstStart(dir, func(own string) *Server {
		failed = writeFile(config, fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
max_client_conn = 300
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
%s
`, host, port, own, users, strings.Join(settings, "\n")))
		return &Server{
			kind: "pgbouncer", program: program, args: []string{config}, quit: syscall.SIGINT, answers: postgresAnswers,
			dsn: "postgres://semel@127.0.0.1:" + own + "/postgres?sslmode=disable",
		}
	})
	if failed != nil {
		return nil, failed
	}
	return s, err
}
