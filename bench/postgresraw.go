//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/pgstore"
)

// statement is one as the store sends it, with the values it sent.
type statement struct {
	text string
	args []any
}

// sentStatements implements [pgx.QueryTracer]: it looks at what the store sends.
type sentStatements struct {
	all               []statement
	reserve, complete statement
}

func (s *sentStatements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	args := q.Args
	for len(args) > 0 {
		if _, ok := args[0].(pgx.QueryExecMode); !ok {
			break
		}
		args = args[1:]
	}
	s.all = append(s.all, statement{q.SQL, args})
	return ctx
}

func (*sentStatements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// recordStatements has the store make one pair and returns its two statements.
func recordStatements(ctx context.Context, dsn string) (sent *sentStatements, err error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	sent = new(sentStatements)
	cfg.ConnConfig.Tracer, cfg.MaxConns = sent, 1
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	s, err := pgstore.New(pool, pgstore.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	if err := s.Validate(ctx); err != nil {
		return nil, err
	}
	sent.all = nil
	var keys keyMaker
	if err := pair(ctx, s, keys.next(), semel.DefaultRetention); err != nil {
		return nil, err
	}
	if len(sent.all) != 2 {
		return nil, fmt.Errorf("the store sent %d statements for a pair", len(sent.all))
	}
	sent.reserve, sent.complete = sent.all[0], sent.all[1]
	return sent, nil
}

// pgxPairs are the store's two statements without the store.
type pgxPairs struct {
	pool *pgxpool.Pool
	sent *sentStatements
}

func (p *postgres) plain(ctx context.Context, callers int) (*pgxPairs, error) {
	cfg, err := pgxpool.ParseConfig(p.server.DSN())
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(callers)
	cfg.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	return &pgxPairs{pool, p.sent}, err
}

// Reserve sends what the store sent, for another slot.
func (p *pgxPairs) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	slot := r.Key.Slot()
	args := append([]any{slot[:], r.Token[:]}, p.sent.reserve.args[2:]...)
	rows, err := p.pool.Query(ctx, p.sent.reserve.text, args...)
	if err != nil {
		return semel.Record{}, err
	}
	defer rows.Close()
	var held semel.Record
	for rows.Next() {
		copy(held.Token[:], rows.RawValues()[2])
	}
	return held, rows.Err()
}

// Complete sends what the store sent, for another slot.
func (p *pgxPairs) Complete(ctx context.Context, c semel.Completion) error {
	slot := c.Key.Slot()
	args := append([]any{slot[:], c.Token[:]}, p.sent.complete.args[2:]...)
	var state int16
	err := p.pool.QueryRow(ctx, p.sent.complete.text, args...).Scan(&state)
	if err == nil && state != int16(semel.StateCompleted) {
		err = semel.ErrLost
	}
	return err
}

func (p *pgxPairs) Close() error {
	p.pool.Close()
	return nil
}

// upserts reserve by INSERT … ON CONFLICT DO UPDATE … WHERE, as most tables of
// idempotency keys do, and look when that returns nothing.
type upserts struct{ pool *pgxpool.Pool }

const (
	upsertTable   = "upsert_slots"
	upsertColumns = ` state, token, fingerprint, fence, lease_until, created_at, expires_at, attempts, lapses, owner, status, header, body`
	upsertText    = `
INSERT INTO ` + upsertTable + ` AS s (slot, scope, key, state, token, fingerprint, owner,
                         fence, lease_until, created_at, expires_at, attempts, lapses)
SELECT $1, $2, $3, 1, $4, $5, $6, now, now + $7, now, now + $8, 1, 0
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS clock
    ON CONFLICT (slot) DO UPDATE
   SET state = 1, token = excluded.token, fingerprint = excluded.fingerprint, owner = excluded.owner,
       fence = greatest(s.fence + 1, excluded.fence), lease_until = excluded.lease_until,
       created_at = excluded.created_at, expires_at = excluded.expires_at, status = NULL, header = NULL, body = NULL
 WHERE s.state = 0 OR s.state = 2 AND s.expires_at <= excluded.created_at
RETURNING` + upsertColumns
	upsertLook = `SELECT` + upsertColumns + ` FROM ` + upsertTable + ` WHERE slot = $1`
)

func (u *upserts) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	slot := r.Key.Slot()
	held, err := u.scan(u.pool.QueryRow(ctx, upsertText, slot[:], []byte(r.Key.Scope), []byte(r.Key.ID), r.Token[:], r.Fingerprint[:],
		[]byte(r.Owner), r.Lease.Microseconds(), r.Retention.Microseconds()))
	if errors.Is(err, pgx.ErrNoRows) {
		held, err = u.scan(u.pool.QueryRow(ctx, upsertLook, slot[:]))
	}
	return held, err
}

func (*upserts) scan(r pgx.Row) (held semel.Record, err error) {
	var state int16
	var token, fingerprint, owner []byte
	var lease, created, expires int64
	var status *int32
	err = r.Scan(&state, &token, &fingerprint, &held.Fence, &lease, &created, &expires, &held.Attempts, &held.Lapses, &owner,
		&status, &held.Response.Header, &held.Response.Body)
	held.State = semel.State(state)
	copy(held.Token[:], token)
	return held, err
}

// Complete is not measured.
func (*upserts) Complete(context.Context, semel.Completion) error { return errors.ErrUnsupported }

// replays compares what a retry costs, and what it leaves in the log.
func (p *postgres) replays(ctx context.Context, found *section) (err error) {
	if err := p.fresh(ctx); err != nil {
		return err
	}
	s, err := p.open(ctx, 32)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	keys, err := keepSome(ctx, s)
	if err != nil {
		return err
	}
	err = p.exec(ctx, "DROP TABLE IF EXISTS "+upsertTable, "CREATE TABLE "+upsertTable+" (LIKE semel_slots INCLUDING ALL)",
		"INSERT INTO "+upsertTable+" SELECT * FROM semel_slots", "VACUUM ANALYZE semel_slots, "+upsertTable, "CHECKPOINT")
	if err != nil {
		return err
	}
	wal := series{}
	counted := func(name string, s pairer) contender {
		return contender{name, func(ctx context.Context, callers int) (got pairs, err error) {
			before, err := p.position(ctx)
			if err != nil {
				return got, err
			}
			if got, err = p.loadReplays(ctx, callers, s, keys); err != nil {
				return got, err
			}
			after, err := p.position(ctx)
			wal.add(rowName(name, callers), (after-before)/float64(got.count))
			return got, err
		}}
	}
	c := &contest{env: p.env, what: "replays", callers: []int{1, 8, 32}, all: []contender{
		counted("Semel pgstore", s), counted("DO UPDATE … WHERE", &upserts{p.pool}),
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	t := c.table("Replays per second")
	t.columns = append(t.columns, "Semel, WAL bytes a replay", "DO UPDATE …, WAL bytes a replay")
	for i, callers := range c.callers {
		ours, theirs := wal[rowName(c.all[0].name, callers)], wal[rowName(c.all[1].name, callers)]
		t.rows[i].cells = append(t.rows[i].cells, cell{ours, 1}, cell{theirs, 0})
		found.goals = append(found.goals,
			atLeast(fmt.Sprintf("PostgreSQL replays, %s ≥ 3 × DO UPDATE … WHERE", callersName(callers)), c.ratio(1, callers), 3),
			atMost(fmt.Sprintf("PostgreSQL, %s: 0 bytes of WAL a replay", callersName(callers)), ours, 0, 1))
	}
	found.tables = append(found.tables, t)
	return nil
}

// position is the end of the server's log in bytes.
func (p *postgres) position(ctx context.Context) (at float64, err error) {
	err = p.pool.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8").Scan(&at)
	return at, err
}
