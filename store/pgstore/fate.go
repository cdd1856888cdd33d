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
	taken  atomic.Pointer[taken]
	doubt  atomic.Uint32
}

// taken is what the transaction has taken.
type taken struct {
	slot  semel.Slot
	token semel.Token
}

// The doubts that a statement can raise.
const (
	noDoubt      uint32 = iota
	mayHaveEnded        // if so, the number is one that was committed
	mayBeAnother        // it may have rolled back, and committed another one
	hasEnded            // found out
)

// see looks at a statement before it is sent. It reports whether the statement may commit:
// then the promise that nothing has happened has to end before it, in the same
// transaction, for the case that the process ends before the completion.
func (f *fate) see(text string, args []any) (mayCommit bool) {
	doubt := noDoubt
	switch {
	case strings.Contains(text, ";") && mentions(text, "ROLLBACK", "ABORT"):
		doubt = mayBeAnother
	case rewritten(args), !plain(text):
		doubt = mayHaveEnded
	}
	f.raise(doubt)
	return doubt != noDoubt && (rewritten(args) || !several(text) || mentions(text, "COMMIT", "END", "PREPARE"))
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

// fatedSteps are steps that tell the fate of their transaction its number and what it has taken.
type fatedSteps struct {
	*steps
	fate *fate
}

// Lock implements [semel.TxSteps].
func (t fatedSteps) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	err := t.steps.Lock(ctx, key, token)
	t.note(key, token)
	return err
}

// Reserve implements [semel.TxSteps].
func (t fatedSteps) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	held, err := t.steps.Reserve(ctx, r)
	t.note(r.Key, r.Token)
	return held, err
}

func (t fatedSteps) note(key semel.Key, token semel.Token) {
	t.fate.number.Store(t.id)
	if t.id != 0 {
		t.fate.taken.Store(&taken{key.Slot(), token})
	}
}
