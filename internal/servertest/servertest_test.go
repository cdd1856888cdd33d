//go:build unix

package servertest_test

import (
	"bufio"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// kinds are the servers that a test may have for itself.
var kinds = map[string]func(servertest.TB, ...string) *servertest.Server{
	"postgres": servertest.NewPostgres,
	"mariadb":  servertest.NewMariaDB,
	"redis":    servertest.NewRedis,
}

func TestServersComeBack(t *testing.T) {
	t.Parallel()
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			dial(t, s.Addr())
			s.Kill(t)
			if c, err := net.Dial("tcp", s.Addr()); err == nil {
				_ = c.Close()
				t.Error("a killed server takes connections")
			}
			s.Start(t)
			s.Restart(t)
			s.Shutdown(t)
			s.Start(t)
			dial(t, s.Addr())
			if s.External() || s.Log() == "" || s.Dir() == "" || !strings.Contains(s.DSN(), s.Addr()) {
				t.Errorf("got external %v, dir %q, DSN %q and a log of %d bytes", s.External(), s.Dir(), s.DSN(), len(s.Log()))
			}
		})
	}
}

// A stopped server holds its connections and answers nothing; what was asked
// meanwhile it answers when it goes on.
func TestStoppedServerHoldsStill(t *testing.T) {
	t.Parallel()
	s := servertest.NewRedis(t)
	c := dial(t, s.Addr())
	s.Stop(t)
	write(t, c, "PING\r\n")
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var buf [1]byte
	if n, err := c.Read(buf[:]); err == nil {
		t.Fatalf("got %q of a stopped server", buf[:n])
	}
	s.Continue(t)
	_ = c.SetReadDeadline(time.Time{})
	want(t, c, "+PONG\r\n")
}

func TestSharedServers(t *testing.T) {
	t.Parallel()
	for kind, share := range map[string]func(servertest.TB) *servertest.Server{
		"postgres": servertest.Postgres, "mariadb": servertest.MariaDB, "redis": servertest.Redis,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if a, b := share(t), share(t); a != b {
				t.Errorf("got servers at %s and %s, want one", a.Addr(), b.Addr())
			}
		})
	}
}

func TestStandbyAndPooler(t *testing.T) {
	t.Parallel()
	primary := servertest.NewPostgres(t)
	dial(t, servertest.NewPostgresStandby(t, primary).Addr())
	dial(t, servertest.NewPgBouncer(t, primary).Addr())
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 3)
	for _, n := range nodes {
		c := dial(t, n.Addr())
		write(t, c, "CLUSTER COUNTKEYSINSLOT 1\r\n")
		want(t, c, ":0\r\n")
	}
}

func TestNamesDiffer(t *testing.T) {
	t.Parallel()
	a, b := servertest.Name(t), servertest.Name(t)
	if a == b || len(a) != 20 || a[0] != 't' || strings.ToLower(a) != a {
		t.Errorf("got %q and %q", a, b)
	}
}

// echo is a server that answers each line with the same line.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewReader(c)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := c.Write([]byte(line)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestLinkCarries(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, echo(t))
	c := dial(t, link.Addr())
	for range 3 {
		write(t, c, "hello\n")
		want(t, c, "hello\n")
	}
	if got := link.Asked(); got != 3 {
		t.Errorf("got %d chunks to the server, want 3", got)
	}
	link.Delay(30 * time.Millisecond)
	start := time.Now()
	write(t, c, "hello\n")
	want(t, c, "hello\n")
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("a round trip took %v, want at least the delay both ways", took)
	}
}

func TestLinkCutAndHealed(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, echo(t))
	c := dial(t, link.Addr())
	write(t, c, "a\n")
	want(t, c, "a\n")
	link.Cut()
	ended(t, c)
	ended(t, dial(t, link.Addr()))
	link.Heal()
	c = dial(t, link.Addr())
	write(t, c, "b\n")
	want(t, c, "b\n")
	link.Break()
	ended(t, c)
	c = dial(t, link.Addr())
	write(t, c, "c\n")
	want(t, c, "c\n")
}

func TestLinkHeld(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, echo(t))
	c := dial(t, link.Addr())
	link.Blackhole()
	write(t, c, "a\n")
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var buf [1]byte
	if _, err := c.Read(buf[:]); err == nil {
		t.Fatal("a held line carries")
	}
	link.Heal()
	_ = c.SetReadDeadline(time.Time{})
	want(t, c, "a\n")
}

func TestLinkDropsReplies(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, echo(t))
	c := dial(t, link.Addr())
	replies := 0
	link.DropReplies(func() bool { replies++; return replies == 2 })
	write(t, c, "a\n")
	want(t, c, "a\n")
	write(t, c, "b\n")
	ended(t, c)
	link.DropReplies(nil)
	c = dial(t, link.Addr())
	write(t, c, "c\n")
	want(t, c, "c\n")
	if replies != 2 {
		t.Errorf("asked about %d replies, want 2", replies)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// want reads exactly text.
func want(t *testing.T, c net.Conn, text string) {
	t.Helper()
	buf := make([]byte, len(text))
	for n := 0; n < len(buf); {
		more, err := c.Read(buf[n:])
		if err != nil {
			t.Fatalf("got %q and %v, want %q", buf[:n], err, text)
		}
		n += more
	}
	if string(buf) != text {
		t.Fatalf("got %q, want %q", buf, text)
	}
}

// ended waits for the other side to close.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	var buf [1]byte
	if n, err := c.Read(buf[:]); err == nil {
		t.Fatalf("got %q, want the end", buf[:n])
	}
}
