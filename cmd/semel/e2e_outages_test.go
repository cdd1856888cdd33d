//go:build unix

package main

import (
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// patient is a server that works, with what makes it ill and well again.
type patient struct {
	url        string
	ill, cured func(*testing.T)
	says       string // what the log says of the illness
	apply      bool   // semel schema apply belongs to the cure
}

func postgres(t *testing.T, s *servertest.Server, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, text := range statements {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

func mariadb(t *testing.T, s *servertest.Server, statements ...string) {
	t.Helper()
	db, err := sql.Open("mysql", s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

func redisDo(t *testing.T, s *servertest.Server, command ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = client.Close() }()
	if err := client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatal(err)
	}
}

// illnesses are what may befall a server while the sidecar serves from it.
var illnesses = map[string]func(*testing.T) patient{
	"postgres halted": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewPostgres(t)
		return patient{url: s.DSN(), ill: func(t *testing.T) { t.Helper(); s.Stop(t) }, cured: func(t *testing.T) { t.Helper(); s.Continue(t) }, says: "reserve"}
	},
	"mysql halted": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewMariaDB(t)
		return patient{
			url: "mysql://root@" + s.Addr() + "/mysql", says: "reserve",
			ill: func(t *testing.T) { t.Helper(); s.Stop(t) }, cured: func(t *testing.T) { t.Helper(); s.Continue(t) },
		}
	},
	"redis halted": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
		return patient{url: s.DSN(), ill: func(t *testing.T) { t.Helper(); s.Stop(t) }, cured: func(t *testing.T) { t.Helper(); s.Continue(t) }, says: "reserve"}
	},
	"nats halted": func(t *testing.T) patient {
		t.Helper()
		s := natstest.Start(t, natstest.Options{SyncAlways: true})
		return patient{
			url: s.URL() + "/SEMEL", says: "reserve",
			ill: func(t *testing.T) { t.Helper(); s.Stop(t) }, cured: func(t *testing.T) { t.Helper(); s.Continue(t) },
		}
	},
	"postgres read-only": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewPostgres(t)
		const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'semel'"
		return patient{
			url: s.DSN(), says: "read-only",
			ill: func(t *testing.T) {
				t.Helper()
				postgres(t, s, "ALTER ROLE semel SET default_transaction_read_only = on", end)
			},
			cured: func(t *testing.T) {
				t.Helper()
				postgres(t, s, "SET default_transaction_read_only = off", "ALTER ROLE semel RESET default_transaction_read_only", end)
			},
		}
	},
	"redis read-only": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
		return patient{
			url: s.DSN(), says: "read-only",
			ill:   func(t *testing.T) { t.Helper(); redisDo(t, s, "REPLICAOF", "127.0.0.1", "1") },
			cured: func(t *testing.T) { t.Helper(); redisDo(t, s, "REPLICAOF", "NO", "ONE") },
		}
	},
	"redis full": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always")
		return patient{
			url: s.DSN(), says: "is full",
			ill:   func(t *testing.T) { t.Helper(); redisDo(t, s, "CONFIG", "SET", "maxmemory", "1") },
			cured: func(t *testing.T) { t.Helper(); redisDo(t, s, "CONFIG", "SET", "maxmemory", "0") },
		}
	},
	"postgres table gone": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewPostgres(t)
		return patient{
			url: s.DSN(), says: "run Migrate", apply: true,
			ill:   func(t *testing.T) { t.Helper(); postgres(t, s, "DROP TABLE semel_slots, semel_slots_migrations") },
			cured: func(*testing.T) {},
		}
	},
	"mysql table gone": func(t *testing.T) patient {
		t.Helper()
		s := servertest.NewMariaDB(t)
		return patient{
			url: "mysql://root@" + s.Addr() + "/mysql", says: "igrate", apply: true,
			ill: func(t *testing.T) {
				t.Helper()
				mariadb(t, s, "DROP TABLE mysql.semel_slots, mysql.semel_slots_schema")
			},
			cured: func(*testing.T) {},
		}
	},
	"nats stream gone": func(t *testing.T) patient {
		t.Helper()
		s := natstest.Start(t, natstest.Options{SyncAlways: true})
		return patient{
			url: s.URL() + "/SEMEL", says: "reserve", apply: true,
			ill: func(t *testing.T) {
				t.Helper()
				nc, err := nats.Connect(s.URL())
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				if _, err := nc.RequestWithContext(t.Context(), "$JS.API.STREAM.DELETE.SEMEL", nil); err != nil {
					t.Fatal(err)
				}
			},
			cured: func(*testing.T) {},
		}
	},
}

// A server that falls ill while the sidecar serves from it: requests are refused
// with 503 and Retry-After, the log names store, step and reason, nothing runs
// meanwhile, and service is back without a restart (L4).
func TestServersFallIll(t *testing.T) {
	t.Parallel()
	for name, of := range illnesses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := of(t)
			url, runs := shop(t)
			s := startSidecar(t, url, "--store", p.url)
			first := s.orderUntil(t, "a", http.StatusCreated)
			p.ill(t)
			s.order(t, "b").wantUnavailable(t)
			if n := runs.Load(); n != 1 {
				t.Errorf("the operation ran %d times, want it not to run without a store", n)
			}
			s.waitForLog(t, p.says)
			p.cured(t)
			if p.apply {
				runSemel(t, 0, "schema", "apply", "--store", p.url)
			}
			s.orderUntil(t, "c", http.StatusCreated)
			if again := s.order(t, "a"); !p.apply && (again.body != first.body || !again.replayed) {
				t.Errorf("got %+v, want a replay of %+v (I3, I10)", again, first)
			}
		})
	}
}

// waitForLog waits until the log of the store's errors says text.
func (s *sidecar) waitForLog(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, "level=ERROR") && strings.Contains(line, text) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("the log does not say %q:\n%s", text, s.log)
			return
		}
	}
}

// An answer that the server has no room for goes out whole and once; its retry
// gets 410 (I2).
func TestServersThatTakeLess(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(*testing.T) string{
		"mysql": func(t *testing.T) string {
			t.Helper()
			return "mysql://root@" + servertest.NewMariaDB(t, "max-allowed-packet=1M").Addr() + "/mysql"
		},
		"nats": func(t *testing.T) string {
			t.Helper()
			return natstest.Start(t, natstest.Options{MaxPayload: 1 << 20}).URL() + "/SEMEL"
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var runs atomic.Int64
			large := strings.Repeat("x", 3<<19)
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs.Add(1)
				_, _ = io.WriteString(w, large)
			}))
			t.Cleanup(upstream.Close)
			s := startSidecar(t, upstream.URL, "--store", start(t), "--max-response", "4MiB")
			if a := s.order(t, "a"); a.status != http.StatusOK || a.body != large {
				t.Errorf("got %d and %d bytes, want the whole answer", a.status, len(a.body))
			}
			if a := s.order(t, "a"); a.status != http.StatusGone || a.code != "response_not_kept" {
				t.Errorf("got %d %q, want 410 response-not-kept", a.status, a.code)
			}
			if n := runs.Load(); n != 1 {
				t.Errorf("the operation ran %d times, want once", n)
			}
		})
	}
}

// A server that is not fit ends the start, with a reason and what to do.
func TestUnfitServersEndTheStart(t *testing.T) {
	t.Parallel()
	for kind, row := range map[string]struct {
		start func(*testing.T) string
		says  string
	}{
		"postgres newer": {func(t *testing.T) string {
			t.Helper()
			s := servertest.NewPostgres(t)
			runSemel(t, 0, "schema", "apply", "--store", s.DSN())
			postgres(t, s, "INSERT INTO semel_slots_migrations (version) VALUES (99)")
			return s.DSN()
		}, "newer"},
		"mysql newer": {func(t *testing.T) string {
			t.Helper()
			s := servertest.NewMariaDB(t)
			url := "mysql://root@" + s.Addr() + "/mysql"
			runSemel(t, 0, "schema", "apply", "--store", url)
			mariadb(t, s, "UPDATE mysql.semel_slots_schema SET version = 99")
			return url
		}, "newer"},
		"postgres replica": {func(t *testing.T) string {
			t.Helper()
			return servertest.NewPostgresStandby(t, servertest.NewPostgres(t)).DSN()
		}, "replica"},
		"redis evicts": {func(t *testing.T) string {
			t.Helper()
			return servertest.NewRedis(t, "maxmemory=100mb", "maxmemory-policy=allkeys-lru").DSN()
		}, "noeviction"},
		"redis replica": {func(t *testing.T) string {
			t.Helper()
			s := servertest.NewRedis(t)
			redisDo(t, s, "REPLICAOF", "127.0.0.1", "1")
			return s.DSN()
		}, "replica"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := row.start(t)
			out := runSemel(t, 3, "proxy", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "off", "--store", url)
			if !strings.Contains(out, "semel: error: --store: ") || !strings.Contains(out, "semel: hint: ") || !strings.Contains(out, row.says) {
				t.Errorf("got this, want an error and a hint that say %q:\n%s", row.says, out)
			}
		})
	}
}
