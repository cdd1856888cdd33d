package stores

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9/logging"

	"github.com/semel-go/semel/store/mysqlstore"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/pgstore"
	"github.com/semel-go/semel/store/redisstore"
)

// How the URLs of servers look, for messages.
const (
	usagePostgres = "postgres://USER@HOST/DATABASE"
	usageMySQL    = "mysql://USER@HOST/DATABASE"
	usageRedis    = "redis://HOST:PORT/DB"
	usageNATS     = "nats://HOST:PORT/STREAM"
)

// servers are the kinds of stores that stand on servers. Of the names that mean
// the same, the first is listed.
func servers() []kind {
	noSchema := func() string { return "" }
	return []kind{
		serverKind("postgres", usagePostgres, pgstore.Schema, dialPostgres),
		serverKind("postgresql", "", pgstore.Schema, dialPostgres),
		serverKind("mysql", usageMySQL, mysqlstore.Schema, dialMySQL),
		serverKind("mariadb", "", mysqlstore.Schema, dialMySQL),
		serverKind("redis", usageRedis, noSchema, dialRedis),
		serverKind("rediss", "", noSchema, dialRedis),
		serverKind("redis+cluster", "", noSchema, dialRedis),
		serverKind("rediss+cluster", "", noSchema, dialRedis),
		serverKind("redis+sentinel", "", noSchema, dialRedis),
		serverKind("rediss+sentinel", "", noSchema, dialRedis),
		serverKind("nats", usageNATS, noSchema, dialNATS),
		serverKind("tls", "", noSchema, dialNATS),
	}
}

func dialPostgres(ctx context.Context, raw string, opt Options) (server, error) {
	cfg := pgstore.Config{Logger: opt.Logger, Migrating: opt.Migrating}
	raw = take(raw, "schema", &cfg.Schema)
	raw = take(raw, "table", &cfg.Table)
	raw = take(raw, "listen_url", &cfg.ListenURL)
	return orError(pgstore.Open(ctx, raw, cfg))
}

// isDSN finds the host of a DSN of go-sql-driver, such as @tcp(127.0.0.1:3306).
var isDSN = regexp.MustCompile(`[@/](tcp|unix)\(`)

func dialMySQL(ctx context.Context, raw string, opt Options) (server, error) {
	cfg := mysqlstore.Config{Logger: opt.Logger, Migrating: opt.Migrating}
	var galera string
	if isDSN.MatchString(raw) {
		return nil, errors.New("mysql has a URL here and no DSN: write mysql://USER:PASSWORD@HOST:PORT/DB")
	}
	raw = take(raw, "table", &cfg.Table)
	raw = take(raw, "acceptGalera", &galera)
	cfg.AcceptGalera, _ = strconv.ParseBool(galera) // anything else accepts nothing
	return orError(mysqlstore.Open(ctx, raw, cfg))
}

// quietRedis keeps go-redis from writing to standard error by itself: what it
// would say is in the errors of the steps.
var quietRedis = sync.OnceFunc(logging.Disable)

func dialRedis(ctx context.Context, raw string, opt Options) (server, error) {
	quietRedis()
	return orError(redisstore.Open(ctx, raw, redisstore.Config{Logger: opt.Logger}))
}

func dialNATS(ctx context.Context, raw string, opt Options) (server, error) {
	return orError(natsstore.Open(ctx, raw, natsstore.Config{Logger: opt.Logger}))
}

// orError keeps a nil pointer from looking like a store.
func orError[S server](s S, err error) (server, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// take removes the parameter name from a URL and puts its value into dst. The
// rest stays as it is written: it may hold what only the driver can read.
func take(raw, name string, dst *string) string {
	base, query, found := strings.Cut(raw, "?")
	if !found {
		return raw
	}
	var others []string
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		text, err := url.QueryUnescape(value)
		if key != name || err != nil {
			others = append(others, param)
			continue
		}
		*dst = text
	}
	if len(others) == 0 {
		return base
	}
	return base + "?" + strings.Join(others, "&")
}
