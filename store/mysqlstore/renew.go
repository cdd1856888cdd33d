package mysqlstore

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// maxRenew bounds one statement and the locks that it holds.
const maxRenew = 1000

var errLocked = errors.New("somebody has locked the row")

// holder is a semel.Holder by its slot.
type holder struct {
	slot  semel.Slot
	token semel.Token
}

// Locked rows are asked for again: most locks last for the commit of one step.
const (
	lockTries = 3
	lockPause = 10 * time.Millisecond
)

// Renew implements [semel.Renewer]. One statement renews up to 1,000 holders;
// when it finds fewer than it was asked for, one more tells which.
//
// It waits for no row that somebody has locked, as the business transaction of an
// attempt does. Such rows are asked for twice more within 20 ms; then a
// [*semel.UnrenewedError] names their holders, and all others are renewed.
// MariaDB 10.5 cannot pass over locked rows: there the statement is split by ten, and
// again, until they are alone.
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
	var lost, locked []semel.Token
	for part := range slices.Chunk(named, maxRenew) {
		gone, left, err := s.renewPart(ctx, max(0, micros(lease)), part)
		if err != nil {
			return nil, explain("renew", err)
		}
		lost = append(lost, gone...)
		for _, h := range left {
			locked = append(locked, h.token)
		}
	}
	if len(locked) > 0 {
		return lost, explain("renew", &semel.UnrenewedError{Tokens: locked, Err: errLocked})
	}
	return lost, nil
}

// renewPart renews a part, and returns the holders whose rows stayed locked.
func (s *Store) renewPart(ctx context.Context, lease int64, part []holder) (lost []semel.Token, locked []holder, err error) {
	renew := s.renewBy
	if s.forms.Load().whole {
		renew = s.renewSplit
	}
	for try := 1; ; try++ {
		var gone []semel.Token
		if gone, part, err = renew(ctx, lease, part); err != nil {
			return nil, nil, err
		}
		lost = append(lost, gone...)
		if len(part) == 0 || try == lockTries {
			return lost, part, nil
		}
		time.Sleep(lockPause)
	}
}

// renewSplit renews a part as a whole, or tenths of it apart when a row in it is
// locked.
func (s *Store) renewSplit(ctx context.Context, lease int64, part []holder) (lost []semel.Token, locked []holder, err error) {
	lost, locked, err = s.renewBy(ctx, lease, part)
	switch {
	case numberOf(err) != errLockWaitTimeout:
		return lost, locked, err
	case len(part) == 1:
		return nil, part, nil
	}
	lost, locked = nil, nil
	for some := range slices.Chunk(part, (len(part)+9)/10) {
		gone, left, err := s.renewSplit(ctx, lease, some)
		if err != nil {
			return nil, nil, err
		}
		lost, locked = append(lost, gone...), append(locked, left...)
	}
	return lost, locked, nil
}

// renewBy renews a part by one statement, which tells until when. Only a part that is
// not whole is looked at: a token that does not hold its slot then is lost, because no
// token comes back, and one that holds it for less long was passed over. So
// is a reservation that arrived between the two statements.
func (s *Store) renewBy(ctx context.Context, lease int64, part []holder) (lost []semel.Token, locked []holder, err error) {
	ids, pairs := make([]any, 0, len(part)), make([]any, 0, 2*len(part))
	for i := range part {
		ids = append(ids, part[i].slot[:])
		pairs = append(pairs, part[i].slot[:], part[i].token[:])
	}
	args := slices.Concat([]any{lease, lease}, ids, pairs)
	update := lists(s.forms.Load().renew, len(part))
	var until int64
	whole := false
	err = again(isDeadlock, func() error {
		res, err := s.db.ExecContext(ctx, update, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if whole = n == int64(len(part)); err == nil {
			until, err = res.LastInsertId()
		}
		return err
	})
	if err != nil || whole {
		return nil, nil, err
	}
	if lease > 0 && until <= 0 { // it changed no row
		until = math.MaxInt64
	}
	return s.look(ctx, lists(s.sql.renewHeld, len(part)), ids, part, until)
}

// look returns the tokens that do not hold their slot, and the holders whose leases do
// not reach until; 0 is a lease that was to be ended.
func (s *Store) look(ctx context.Context, text string, ids []any, part []holder, until int64) (lost []semel.Token, short []holder, err error) {
	rows, err := s.db.QueryContext(ctx, text, ids...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	type place struct {
		token semel.Token
		until int64
	}
	held := make(map[semel.Slot]place, len(part))
	for rows.Next() {
		var slot, token []byte
		var p place
		if err := rows.Scan(&slot, &token, &p.until); err != nil {
			return nil, nil, err
		}
		p.token = semel.Token(token)
		held[semel.Slot(slot)] = p
	}
	for _, h := range part {
		p, ok := held[h.slot]
		switch {
		case !ok || p.token != h.token:
			lost = append(lost, h.token)
		case until == 0 && p.until != 0, p.until < until:
			short = append(short, h)
		}
	}
	return lost, short, rows.Err()
}
