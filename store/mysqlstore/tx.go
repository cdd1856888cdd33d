package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"github.com/semel-go/semel"
)

// errGone: the row that was locked or inserted in the transaction is not there any
// more. The server has rolled back, and nothing of it has happened.
var errGone = errors.New("the transaction was rolled back meanwhile")

// txSteps implements [semel.TxSteps].
type txSteps struct {
	store *Store
	q     querier
	level sql.IsolationLevel // LevelDefault: not known
	named bool               // Reserve takes the slot's named lock, which somebody gives back
	mark  int64              // what Lock left in the row; 0: it was not called
	ours  bool               // Reserve has taken the slot
	key   semel.Key          // that Lock or Reserve was called for
	token semel.Token        // of the same
	done  atomic.Bool        // Complete has come through
	// callers says that statements after the end of the transaction commit by themselves.
	callers bool
	// forget, unless nil, gives up prepared statements that are of no more use.
	forget func()
}

// Lock implements [semel.TxSteps]. It takes one round trip.
func (t *txSteps) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	slot := key.Slot()
	res, err := t.q.ExecContext(context.WithoutCancel(ctx), t.store.sql.lock, slot[:], token[:])
	if err != nil {
		return explain("lock", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return semel.ErrLost
	}
	mark, unknown := res.LastInsertId()
	if err = errors.Join(err, unknown); err == nil && mark <= 0 {
		err = errNoAnswer
	}
	t.mark, t.key, t.token = mark, key, token
	return explain("lock", err)
}

// Complete implements [semel.TxSteps]. It takes one round trip. The row must still
// carry the mark of Lock, if that was called: it is gone when the server has rolled the
// transaction back, and the statement would be in another one.
func (t *txSteps) Complete(ctx context.Context, c semel.Completion) error {
	s := t.store
	ctx = context.WithoutCancel(ctx)
	if err := s.fits(c.Response); err != nil {
		return explain("complete", err)
	}
	slot := c.Key.Slot()
	text, args := s.sql.complete, []any{
		c.Response.Status, nonEmpty(c.Response.Header), nonEmpty(c.Response.Body), micros(c.Retention), slot[:], c.Token[:],
	}
	if t.mark != 0 {
		text, args = s.sql.completeLocked, append(args, t.mark)
		if own := s.forms.Load(); t.callers && own != nil {
			text = own.completeOpen
		}
	}
	ok, err := execOne(ctx, t.q, text, args...)
	switch {
	case err != nil:
		if spoils(err) && t.forget != nil {
			t.forget()
		}
		err = s.tooLarge(ctx, c.Response, err)
	case !ok && (t.mark != 0 || t.ours):
		err = errGone
	case !ok:
		err = semel.ErrLost
	}
	t.done.Store(err == nil)
	return explain("complete", err)
}

// Reserve implements [semel.TxSteps]. A fresh key takes one round trip.
func (t *txSteps) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	ctx = context.WithoutCancel(ctx)
	if _, err := t.store.ready(ctx); err != nil {
		return semel.Record{}, explain("reserve", err)
	}
	r.TakeOver, r.TakeOverBlameless = false, false
	r.Deferred = false // a reservation that is committed without its completion is not nothing
	held, err := t.reserve(ctx, r.Key.Slot(), r)
	if err != nil {
		return semel.Record{}, explain("reserve", err)
	}
	t.ours, t.key, t.token = held.State == semel.StateReserved && held.Token == r.Token, r.Key, r.Token
	return held, nil
}

func (t *txSteps) reserve(ctx context.Context, slot semel.Slot, r semel.Reservation) (semel.Record, error) {
	looked := t.store.forms.Load().lookFirst && t.level != sql.LevelReadCommitted
	if looked {
		held, ok, err := t.look(ctx, slot, r)
		if err != nil || ok {
			return held, err
		}
	}
	held, ok, err := t.insert(ctx, slot, r, looked)
	if err != nil || ok {
		return held, err
	}
	held, ok, err = t.look(ctx, slot, r)
	if err == nil && !ok { // somebody inserts the row now, or is about to
		held = atWork(r)
	}
	return held, err
}

// insert takes a slot that has no row and that nobody works on, and reports whether it
// did. A caller who has looked for the row spares the statement to do it.
func (t *txSteps) insert(ctx context.Context, slot semel.Slot, r semel.Reservation, looked bool) (semel.Record, bool, error) {
	s := t.store
	own := s.forms.Load()
	if !t.named {
		return s.insert(ctx, t.q, slot, r, false)
	}
	text, more := own.insertSingle, []any{own.nameOf(slot), slot[:]}
	switch {
	case looked:
		text, more = s.sql.insertNamed, more[:1]
	case !own.slotLast:
		more = more[:1]
	}
	return unlocked(s.insertBy(ctx, t.q, text, slot, r, more...))
}

// look answers with what the slot holds, and takes it if r may have it. It reports
// false when there is no row.
func (t *txSteps) look(ctx context.Context, slot semel.Slot, r semel.Reservation) (semel.Record, bool, error) {
	s := t.store
	own := s.forms.Load()
	text := s.sql.find
	if t.level == sql.LevelDefault || t.level == sql.LevelSerializable {
		text = own.findNow
	}
	w, found, err := s.find(ctx, t.q, text, slot)
	switch {
	case isLocked(err):
		return atWork(r), true, nil
	case err != nil || !found:
		return semel.Record{}, false, err
	case !w.takeable(r):
		return w.held(r), true, nil
	}
	text, more := own.takeOver, []any(nil)
	if t.named {
		text, more = own.takeSingle, []any{own.nameOf(slot)}
	}
	taken, ok, err := unlocked(s.takeBy(ctx, t.q, text, &w, r, more...))
	if err == nil && !ok {
		taken = atWork(r)
	}
	return taken, true, err
}

// atWork is the answer when another transaction works on the slot: what it will leave
// is not known.
func atWork(r semel.Reservation) semel.Record {
	return semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint}
}
