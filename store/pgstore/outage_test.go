package pgstore_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// L4: a server that is down at the start is an error of each step and not of
// Open; when it is there, the same store serves.
func TestServerDownAtTheStart(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	server.Shutdown(t)
	s := opened(t, server.DSN(), pgstore.Config{})
	r := reservation("a")
	_, err := s.Reserve(t.Context(), r)
	wantError(t, err, "reserve", nil, server.Addr(), "refused")
	wantError(t, s.Validate(t.Context()), "validate", nil, "refused")
	wantError(t, s.Migrate(t.Context()), "migrate", nil, "refused")
	wantError(t, s.Ping(t.Context()), "ping", nil, "refused")
	_, err = s.Inspect(t.Context())
	wantError(t, err, "inspect", nil, "refused")
	for _, err := range s.List(t.Context(), semel.Filter{}) {
		wantError(t, err, "list", nil, "refused")
	}
	server.Start(t)
	migrate(t, s)
	mustReserve(t, s, r)
}

// A server that is reached but lets nobody in says why, without the password.
func TestNotLetIn(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	run(t, poolOf(t, server.DSN()), "CREATE ROLE alice LOGIN PASSWORD 'right'")
	refuseTrust(t, server)
	ask := func(url string) error {
		_, err := opened(t, url, pgstore.Config{}).Reserve(t.Context(), reservation("a"))
		return err
	}
	wrong := strings.Replace(server.DSN(), "semel@", "alice:secret@", 1)
	wantError(t, ask(wrong), "reserve", nil, "28P01")
	wantError(t, ask(withDatabase(t, server.DSN(), "nowhere")), "reserve", nil, "3D000", "nowhere")
	wantError(t, ask(withUser(t, server.DSN(), "nobody")), "reserve", nil, "28")
}

// refuseTrust makes the server ask alice for a password.
func refuseTrust(t *testing.T, server *servertest.Server) {
	t.Helper()
	path := filepath.Join(server.Dir(), "data", "pg_hba.conf")
	if err := os.WriteFile(path, []byte("host all alice 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	admin := poolOf(t, server.DSN())
	run(t, admin, "SELECT pg_reload_conf()")
	eventually(t, "alice needs a password", func() bool {
		return look[int](t, admin, "SELECT count(*) FROM pg_hba_file_rules") == 2
	})
}

// pairs completes slots from several goroutines until stop is closed, repeats
// what failed, and returns what was acknowledged.
func pairs(t *testing.T, s *pgstore.Store, stop <-chan struct{}) (done []semel.Reservation, failed int64) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failures atomic.Int64
	for worker := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r := reservation(fmt.Sprint(worker, " ", i))
				ok := insist(t, &failures, func() error {
					held, err := s.Reserve(t.Context(), r)
					if err == nil && held.Token != r.Token {
						t.Errorf("got a new slot held by %v", held.Token)
					}
					return err
				}) && insist(t, &failures, func() error { return s.Complete(t.Context(), completion(r, "body "+r.Key.ID)) })
				if ok {
					mu.Lock()
					done = append(done, r)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return done, failures.Load()
}

// insist repeats a step as the engine does, until it succeeds.
func insist(t *testing.T, failures *atomic.Int64, step func() error) bool {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := step()
		if err == nil {
			return true
		}
		failures.Add(1)
		if !strings.HasPrefix(err.Error(), "pgstore: ") || strings.Contains(err.Error(), "tenant-1") {
			t.Errorf("got %q, want the store and the step and no key", err)
		}
		if time.Now().After(deadline) {
			t.Errorf("a step never succeeded: %v", err)
			return false
		}
	}
}

// stormy runs pairs while trouble makes trouble, and checks that nothing that was
// acknowledged is lost.
func stormy(t *testing.T, s *pgstore.Store, trouble func()) {
	t.Helper()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		trouble()
	}()
	done, failed := pairs(t, s, stop)
	if len(done) == 0 {
		t.Fatal("nothing was completed")
	}
	for _, r := range done {
		mustReplay(t, s, r, "body "+r.Key.ID)
	}
	t.Logf("%d completed, %d steps failed meanwhile", len(done), failed)
}

// I10, I11, L4: a server that is killed and comes back loses nothing that was
// acknowledged, and the store serves again without a restart.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	s := fresh(t, server.DSN())
	stormy(t, s, func() {
		for range 3 {
			time.Sleep(150 * time.Millisecond)
			server.Restart(t)
		}
		time.Sleep(150 * time.Millisecond)
	})
}

// I10, I11, L4: connections that are ended by the server, over and over.
func TestConnectionsAreTerminated(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	name := servertest.Name(t)
	s := fresh(t, url+"&application_name="+name)
	admin := poolOf(t, url)
	stormy(t, s, func() {
		for range 40 {
			time.Sleep(15 * time.Millisecond)
			run(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '"+name+"'")
		}
	})
}

// I11, L4: replies that are lost after the server has acted.
func TestRepliesAreLost(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	link := servertest.NewLink(t, server.Addr())
	s := fresh(t, withAddr(t, server.DSN(), link.Addr()))
	stormy(t, s, func() {
		var n atomic.Int64
		link.DropReplies(func() bool { return n.Add(1)%40 == 0 })
		time.Sleep(500 * time.Millisecond)
		link.DropReplies(nil)
	})
}

// L4: a connection that rested while another one broke is tried before a step
// uses it: after one failure the next step succeeds.
func TestRestingConnectionsAreTried(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	name := servertest.Name(t)
	s := fresh(t, url+"&pool_max_conns=8&application_name="+name)
	admin := poolOf(t, url)
	for round := range 5 {
		race(t, s, fmt.Sprint("warm ", round)) // several connections
		run(t, admin, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '"+name+"'")
		_, _ = s.Reserve(t.Context(), reservation(fmt.Sprint("a ", round))) // one of them breaks
		mustReserve(t, s, reservation(fmt.Sprint("b ", round)))
	}
}

// L4: a peer that is gone without a word is noticed, and the store serves again.
func TestPeerIsGone(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	link := servertest.NewLink(t, server.Addr())
	s := fresh(t, withAddr(t, server.DSN(), link.Addr()))
	mustReserve(t, s, reservation("a"))
	link.Cut()
	_, err := s.Reserve(t.Context(), reservation("b"))
	wantError(t, err, "reserve", nil)
	_, err = s.Reserve(t.Context(), reservation("b"))
	wantError(t, err, "reserve", nil)
	link.Heal()
	eventually(t, "it serves again", func() bool {
		_, err := s.Reserve(t.Context(), reservation("c"))
		return err == nil
	})
}

// A pooler that appears between, as when a name comes to point to it, does not
// know the prepared statements: the store sends them whole from then on.
func TestPoolerAppears(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	bouncer := servertest.NewPgBouncer(t, server)
	var there atomic.Pointer[string]
	addr := server.Addr()
	there.Store(&addr)
	pc, err := pgxpool.ParseConfig(server.DSN() + "&pool_max_conns=8")
	if err != nil {
		t.Fatal(err)
	}
	pc.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, *there.Load())
	}
	s, pool := newWith(t, pc)
	for i := range 3 {
		race(t, s, fmt.Sprint("direct ", i))
	}
	addr = bouncer.Addr()
	there.Store(&addr)
	pool.Reset()
	for i := range 20 {
		race(t, s, fmt.Sprint("pooled ", i))
	}
}
