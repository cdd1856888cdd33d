//go:build unix

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-go/semel"
)

// handmade is what a careful developer writes without a library: a table of keys, a row
// inserted first and completed last. It has no lease, no fence and no retention, knows no
// lost commit, and a duplicate waits for the first one's transaction. What Semel takes beyond it is the price
// of the rest.
type handmade struct {
	insert, lock, complete string
}

var (
	handmadePostgres = handmade{
		"INSERT INTO by_hand (key, fingerprint) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
		"SELECT status FROM by_hand WHERE key = $1 FOR UPDATE",
		"UPDATE by_hand SET status = $1, answer = $2 WHERE key = $3",
	}
	handmadeMariaDB = handmade{
		"INSERT IGNORE INTO by_hand (`key`, fingerprint) VALUES (?, ?)",
		"SELECT status FROM by_hand WHERE `key` = ? FOR UPDATE",
		"UPDATE by_hand SET status = ?, answer = ? WHERE `key` = ?",
	}
	handmadeSQLite = handmade{
		"INSERT INTO by_hand (key, fingerprint) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
		"SELECT status FROM by_hand WHERE key = ?", // whoever writes is alone
		"UPDATE by_hand SET status = ?, answer = ? WHERE key = ?",
	}
)

var errTaken = errors.New("bench: a fresh key is taken")

// keyOf is the key by hand, and the fingerprint of its request.
func keyOf(key semel.Key) (id string, fingerprint []byte) {
	sum := sha256.Sum256([]byte(key.ID))
	return key.Scope + "/" + key.ID, sum[:]
}

// reserve takes the key, in a transaction or alone.
func (h handmade) reserve(ctx context.Context, w writer, key semel.Key) error {
	id, fingerprint := keyOf(key)
	res, err := w.ExecContext(ctx, h.insert, id, fingerprint)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = errTaken
	}
	return err
}

// sql is the guarded transaction on a database of package sql.
func (h handmade) sql(ctx context.Context, db *sql.DB, opts *sql.TxOptions, mode semel.TxMode, key semel.Key, work func(writer) error) error {
	if mode == semel.ClaimTx {
		if err := h.reserve(ctx, db, key); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	id, _ := keyOf(key)
	if mode == semel.SingleTx {
		err = h.reserve(ctx, tx, key)
	} else {
		var status sql.NullInt64
		err = tx.QueryRowContext(ctx, h.lock, id).Scan(&status)
	}
	if err == nil {
		err = work(tx)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, h.complete, 200, answerText, id)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// pgx is the guarded transaction on a pool of pgx.
func (h handmade) pgx(ctx context.Context, pool *pgxpool.Pool, mode semel.TxMode, key semel.Key, work func(pgx.Tx) error) error {
	id, fingerprint := keyOf(key)
	if mode == semel.ClaimTx {
		if tag, err := pool.Exec(ctx, h.insert, id, fingerprint); err != nil || tag.RowsAffected() != 1 {
			return cmp.Or(err, errTaken)
		}
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if mode == semel.SingleTx {
			if tag, err := tx.Exec(ctx, h.insert, id, fingerprint); err != nil || tag.RowsAffected() != 1 {
				return cmp.Or(err, errTaken)
			}
		} else {
			var status *int
			if err := tx.QueryRow(ctx, h.lock, id).Scan(&status); err != nil {
				return err
			}
		}
		if err := work(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, h.complete, 200, answerText, id)
		return err
	})
}
