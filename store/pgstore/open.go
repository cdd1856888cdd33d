package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What Open's connections have unless the URL says something else.
const (
	connections    = 16
	connectTimeout = 5 * time.Second
	// deadAfter is how long a peer may leave what was sent unacknowledged.
	deadAfter = 10 * time.Second
)

// Open returns a store with a pool of its own. It does no I/O: a server that
// cannot be reached is reported by the first step, and serves when it is back.
//
// url is postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE, as libpq has
// it: several hosts, sslmode, connect_timeout, target_session_attrs and so on,
// also pgxpool's pool_max_conns and its siblings; the usual PG variables of the
// environment fill in what is missing. A wrong one is an error without the
// password.
//
// Unless the URL says otherwise there are up to 16 connections, each made within
// 5 s, called "semel" in pg_stat_activity, and of several hosts the one that takes
// writes. A dead peer is found in about 10 s. A connection that goes straight to
// the server runs at read committed, whatever the role's default, and never scans
// the whole table, whatever the planner thought of it when it was small. A
// connection that rested while another one broke is tried before it is used. And
// the store sees when a commit gives up waiting for a synchronous standby: the
// step fails with [ErrNotReplicated], as does every later one until the standby
// has confirmed everything.
func Open(ctx context.Context, url string, cfg Config) (*Store, error) {
	s, err := open(ctx, url, cfg)
	if err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, url string, cfg Config) (*Store, error) {
	pc, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	watch := new(breakage)
	pc.ShouldPing = watch.shouldPing
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	s, err := newStore(pool, cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned, s.watch = true, watch
	return s, nil
}

// poolConfig is what raw says and, where it says nothing, what the store wants.
func poolConfig(raw string) (*pgxpool.Config, error) {
	given, err := checkURL(raw)
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(raw)
	if err != nil {
		return nil, withoutSecrets(given, err)
	}
	options := given.Query()
	if !options.Has("pool_max_conns") {
		pc.MaxConns = connections
	}
	conn := pc.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "semel"
	}
	if len(conn.Fallbacks) > 0 && !options.Has("target_session_attrs") && conn.ValidateConnect == nil && severalHosts(conn) {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	conn.OnNotice = onNotice
	conn.DialFunc = dialer().DialContext
	pc.AfterConnect = prepareSession
	return pc, nil
}

// severalHosts reports whether there is a choice: a host alone may also have two
// entries, one with TLS and one without.
func severalHosts(conn *pgx.ConnConfig) bool {
	for _, f := range conn.Fallbacks {
		if f.Host != conn.Host || f.Port != conn.Port {
			return true
		}
	}
	return false
}

// checkURL refuses what is no URL, and what is one by accident: a password with
// a character that ends it early turns into a host, a database or an option, and
// then into a part of error messages.
func checkURL(raw string) (*url.URL, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found || scheme != "postgres" && scheme != "postgresql" {
		return nil, errors.New("the URL does not begin with postgres://")
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 && strings.ContainsAny(rest[i:], "@#") {
		return nil, errors.New("the URL has an @ or a # behind its host: write them as %40 and %23, and / and ? in a password as %2F and %3F")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed; special characters in user and password are written as % and two digits") // err quotes it
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errors.New("the options of the URL cannot be parsed")
	}
	return u, nil
}

// withoutSecrets is what is wrong with a URL, without the URL and its secrets.
func withoutSecrets(u *url.URL, err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 { // the URL is before it
		text = text[i+len("`: "):]
	}
	secrets := []string{u.String()}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, name := range []string{"password", "sslpassword"} {
		secrets = append(secrets, u.Query()[name]...)
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			return errors.New("the URL has an option that cannot be used")
		}
	}
	return errors.New(text)
}

// dialer finds dead peers in seconds, not in the two hours of the system.
func dialer() *net.Dialer {
	return &net.Dialer{
		Timeout: connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: deadAfter / 2, Interval: deadAfter / 5, Count: 3,
		},
		Control: limitUnacknowledged,
	}
}

// sessionStatement sets up the session, if it is one and not a pooler's that
// serves others too. A plan is kept for as long as the connection, and one that
// was made when the table was nearly empty reads all of it.
const sessionStatement = `SELECT set_config('enable_seqscan', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false)
 WHERE pg_backend_pid() = %d`

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, fmt.Sprintf(sessionStatement, conn.PgConn().PID()), pgx.QueryExecModeSimpleProtocol)
	return err
}

// breakage remembers when a connection last broke. Those that rested at the time
// are likely to be broken too, and using one to find out costs a step.
type breakage struct{ at atomic.Int64 } // nanoseconds since 1970

func (b *breakage) note() { b.at.Store(time.Now().UnixNano()) }

// shouldPing is pgxpool's own rule, which is to try what rested for a second, and
// ours.
func (b *breakage) shouldPing(_ context.Context, p pgxpool.ShouldPingParams) bool {
	return p.IdleDuration > time.Second || time.Now().Add(-p.IdleDuration).UnixNano() <= b.at.Load()
}
