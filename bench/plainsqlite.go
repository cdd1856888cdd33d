package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	_ "modernc.org/sqlite" // the driver of plainSQLite

	"github.com/semel-go/semel"
)

// plainSQLite is what one writes in an afternoon: the driver that Semel uses
// too, the same columns in one table, the same durability (WAL, synchronous
// FULL), prepared statements, one connection, and one transaction for each step.
type plainSQLite struct {
	db                 *sql.DB
	insert, find, done *sql.Stmt
}

const plainSchema = `
CREATE TABLE slots (
    slot        BLOB    NOT NULL UNIQUE,
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    state       INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    token       BLOB    NOT NULL,
    lease_until INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    status      INTEGER,
    header      BLOB,
    body        BLOB
) STRICT;
CREATE INDEX slots_expires_at ON slots (expires_at);`

func openPlainSQLite(ctx context.Context, path string) (_ *plainSQLite, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &plainSQLite{db: db}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if _, err := db.ExecContext(ctx, plainSchema); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.insert, `INSERT INTO slots (slot, scope, key, state, fingerprint, token, lease_until, created_at, expires_at, owner)
			VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{&s.find, `SELECT state, fingerprint, token, status, header, body FROM slots WHERE slot = ?`},
		{&s.done, `UPDATE slots SET state = 2, status = ?, header = ?, body = ? WHERE slot = ? AND token = ? AND state = 1`},
	} {
		if *p.stmt, err = db.PrepareContext(ctx, p.text); err != nil { //nolint:sqlclosecheck // Close closes it
			return nil, err
		}
	}
	return s, nil
}

// Reserve inserts the slot, or reads who holds it.
func (s *plainSQLite) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	slot, now := r.Key.Slot(), time.Now()
	res, err := s.insert.ExecContext(ctx, slot[:], r.Key.Scope, r.Key.ID, r.Fingerprint[:], r.Token[:],
		now.Add(r.Lease).UnixMicro(), now.UnixMicro(), now.Add(r.Retention).UnixMicro(), r.Owner)
	if err != nil {
		return semel.Record{}, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return semel.Record{}, err
	}
	if n == 1 {
		return semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token}, nil
	}
	held := semel.Record{Key: r.Key}
	var fingerprint, token []byte
	var status sql.NullInt64
	err = s.find.QueryRowContext(ctx, slot[:]).Scan(&held.State, &fingerprint, &token, &status,
		&held.Response.Header, &held.Response.Body)
	copy(held.Fingerprint[:], fingerprint)
	copy(held.Token[:], token)
	held.Response.Status = int(status.Int64)
	return held, err
}

// Complete stores the response while the token holds the slot.
func (s *plainSQLite) Complete(ctx context.Context, c semel.Completion) error {
	slot := c.Key.Slot()
	res, err := s.done.ExecContext(ctx, c.Response.Status, c.Response.Header, c.Response.Body, slot[:], c.Token[:])
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = semel.ErrLost
	}
	return err
}

// Close closes the statements and the file.
func (s *plainSQLite) Close() error {
	return errors.Join(s.insert.Close(), s.find.Close(), s.done.Close(), s.db.Close())
}
