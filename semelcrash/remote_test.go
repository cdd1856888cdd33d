package semelcrash_test

import (
	"context"
	"encoding/gob"
	"errors"
	"iter"
	"net"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// remote is the database, seen from the process of a service.
type remote struct {
	addr string
	*line
}

var (
	_ semel.Renewer        = (*remote)(nil)
	_ semel.EffectBeginner = (*remote)(nil)
	_ semel.Lister         = (*remote)(nil)
	_ semel.Looker         = (*remote)(nil)
)

// unlisted is a store that cannot list.
type unlisted struct {
	semel.Store
	semel.Renewer
}

// line is one connection.
type line struct {
	mu   sync.Mutex
	conn net.Conn
	out  *gob.Encoder
	in   *gob.Decoder
}

func dial(addr string) (*line, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &line{conn: conn, out: gob.NewEncoder(conn), in: gob.NewDecoder(conn)}, nil
}

func connect(addr string) (*remote, error) {
	l, err := dial(addr)
	return &remote{addr, l}, err
}

var errBusy = errors.New("another transaction is in the way")

func (l *line) do(c call) (r reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = l.out.Encode(c); err == nil {
		err = l.in.Decode(&r)
	}
	switch {
	case err != nil:
		return r, err
	case r.Busy:
		return r, errBusy
	case r.Is:
		return r, semel.ErrLost
	}
	return r, nil
}

func (r *remote) Reserve(_ context.Context, want semel.Reservation) (semel.Record, error) {
	got, err := r.do(call{Op: "reserve", Reserve: want})
	return got.Held, err
}

func (r *remote) Complete(_ context.Context, c semel.Completion) error {
	_, err := r.do(call{Op: "complete", Complete: c})
	return err
}

func (r *remote) Release(_ context.Context, key semel.Key, token semel.Token) error {
	_, err := r.do(call{Op: "release", Key: key, Token: token})
	return err
}

func (r *remote) BeginEffects(_ context.Context, key semel.Key, token semel.Token) error {
	_, err := r.do(call{Op: "begin-effects", Key: key, Token: token})
	return err
}

func (r *remote) Renew(_ context.Context, d time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	got, err := r.do(call{Op: "renew", Lease: d, Holders: holders})
	return got.Lost, err
}

func (r *remote) List(_ context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		got, err := r.do(call{Op: "list", ID: f.ID})
		if err != nil {
			yield(semel.Record{}, err)
			return
		}
		for _, held := range got.Records {
			if !yield(held, nil) {
				return
			}
		}
	}
}

func (r *remote) Look(_ context.Context, key semel.Key) (semel.Record, error) {
	got, err := r.do(call{Op: "list", Key: key, ID: key.ID})
	if err != nil || len(got.Records) == 0 {
		return semel.Record{Key: key}, err
	}
	return got.Records[0], nil
}

// effect is one for all to see, and effects counts them.
func (r *remote) effect(id string) error {
	_, err := r.do(call{Op: "effect", ID: id})
	return err
}

func (r *remote) effects(id string) (int, error) {
	got, err := r.do(call{Op: "effects", ID: id})
	return got.Count, err
}

// transactions are those of the database.
type transactions struct {
	*remote
	mode semel.TxMode
}

func (t transactions) Mode() semel.TxMode   { return t.mode }
func (t transactions) Store() semel.Store   { return t.remote }
func (t transactions) Again(err error) bool { return errors.Is(err, errBusy) }

func (t transactions) Begin(context.Context) (semel.Transaction, error) {
	l, err := dial(t.addr)
	if err != nil {
		return nil, err
	}
	return &transaction{l}, nil
}

// transaction is one on a connection of its own.
type transaction struct{ *line }

func (x *transaction) Lock(_ context.Context, key semel.Key, token semel.Token) error {
	_, err := x.do(call{Op: "tx-lock", Key: key, Token: token})
	return err
}

func (x *transaction) Reserve(_ context.Context, want semel.Reservation) (semel.Record, error) {
	got, err := x.do(call{Op: "tx-reserve", Reserve: want})
	return got.Held, err
}

func (x *transaction) Complete(_ context.Context, c semel.Completion) error {
	_, err := x.do(call{Op: "tx-complete", Complete: c})
	return err
}

type txKey struct{}

func (x *transaction) Attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{}, x)
}

func (x *transaction) effect(id string) error {
	_, err := x.do(call{Op: "tx-effect", ID: id})
	return err
}

func (x *transaction) Err() error { return nil }

func (x *transaction) Commit(context.Context) error {
	_, err := x.do(call{Op: "tx-commit"})
	if err != nil {
		return errors.Join(semel.ErrCommitUnknown, err)
	}
	return nil
}

func (x *transaction) Rollback(context.Context) { _ = x.conn.Close() }

// oneTrip is a transaction that completes and commits in one round trip.
type oneTrip struct{ *transaction }

func (x oneTrip) CompleteAndCommit(_ context.Context, c semel.Completion) error {
	_, err := x.do(call{Op: "tx-complete-and-commit", Complete: c})
	if err != nil && !errors.Is(err, semel.ErrLost) {
		return errors.Join(semel.ErrCommitUnknown, err)
	}
	return err
}

// oneTrips begins them.
type oneTrips struct{ transactions }

func (t oneTrips) Begin(ctx context.Context) (semel.Transaction, error) {
	begun, err := t.transactions.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return oneTrip{begun.(*transaction)}, nil
}

// ownTx is a transaction that a handler has begun.
type ownTx struct{ *transaction }

func (x ownTx) Steps(store semel.Store) (semel.TxSteps, error) {
	if _, ok := semel.As[*remote](store); !ok {
		return nil, semel.ErrOtherStore
	}
	return x.transaction, nil
}
