//go:build unix

package servertest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// RabbitMQ returns the RabbitMQ server of this package's tests. Its DSN is an amqp URL.
// Starting it takes ten seconds.
func RabbitMQ(tb TB) *Server {
	tb.Helper()
	return share(tb, "rabbitmq", "SEMEL_TEST_RABBITMQ_DSN", externalURL, func() (*Server, error) {
		return startRabbitMQ(share(tb, "epmd", "", nil, startEPMD))
	})
}

// startEPMD starts Erlang's port mapper, which RabbitMQ would otherwise start as a daemon that nobody ends.
func startEPMD() (*Server, error) {
	program, err := find("epmd")
	if err != nil {
		return nil, err
	}
	dir, err := folder("epmd")
	if err != nil {
		return nil, err
	}
	return firstStart(dir, func(port string) *Server {
		return &Server{
			kind: "epmd", program: program, args: []string{"-address", "127.0.0.1", "-port", port}, quit: syscall.SIGTERM,
			answers: func(addr string) error {
				c, err := net.DialTimeout("tcp", addr, time.Second)
				if err != nil {
					return err
				}
				return c.Close()
			},
		}
	})
}

func startRabbitMQ(mapper *Server) (*Server, error) {
	program, err := rabbitMQ()
	if err != nil {
		return nil, err
	}
	dir, err := folder("rabbitmq")
	if err != nil {
		return nil, err
	}
	_, mapped, err := net.SplitHostPort(mapper.addr)
	if err != nil {
		return nil, err
	}
	var failed error
	s, err := firstStart(dir, func(own string) *Server {
		nodes, err := port()
		failed = err
		if err := writeFile(filepath.Join(dir, "rabbitmq.conf"), "listeners.tcp.1 = 127.0.0.1:"+own+"\nlog.console = true\nlog.file = false\n"); err != nil {
			failed = err
		}
		return &Server{
			kind: "rabbitmq", program: program, quit: syscall.SIGTERM, answers: amqpAnswers,
			dsn: "amqp://guest:guest@127.0.0.1:" + own + "/",
			env: []string{
				"RABBITMQ_NODENAME=semel" + own + "@localhost", "RABBITMQ_DIST_PORT=" + strconv.Itoa(nodes),
				"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE=" + filepath.Join(dir, "logs"),
				"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
				"ERL_EPMD_PORT=" + mapped, "ERL_EPMD_ADDRESS=127.0.0.1",
				// So that the script becomes the server, instead of waiting for it: it has to end with the test.
				"RABBITMQ_ALLOW_INPUT=true",
				"ERL_FLAGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}",
			},
		}
	})
	if failed != nil {
		return nil, failed
	}
	return s, err
}

// rabbitMQ returns the path of the server's script. What Debian puts on the PATH is one around it that wants to be
// root, or the user that it has made.
func rabbitMQ() (string, error) {
	const debian = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(debian); err == nil {
		return debian, nil
	}
	return find("rabbitmq-server")
}

// amqpAnswers says hello (AMQP 0-9-1, section 4.2.2) and waits for the first frame, which
// is a method.
func amqpAnswers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := io.ReadFull(c, kind[:]); err != nil {
		return err
	}
	if kind[0] != 1 {
		return fmt.Errorf("it answers %q", kind)
	}
	return nil
}
