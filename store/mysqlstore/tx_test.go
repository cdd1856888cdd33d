package mysqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// isolations are those that transactions may have.
var isolations = []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}

// bank is a store beside a table of business writes, and its transactions.
type bank struct {
	t      *testing.T
	server *servertest.Server
	dsn    string
	db     *sql.DB // for looking on
	store  *mysqlstore.Store
	txs    semel.Transactions
	at     sql.IsolationLevel
}

// newBank opens a store on server, with transactions on the store's own pool.
func newBank(t *testing.T, server *servertest.Server, cfg mysqlstore.TxConfig) *bank {
	t.Helper()
	dsn := database(t, server, "")
	b := &bank{t: t, server: server, dsn: dsn, db: pool(t, dsn), store: open(t, dsn, mysqlstore.Config{}), at: cfg.Isolation}
	run(t, b.db, "CREATE TABLE effects (name VARCHAR(100) NOT NULL) ENGINE = InnoDB")
	b.txs = b.store.Transactions(nil, cfg)
	return b
}

// eachLevel runs a test at every isolation level.
func eachLevel(t *testing.T, mode semel.TxMode, test func(t *testing.T, b *bank)) {
	t.Helper()
	server := servertest.MariaDB(t)
	for _, level := range isolations {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			test(t, newBank(t, server, mysqlstore.TxConfig{Mode: mode, Isolation: level}))
		})
	}
}

// begun is an open transaction.
type begun struct {
	semel.Transaction
	b   *bank
	ctx context.Context //nolint:containedctx // what a handler gets
}

func (b *bank) begin() *begun {
	b.t.Helper()
	x, err := b.txs.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { x.Rollback(context.Background()) })
	return &begun{x, b, x.Attach(b.t.Context())}
}

// locked begins a transaction that has r's slot locked.
func (b *bank) locked(r semel.Reservation) *begun {
	b.t.Helper()
	x := b.begin()
	if err := x.Lock(x.ctx, r.Key, r.Token); err != nil {
		b.t.Fatal(err)
	}
	return x
}

// taken begins a transaction that has reserved r's slot.
func (b *bank) taken(r semel.Reservation) *begun {
	b.t.Helper()
	x := b.begin()
	held, err := x.Reserve(x.ctx, r)
	if err != nil || held.State != semel.StateReserved || held.Token != r.Token {
		b.t.Fatalf("got a %v slot held by %v (%v), want it ours", held.State, held.Token, err)
	}
	return x
}

func (x *begun) exec(text string, args ...any) error {
	_, err := semelsql.TxFrom(x.ctx).ExecContext(x.ctx, text, args...)
	return err
}

// write is a business write.
func (x *begun) write(name string) {
	x.b.t.Helper()
	if err := x.exec("INSERT INTO effects VALUES (?)", name); err != nil {
		x.b.t.Fatal(err)
	}
}

// connection is the number of the transaction's connection.
func (x *begun) connection() (id int64) {
	x.b.t.Helper()
	if err := semelsql.TxFrom(x.ctx).QueryRowContext(x.ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		x.b.t.Fatal(err)
	}
	return id
}

func (x *begun) commit(r semel.Reservation, body string) error {
	if err := x.Complete(x.ctx, completion(r, body)); err != nil {
		return err
	}
	return x.Commit(x.ctx)
}

// effects counts the committed business writes of a name.
func (b *bank) effects(name string) (n int) {
	b.t.Helper()
	if err := b.db.QueryRow("SELECT COUNT(*) FROM effects WHERE name = ?", name).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bank) wantEffects(name string, want int) {
	b.t.Helper()
	if got := b.effects(name); got != want {
		b.t.Errorf("%s: got %d business writes, want %d", name, got, want)
	}
}

// holds returns what a competitor hears, who takes nothing over.
func (b *bank) holds(r semel.Reservation) semel.Record {
	b.t.Helper()
	held, err := b.store.Reserve(b.t.Context(), anew(r))
	if err != nil {
		b.t.Fatal(err)
	}
	return held
}

// wantHeld checks that a slot is reserved by r.
func (b *bank) wantHeld(r semel.Reservation) {
	b.t.Helper()
	if held := b.holds(r); held.State != semel.StateReserved || held.Token != r.Token {
		b.t.Errorf("got a %v slot held by %v, want it reserved by %v", held.State, held.Token, r.Token)
	}
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// overtake lets another attempt take r's slot over.
func (b *bank) overtake(r semel.Reservation) semel.Reservation {
	b.t.Helper()
	if _, err := b.store.Renew(b.t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
		b.t.Fatal(err)
	}
	next := anew(r)
	next.TakeOver = true
	mustReserve(b.t, b.store, next)
	return next
}

// I8: record and business writes are committed together, seen by nobody before.
func TestTxCommits(t *testing.T) {
	t.Parallel()
	eachLevel(t, semel.ClaimTx, func(t *testing.T, b *bank) {
		t.Helper()
		r := reservation("k")
		mustReserve(t, b.store, r)
		x := b.locked(r)
		x.write("k")
		if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
			t.Fatal(err)
		}
		b.wantEffects("k", 0)
		b.wantHeld(r)
		if err := x.Commit(x.ctx); err != nil {
			t.Fatal(err)
		}
		b.wantEffects("k", 1)
		mustReplay(t, b.store, r, "body")

		again := b.begin()
		wantError(t, again.Lock(again.ctx, r.Key, r.Token), semel.ErrLost)
		again.Rollback(again.ctx)
		again = b.begin()
		wantError(t, again.Complete(again.ctx, completion(r, "twice")), semel.ErrLost)
		if err := again.Commit(again.ctx); err == nil {
			t.Error("got a commit after ErrLost")
		}
		mustReplay(t, b.store, r, "body")
	})
}

// I8: a rollback leaves the slot reserved and nothing else, and the attempt may
// begin again.
func TestTxRollsBack(t *testing.T) {
	t.Parallel()
	eachLevel(t, semel.ClaimTx, func(t *testing.T, b *bank) {
		t.Helper()
		r := reservation("k")
		mustReserve(t, b.store, r)
		for _, completed := range []bool{false, true} {
			x := b.locked(r)
			x.write("k")
			if completed {
				if err := x.Complete(x.ctx, completion(r, "rolled back")); err != nil {
					t.Fatal(err)
				}
			}
			x.Rollback(x.ctx)
			b.wantEffects("k", 0)
			b.wantHeld(r)
		}
		x := b.locked(r)
		x.write("k")
		if err := x.commit(r, "body"); err != nil {
			t.Fatal(err)
		}
		b.wantEffects("k", 1)
		mustReplay(t, b.store, r, "body")
	})
}

// I4, I8: an attempt that lost its slot hears ErrLost from Lock, and from Complete if
// it never asked, at every isolation level: also when it has read the slot before, so
// that its snapshot shows it as its own.
func TestTxLost(t *testing.T) {
	t.Parallel()
	eachLevel(t, semel.ClaimTx, func(t *testing.T, b *bank) {
		t.Helper()
		for i, step := range []func(x *begun, r semel.Reservation) error{
			func(x *begun, r semel.Reservation) error { return x.Lock(x.ctx, r.Key, r.Token) },
			func(x *begun, r semel.Reservation) error { return x.Complete(x.ctx, completion(r, "lost")) },
		} {
			r := reservation(fmt.Sprint(i))
			mustReserve(t, b.store, r)
			x := b.begin()
			var n int
			if err := semelsql.TxFrom(x.ctx).QueryRowContext(x.ctx, "SELECT COUNT(*) FROM effects").Scan(&n); err != nil {
				t.Fatal(err) // which makes the snapshot
			}
			next := b.overtake(r)
			x.write("lost")
			wantError(t, step(x, r), semel.ErrLost)
			if err := x.Commit(x.ctx); err == nil {
				t.Error("got a commit after ErrLost")
			}
			b.wantEffects("lost", 0)
			b.wantHeld(next)
		}
	})
}

// I1, L1: a locked slot is nobody else's whatever its lease says, nobody waits for it,
// and a connection that is killed frees it at once.
func TestTxHolds(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	for _, level := range isolations {
		b := newBank(t, server, mysqlstore.TxConfig{Isolation: level})
		r := reservation("k")
		r.Lease, r.Deferred = time.Microsecond, true
		mustReserve(t, b.store, r)
		x := b.locked(r)
		x.write("k")
		waits := status(t, b.db, "Innodb_row_lock_waits")
		taker, blameless := anew(r), anew(r)
		taker.TakeOver, blameless.TakeOverBlameless = true, true
		for _, ask := range []semel.Reservation{anew(r), taker, blameless} {
			held, err := b.store.Reserve(t.Context(), ask)
			if err != nil || held.Token != r.Token || !held.Lapsed || !held.Blameless() {
				t.Errorf("got it held by %v, lapsed %v (%v), want the attempt in its transaction", held.Token, held.Lapsed, err)
			}
		}
		holders := []semel.Holder{{Key: r.Key, Token: r.Token}}
		lost, err := b.store.Renew(t.Context(), time.Hour, holders)
		if some, ok := errors.AsType[*semel.UnrenewedError](err); !ok || len(some.Tokens) != 1 || len(lost) > 0 {
			t.Errorf("got %d lost, %v, want the holder of the locked row named", len(lost), err)
		}
		if got := status(t, b.db, "Innodb_row_lock_waits"); got != waits {
			t.Errorf("%v: got %d waits, want none", level, got-waits)
		}
		run(t, b.db, "KILL ?", x.connection())
		waitFor(t, func() bool {
			held, err := b.store.Reserve(t.Context(), blameless)
			return err == nil && held.Token == blameless.Token && held.Lapses == 0
		})
		err = x.exec("INSERT INTO effects VALUES ('late')")
		if err == nil || !b.txs.Again(err) || !b.txs.Again(x.Err()) {
			t.Errorf("got %v, %v, want the broken connection noted", err, x.Err())
		}
		x.Rollback(x.ctx)
		b.wantEffects("k", 0)
		again := b.begin()
		wantError(t, again.Lock(again.ctx, r.Key, r.Token), semel.ErrLost)
		again.Rollback(again.ctx)
	}
}
