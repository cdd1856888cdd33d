package mysqlstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// maxRenew bounds one statement and the locks that it holds.
const maxRenew = 1000

// holder is a semel.Holder by its slot.
type holder struct {
	slot  semel.Slot
	token semel.Token
}

// Renew implements [semel.Renewer]. One statement renews up to 1,000 holders;
// when it finds fewer than it was asked for, one more tells which.
//
// A row that somebody else keeps locked holds up its statement for the server's
// innodb_lock_wait_timeout (2 s with [Open]). Then the statement is split by
// ten, and again, so that only the holder of that row is not renewed, which a
// [*semel.UnrenewedError] says.
func (s *Store) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	if len(holders) == 0 {
		return nil, nil
	}
	ctx = context.WithoutCancel(ctx)
	if _, err := s.ready(ctx); err != nil {
		return nil, explain("renew", err)
	}
	named := make([]holder, len(holders))
	for i, h := range holders {
		named[i] = holder{h.Key.Slot(), h.Token}
	}
	// In the order of the primary key, in which the server locks them too: two
	// batches that meet wait for each other and do not deadlock.
	slices.SortFunc(named, func(a, b holder) int { return bytes.Compare(a.slot[:], b.slot[:]) })
	var lost []semel.Token
	var locked semel.UnrenewedError
	for part := range slices.Chunk(named, maxRenew) {
		gone, err := s.renew(ctx, max(0, micros(lease)), part, &locked)
		if err != nil {
			return nil, explain("renew", err)
		}
		lost = append(lost, gone...)
	}
	if len(locked.Tokens) > 0 {
		return lost, explain("renew", &locked)
	}
	return lost, nil
}

// renew renews a part, or tenths of it apart when a row in it is locked. It adds
// the holders of locked rows to locked.
func (s *Store) renew(ctx context.Context, lease int64, part []holder, locked *semel.UnrenewedError) (lost []semel.Token, err error) {
	err = again(isDeadlock, func() (err error) {
		lost, err = s.renewAll(ctx, lease, part)
		return err
	})
	switch {
	case numberOf(err) != errLockWaitTimeout:
		return lost, err
	case len(part) == 1:
		locked.Tokens, locked.Err = append(locked.Tokens, part[0].token), err
		return nil, nil
	}
	for some := range slices.Chunk(part, (len(part)+9)/10) {
		gone, err := s.renew(ctx, lease, some, locked)
		if err != nil {
			return nil, err
		}
		lost = append(lost, gone...)
	}
	return lost, nil
}

// renewAll renews a part by one statement. Only a part that is not whole is
// looked at: a token that holds its slot then has held it before, because no
// token comes back, so it was renewed, and one that does not is lost. The one
// exception is a reservation that arrived between the two statements; its lease
// is its own and runs, so a lease that was to be ended is ended once more.
func (s *Store) renewAll(ctx context.Context, lease int64, part []holder) (lost []semel.Token, err error) {
	args := make([]any, 0, 2+3*len(part))
	args = append(args, lease, lease)
	for i := range part {
		args = append(args, part[i].slot[:])
	}
	ids := args[2:len(args):len(args)]
	for i := range part {
		args = append(args, part[i].slot[:], part[i].token[:])
	}
	update, look := lists(s.sql.renew, len(part)), lists(s.sql.renewHeld, len(part))
	for range maxRounds {
		res, err := s.db.ExecContext(ctx, update, args...)
		if err != nil {
			return nil, err
		}
		n, err := res.RowsAffected()
		if err != nil || n == int64(len(part)) {
			return nil, err
		}
		late := false
		lost, late, err = s.lost(ctx, look, ids, part, lease == 0)
		if err != nil || !late {
			return lost, err
		}
	}
	return nil, errChanging
}

// lost returns the tokens that do not hold their slot, and reports whether one
// that does has a lease although it was to be ended.
func (s *Store) lost(ctx context.Context, look string, ids []any, part []holder, ended bool) (lost []semel.Token, late bool, err error) {
	rows, err := s.db.QueryContext(ctx, look, ids...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	type place struct {
		token semel.Token
		ended bool
	}
	held := make(map[semel.Slot]place, len(part))
	for rows.Next() {
		var slot, token []byte
		var p place
		if err := rows.Scan(&slot, &token, &p.ended); err != nil {
			return nil, false, err
		}
		p.token = semel.Token(token)
		held[semel.Slot(slot)] = p
	}
	for _, h := range part {
		p, ok := held[h.slot]
		switch {
		case !ok || p.token != h.token:
			lost = append(lost, h.token)
		case ended && !p.ended:
			late = true
		}
	}
	return lost, late, rows.Err()
}
