//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/semel-go/semel"
)

// mysqlPairs are the least that a pair is: two prepared statements.
type mysqlPairs struct {
	db                     *sql.DB
	insert, complete, look *sql.Stmt
}

func (m *mariadb) plain(ctx context.Context, callers int) (_ *mysqlPairs, err error) {
	db, err := m.plainPool("bench", callers)
	if err != nil {
		return nil, err
	}
	p := &mysqlPairs{db: db}
	for _, one := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&p.insert, `INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses,
			owner, created_at, expires_at) VALUES (?, ?, ?, 1, ?, ?, ?, ?, 1, 0, ?, ?, ?)`},
		{&p.complete, `UPDATE semel_slots SET status = ?, header = ?, body = ?, state = 2 WHERE slot = ? AND token = ? AND state = 1`},
		{&p.look, `SELECT state, fingerprint, token, status, header, body FROM semel_slots WHERE slot = ?`},
	} {
		if *one.stmt, err = db.PrepareContext(ctx, one.text); err != nil { //nolint:sqlclosecheck // Close closes it
			return nil, errors.Join(err, db.Close())
		}
	}
	return p, nil
}

func (p *mysqlPairs) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	slot, now := r.Key.Slot(), time.Now().UnixMicro()
	_, err := p.insert.ExecContext(ctx, slot[:], r.Key.Scope, r.Key.ID, r.Fingerprint[:], r.Token[:], now,
		now+r.Lease.Microseconds(), r.Owner, now, now+r.Retention.Microseconds())
	return semel.Record{Token: r.Token}, err
}

func (p *mysqlPairs) Complete(ctx context.Context, c semel.Completion) error {
	slot := c.Key.Slot()
	res, err := p.complete.ExecContext(ctx, c.Response.Status, c.Response.Header, c.Response.Body, slot[:], c.Token[:])
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = semel.ErrLost
	}
	return err
}

func (p *mysqlPairs) Close() error {
	return errors.Join(p.insert.Close(), p.complete.Close(), p.look.Close(), p.db.Close())
}

// mysqlLooks read what a slot holds.
type mysqlLooks struct{ *mysqlPairs }

func (l mysqlLooks) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	slot := r.Key.Slot()
	var fingerprint, token []byte
	err = l.look.QueryRowContext(ctx, slot[:]).Scan(&held.State, &fingerprint, &token, &held.Response.Status,
		&held.Response.Header, &held.Response.Body)
	copy(held.Token[:], token)
	return held, err
}
