//go:build unix

package servertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis returns the Redis or Valkey server of this package's tests. It keeps
// nothing on the disk.
func Redis(tb TB) *Server {
	tb.Helper()
	return share(tb, "redis", "SEMEL_TEST_REDIS_DSN", externalURL, func() (*Server, error) { return startRedis(nil) })
}

// NewRedis starts a Redis server for one test. Each of settings is "name=value",
// as in redis.conf; a value may have several words. Without one it keeps nothing
// on the disk.
func NewRedis(tb TB, settings ...string) *Server {
	tb.Helper()
	return private(tb, "redis", func() (*Server, error) { return startRedis(settings) })
}

// NewRedisCluster starts a cluster of masters without replicas that share all
// slots evenly, and waits until every one of them serves.
func NewRedisCluster(tb TB, masters int, settings ...string) []*Server {
	tb.Helper()
	nodes := make([]*Server, masters)
	bus := make([]int, masters)
	for i := range nodes {
		nodes[i] = private(tb, "redis", func() (s *Server, err error) {
			if bus[i], err = port(); err != nil {
				return nil, err
			}
			return startRedis(append([]string{
				"cluster-enabled=yes", "cluster-port=" + strconv.Itoa(bus[i]), "cluster-node-timeout=3000",
				"cluster-announce-ip=127.0.0.1",
			}, settings...))
		})
	}
	if err := formCluster(nodes, bus); err != nil {
		tb.Fatalf("servertest: form a Redis cluster: %v", err)
	}
	return nodes
}

func startRedis(settings []string) (*Server, error) {
	program, err := find("redis-server", "valkey-server")
	if err != nil {
		return nil, err
	}
	dir, err := folder("redis")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "conf")
	var failed error
	s, err := firstStart(dir, func(port string) *Server {
		var text strings.Builder
		fmt.Fprintf(&text, "bind 127.0.0.1\nport %s\ndir %s\nsave \"\"\nappendonly no\n", port, dir)
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			fmt.Fprintf(&text, "%s %s\n", name, value)
		}
		failed = writeFile(config, text.String())
		return &Server{
			kind: "redis", program: program, args: []string{config}, quit: syscall.SIGTERM, answers: redisAnswers,
			dsn: "redis://127.0.0.1:" + port + "/0",
		}
	})
	if failed != nil {
		return nil, failed
	}
	return s, err
}

func redisAnswers(addr string) error {
	_, err := redisCommand(addr, "PING")
	if err != nil && strings.HasPrefix(err.Error(), "-NOAUTH") {
		return nil // it serves those who know the password
	}
	return err
}

// redisCommand sends an inline command and returns its reply (Redis
// documentation, "RESP protocol"), which must not be a list.
func redisCommand(addr, command string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "-"):
		return "", errors.New(line)
	case !strings.HasPrefix(line, "$"):
		return line[1:], nil
	}
	size, err := strconv.Atoi(line[1:])
	if err != nil || size < 0 {
		return "", fmt.Errorf("reply %q: %w", line, err)
	}
	text := make([]byte, size)
	_, err = io.ReadFull(in, text)
	return string(text), err
}

// formCluster gives each node its part of the slots and makes all meet the first.
func formCluster(nodes []*Server, bus []int) error {
	const slots = 16384
	for i, n := range nodes {
		from, to := i*slots/len(nodes), (i+1)*slots/len(nodes)-1
		if _, err := redisCommand(n.addr, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", from, to)); err != nil {
			return err
		}
		host, port, err := net.SplitHostPort(n.addr)
		if err != nil {
			return err
		}
		if _, err := redisCommand(nodes[0].addr, fmt.Sprintf("CLUSTER MEET %s %s %d", host, port, bus[i])); err != nil {
			return err
		}
	}
	known := fmt.Sprintf("cluster_known_nodes:%d\r", len(nodes))
	deadline := time.Now().Add(patience)
	for _, n := range nodes {
		for {
			info, err := redisCommand(n.addr, "CLUSTER INFO")
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, known) {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("node %s is not ready: %w\n%s", n.addr, err, info)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}
