package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// childBank opens the bank in a process of its own. Its first line of input has the
// kind of the file and the mode of the transactions.
func childBank(path string, in io.Reader, run func(*sqlitestore.Store, semel.Transactions) error) error {
	var kind, mode string
	if _, err := fmt.Fscanln(in, &kind, &mode); err != nil {
		return err
	}
	s, err := sqlitestore.Open(path, kinds[kind])
	if err != nil {
		return err
	}
	db, err := openLedger(path, pragmas)
	if err != nil {
		return err
	}
	cfg := sqlitestore.TxConfig{}
	if mode == semel.SingleTx.String() {
		cfg.Mode = semel.SingleTx
	}
	txs, err := s.Transactions(db, cfg)
	if err != nil {
		return err
	}
	return run(s, txs)
}

// childStuck stops between the business write and the commit, and says so.
func childStuck(path string, in io.Reader, out io.Writer) error {
	return childBank(path, in, func(s *sqlitestore.Store, txs semel.Transactions) error {
		ctx, r := uncancelled(), reservation("a")
		r.Deferred = true
		if txs.Mode() == semel.ClaimTx {
			if _, err := s.Reserve(ctx, r); err != nil {
				return err
			}
		}
		x, err := txs.Begin(ctx)
		if err != nil {
			return err
		}
		if txs.Mode() == semel.ClaimTx {
			err = x.Lock(ctx, r.Key, r.Token)
		} else {
			_, err = x.Reserve(ctx, r)
		}
		if err != nil {
			return err
		}
		if _, err := semelsql.TxFrom(x.Attach(ctx)).ExecContext(ctx, book, "a"); err != nil {
			return err
		}
		if err := x.Complete(ctx, completion(r, "booked")); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, "written")
		_, err = io.Copy(io.Discard, in)
		return err
	})
}

// childCalls books entries under few keys until it is killed, and writes a line for
// each answer.
func childCalls(path string, in io.Reader, out io.Writer) error {
	return childBank(path, in, func(s *sqlitestore.Store, txs semel.Transactions) error {
		e, err := hastyEngine(s)
		if err != nil {
			return err
		}
		var mu sync.Mutex
		errs := make(chan error)
		for range 6 {
			go func() {
				for {
					id := fmt.Sprint("key-", rand.N(callKeys))
					_, err := callTx(e, txs, id)
					switch {
					case err == nil:
						mu.Lock()
						_, _ = fmt.Fprintln(out, id)
						mu.Unlock()
					case !passes(err):
						errs <- err
						return
					}
				}
			}()
		}
		return <-errs
	})
}

const callKeys = 200

// passes reports whether another call may succeed: somebody else is at work, or a slow
// machine has let a short lease end.
func passes(err error) bool {
	for _, kind := range []error{semel.ErrInFlight, semel.ErrTxBusy, semel.ErrTimeout, semel.ErrLost, context.Canceled} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// hastyEngine has the shortest lease, so that what a killed process left is taken
// over soon.
func hastyEngine(s *sqlitestore.Store) (*semel.Engine, error) {
	return semel.New(s, semel.Config{
		Lease: time.Second, Margin: -1, ReserveTimeout: 20 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
}

func callTx(e *semel.Engine, txs semel.Transactions, id string) (semel.Result[string], error) {
	return semel.DoTx(uncancelled(), e, callOf(id), txs, func(ctx context.Context) (string, error) {
		_, err := semelsql.TxFrom(ctx).ExecContext(ctx, book, id)
		return "booked " + id, err
	})
}
