package pgstore

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// fatePatience bounds how long it is asked what has become of a transaction.
const fatePatience = 2 * time.Second

// fate finds out, of a transaction that was not committed, whether a statement of the
// business code had ended it before: what came before that statement may be committed,
// and the connection looks as if nothing had happened when the text goes on with BEGIN.
// The completion finds out by itself. It is safe for concurrent use.
type fate struct {
	number atomic.Int64 // of the transaction that has taken the slot, as [steps] knows it
	doubt  atomic.Uint32
}

// The doubts that a statement can raise.
const (
	noDoubt      uint32 = iota
	mayHaveEnded        // if so, the number is one that was committed
	mayBeAnother        // it may have rolled back, and committed another one
	hasEnded            // found out
)

// see looks at a statement before it is sent.
func (f *fate) see(text string, args []any) {
	switch {
	case strings.Contains(text, ";") && mentions(text, "ROLLBACK", "ABORT"):
		f.raise(mayBeAnother)
	case rewritten(args), !plain(text):
		f.raise(mayHaveEnded)
	}
}

func (f *fate) raise(doubt uint32) {
	for {
		old := f.doubt.Load()
		if old >= doubt || f.doubt.CompareAndSwap(old, doubt) {
			return
		}
	}
}

// plain reports whether a text cannot end its transaction: it is one statement, of those
// that cannot, and not the name of a prepared one. Functions cannot commit at all, and
// procedures and blocks of DO not within a transaction that was begun; whatever is
// not named here costs a question, if the transaction is not committed.
func plain(text string) bool {
	if several(text) {
		return false
	}
	first, _ := nextWord(text)
	switch first {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "CALL", "DO", "SET", "LOCK",
		"SAVEPOINT", "RELEASE", "ROLLBACK": // to a savepoint: endsTx has seen the others
		return true
	}
	return false
}

// several reports whether a text may be more than one statement.
func several(text string) bool {
	_, rest, more := strings.Cut(text, ";")
	return more && strings.TrimSpace(rest) != ""
}

func mentions(text string, words ...string) bool {
	text = strings.ToUpper(text)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// rewritten reports whether the driver sends another text, which nobody has seen.
func rewritten(args []any) bool {
	for _, arg := range args { // the driver's options come first
		switch arg.(type) {
		case pgx.NamedArgs, pgx.StrictNamedArgs, pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		default:
			_, ok := arg.(pgx.QueryRewriter)
			return ok
		}
	}
	return false
}

// ended returns errEnded if a statement had ended the transaction, or nobody can tell, and
// nil if it had not. over says that it has ended by now. What was not
// doubted costs nothing.
func (f *fate) ended(s *Store, over bool) error {
	switch f.doubt.Load() {
	case noDoubt:
		return nil
	case hasEnded:
		return errEnded
	}
	number := f.number.Load()
	if number == 0 { // nobody has the slot by it
		return nil
	}
	for deadline := time.Now().Add(fatePatience); ; time.Sleep(10 * time.Millisecond) {
		status, err := s.status(number)
		switch {
		case err == nil && status == "in progress" && !over: // then it has not been ended
			return nil
		case err == nil && status == "aborted" && f.doubt.Load() == mayHaveEnded:
			f.doubt.Store(noDoubt)
			return nil
		case (err != nil || status == "in progress") && time.Now().Before(deadline):
			continue
		}
		f.raise(hasEnded)
		return errEnded
	}
}

// status asks, on another connection, what has become of a transaction.
func (s *Store) status(number int64) (status string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), fatePatience) //nolint:forbidigo // there is no caller's
	defer cancel()
	const text = "SELECT coalesce(txid_status($1::bigint), 'unknown')"
	err = s.pool.QueryRow(ctx, text, pgx.QueryExecModeExec, number).Scan(&status)
	return status, err
}

// fatedSteps are steps that tell the fate of their transaction its number.
type fatedSteps struct {
	*steps
	fate *fate
}

// Lock implements [semel.TxSteps].
func (t fatedSteps) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	err := t.steps.Lock(ctx, key, token)
	t.fate.number.Store(t.id)
	return err
}

// Reserve implements [semel.TxSteps]. What commits without the record must not leave a
// promise behind, and a rollback leaves nothing.
func (t fatedSteps) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	r.Deferred = false
	held, err := t.steps.Reserve(ctx, r)
	t.fate.number.Store(t.id)
	return held, err
}
