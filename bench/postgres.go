//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// quiet drops what stores log.
var quiet = slog.New(slog.DiscardHandler)

// postgres is a server under test.
type postgres struct {
	*rig
	server *servertest.Server
	pool   *pgxpool.Pool
	bench  pgbench
	sent   *sentStatements
}

func postgresGroup(ctx context.Context, r *rig) (section, error) {
	p := &postgres{rig: r, server: servertest.NewPostgres(r)}
	p.bench.program = r.need("pgbench", "/usr/lib/postgresql/*/bin/pgbench")
	var err error
	if p.pool, err = pgxpool.New(ctx, p.server.DSN()+"&pool_max_conns=32"); err != nil {
		return section{}, err
	}
	r.Cleanup(p.pool.Close)
	if err := p.fresh(ctx); err != nil {
		return section{}, err
	}
	if p.sent, err = recordStatements(ctx, p.server.DSN()); err != nil {
		return section{}, err
	}
	s, err := p.open(ctx, 8)
	if err != nil {
		return section{}, err
	}
	settings, err := settingsOf(ctx, s, "fsync", "full_page_writes", "synchronous_commit")
	if err := errors.Join(err, s.Close()); err != nil {
		return section{}, err
	}
	pairs := &contest{env: r.env, what: "pairs", callers: []int{1, 8, 32}, fresh: p.fresh, all: []contender{
		{"Semel pgstore", func(ctx context.Context, callers int) (pairs, error) {
			return r.loadStore(ctx, callers, func() (closer, error) { return p.open(ctx, callers) })
		}},
		{"pgbench", func(ctx context.Context, callers int) (pairs, error) {
			return p.bench.run(ctx, p.env, p.server, p.pool, p.sent, callers)
		}},
		{"pgx", func(ctx context.Context, callers int) (pairs, error) {
			return r.loadStore(ctx, callers, func() (closer, error) { return p.plain(ctx, callers) })
		}},
	}}
	if err := pairs.run(ctx); err != nil {
		return section{}, err
	}
	found := section{
		method: fmt.Sprintf(postgresMethod, settings, p.size.serving, number(float64(p.size.backlog), 0)),
		tables: []table{pairs.table("Pairs per second")},
	}
	for i, limit := range []float64{0.95, 0.90, 0.85} {
		callers := pairs.callers[i]
		found.goals = append(found.goals, atLeast(
			fmt.Sprintf("PostgreSQL pairs, %s ≥ %.2f of pgbench", callersName(callers), limit), pairs.ratio(1, callers), limit))
	}
	for _, part := range []func(context.Context, *section) error{p.replays, p.renewal, p.purge} {
		if err := part(ctx, &found); err != nil {
			return section{}, err
		}
	}
	return found, nil
}

const postgresMethod = `%s, started for this group with the settings that it comes with and 300 connections, over loopback TCP on
the same cores. A pair is as above; the table is empty before each row, a window is %s after a warm-up. pgbench -M prepared
sends the two statements that the store was seen to send, with the same values; only the slot is made on the server, from a
random number, and its first second does not count. pgx is the driver with the same statements and no store; both run with
enable_seqscan off, as the store's sessions do, because a plan made for an empty table does not fit it later. Each has as many
connections as callers. A replay reserves one of 1,024 completed keys; the other form is INSERT … ON CONFLICT DO UPDATE …
WHERE it is over, RETURNING, and a SELECT when that returns nothing, on a table of its own. The log that they write is the
distance of pg_current_wal_insert_lsn. A call of Renew is one statement for up to 1,000 leases. The purge is Engine.RunPurge with batches of 1,000 and its own pace, beside 8 callers;
the backlog of %s rows was made by one statement and is purged a part in each
round, all of it in two minutes at most.`

// open opens the store with so many connections.
func (p *postgres) open(ctx context.Context, callers int) (*pgstore.Store, error) {
	return pgstore.Open(ctx, fmt.Sprintf("%s&pool_max_conns=%d", p.server.DSN(), callers), pgstore.Config{Logger: quiet})
}

// exec runs statements past the store.
func (p *postgres) exec(ctx context.Context, statements ...string) error {
	for _, text := range statements {
		if _, err := p.pool.Exec(ctx, text); err != nil {
			return fmt.Errorf("%.60s: %w", text, err)
		}
	}
	return nil
}

// fresh makes the store's table anew. The checkpoint is nobody's burden.
func (p *postgres) fresh(ctx context.Context) error {
	if err := p.exec(ctx, "DROP TABLE IF EXISTS semel_slots, semel_slots_migrations"); err != nil {
		return err
	}
	s, err := p.open(ctx, 1)
	if err != nil {
		return err
	}
	return errors.Join(s.Migrate(ctx), s.Close(), p.exec(ctx, "CHECKPOINT"))
}

// renewal measures what it costs to keep many attempts alive.
func (p *postgres) renewal(ctx context.Context, found *section) (err error) {
	if err := p.fresh(ctx); err != nil {
		return err
	}
	s, err := p.open(ctx, 16)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	t, goals, err := p.renewServed(ctx, "PostgreSQL", s)
	found.tables, found.goals = append(found.tables, t), append(found.goals, goals...)
	return err
}

func (p *postgres) purge(ctx context.Context, found *section) (err error) {
	if err := p.fresh(ctx); err != nil {
		return err
	}
	p.progress("makes a backlog of %d rows", p.size.backlog)
	if _, err := p.pool.Exec(ctx, postgresBacklog, p.size.backlog, []byte(scopeText), []byte(keyTemplate), kept.Header, kept.Body); err != nil {
		return err
	}
	if err := p.exec(ctx, "VACUUM ANALYZE semel_slots", "CHECKPOINT"); err != nil {
		return err
	}
	s, err := p.open(ctx, 16)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	b := backlog{env: p.env, store: s}
	left := func(ctx context.Context) (n int, err error) {
		err = p.pool.QueryRow(ctx, "SELECT count(*) FROM semel_slots WHERE expires_at < extract(epoch FROM now()) * 1000000").Scan(&n)
		return n, err
	}
	if err := b.run(ctx, left); err != nil {
		return err
	}
	b.report("PostgreSQL", found)
	return nil
}

// postgresBacklog makes records that expired a day ago, in the order of their
// expiry.
const postgresBacklog = `
INSERT INTO semel_slots (slot, fence, lease_until, created_at, expires_at, attempts, lapses, status, state,
                         token, fingerprint, scope, key, owner, header, body)
SELECT sha256(int8send(n)), 1, 0, past + n, past + n, 1, 0, 201, 2,
       substr(sha256(int8send(n)), 1, 16), sha256(int8send(-n)), $2, $3, 'bench/1'::bytea, $4, $5
  FROM generate_series(1, $1::bigint) AS n,
       (SELECT (extract(epoch FROM now()) * 1000000)::bigint - 86400000000 AS past) AS day`

// closeInto closes c and adds its error to err.
func closeInto(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }
