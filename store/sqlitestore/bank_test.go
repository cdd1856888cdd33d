package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// bank is an application with a ledger in the file of the records.
type bank struct {
	*sqlitestore.Store
	t    *testing.T
	path string
	db   *sql.DB
}

// kinds are the two kinds of file that records and business tables share.
var kinds = map[string]sqlitestore.Config{"own": {}, "guest": {Guest: true}}

// eachKind runs a test on a file of either kind.
func eachKind(t *testing.T, test func(b *bank)) {
	t.Helper()
	for name, cfg := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(openBank(t, newPath(t), cfg))
		})
	}
}

// eachMode runs a test with transactions of either mode, on a file of either kind.
func eachMode(t *testing.T, test func(b *bank, txs semel.Transactions)) {
	t.Helper()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			eachKind(t, func(b *bank) { test(b, b.transactions(mode)) })
		})
	}
}

const pragmas = "_pragma=busy_timeout(10000)&_pragma=wal_autocheckpoint(0)"

// openLedger opens the application's side of the file.
func openLedger(path, pragmas string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas)
	if err == nil {
		_, err = db.ExecContext(uncancelled(), "CREATE TABLE IF NOT EXISTS ledger (entry TEXT NOT NULL) STRICT")
	}
	return db, err
}

func openBank(t *testing.T, path string, cfg sqlitestore.Config) *bank {
	t.Helper()
	b := &bank{Store: open(t, path, cfg), t: t, path: path}
	b.db = b.ledger(pragmas)
	return b
}

// ledger opens another pool of connections to the file.
func (b *bank) ledger(pragmas string) *sql.DB {
	b.t.Helper()
	db, err := openLedger(b.path, pragmas)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (b *bank) transactions(mode semel.TxMode) semel.Transactions {
	b.t.Helper()
	txs, err := b.Transactions(b.db, sqlitestore.TxConfig{Mode: mode})
	if err != nil {
		b.t.Fatal(err)
	}
	return txs
}

func (b *bank) engine() *semel.Engine {
	b.t.Helper()
	e, err := semel.New(b.Store, semel.Config{ // a slow machine fails no test
		Lease: time.Hour, MaxRun: time.Hour, ReserveTimeout: time.Minute, CompleteTimeout: time.Minute,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = e.Close(uncancelled()) })
	return e
}

const book = "INSERT INTO ledger (entry) VALUES (?)"

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// book writes one entry, the effect of these tests.
func (b *bank) book(tx execer, entry string) {
	b.t.Helper()
	if _, err := tx.ExecContext(b.t.Context(), book, entry); err != nil {
		b.t.Fatal(err)
	}
}

// wantBooked checks how often entry is in the ledger.
func (b *bank) wantBooked(entry string, want int64) {
	b.t.Helper()
	if got := look(b.t, b.path, "SELECT count(*) FROM ledger WHERE entry = '"+entry+"'"); got != want {
		b.t.Errorf("%s: got %d entries in the ledger, want %d", entry, got, want)
	}
}

// claim reserves the slot of id for an attempt that has promised no effect.
func (b *bank) claim(id string) (semel.Reservation, semel.Record) {
	b.t.Helper()
	r := reservation(id)
	r.Deferred = true
	return r, mustReserve(b.t, b, r)
}

// lapsed is claim with a lease that is over at once.
func (b *bank) lapsed(id string) (semel.Reservation, semel.Record) {
	b.t.Helper()
	r := reservation(id)
	r.Deferred, r.Lease = true, time.Microsecond
	return r, mustReserve(b.t, b, r)
}

// heir is the same request in an attempt that may take everything over.
func heir(r semel.Reservation) semel.Reservation {
	r.Token, r.TakeOver, r.Lease = semel.NewToken(), true, time.Minute
	return r
}

// wantHeld checks what a slot holds, without waiting for anybody.
func (b *bank) wantHeld(r semel.Reservation, state semel.State) {
	b.t.Helper()
	found := semel.Record{State: semel.StateFree}
	for rec, err := range b.List(b.t.Context(), semel.Filter{Scope: r.Key.Scope, ID: r.Key.ID}) {
		if err != nil {
			b.t.Fatal(err)
		}
		found = rec
	}
	if found.State != state || state != semel.StateFree && found.Token != r.Token {
		b.t.Errorf("%s: got a %s slot of %v, want it %s by %v", r.Key.ID, found.State, found.Token, state, r.Token)
	}
}

// begun is a transaction of the application, and the steps in it.
type begun struct {
	*sql.Tx
	semel.TxSteps
}

// beginTx begins a transaction as an application does.
func (b *bank) beginTx(db *sql.DB) begun {
	b.t.Helper()
	tx, err := db.BeginTx(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = tx.Rollback() })
	steps, err := sqlitestore.Tx(tx).Steps(b.Store)
	if err != nil {
		b.t.Fatal(err)
	}
	return begun{tx, steps}
}

// begin begins a transaction of txs. business is the context of business code.
func (b *bank) begin(txs semel.Transactions) (x semel.Transaction, business *semelsql.Tx) {
	b.t.Helper()
	x, err := txs.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { x.Rollback(uncancelled()) })
	return x, semelsql.TxFrom(x.Attach(b.t.Context()))
}

// enter begins the attempt of id: its first step in a transaction of txs has
// succeeded.
func (b *bank) enter(txs semel.Transactions, id string) (semel.Reservation, semel.Transaction, *semelsql.Tx) {
	b.t.Helper()
	r := reservation(id)
	r.Deferred = true
	if txs.Mode() == semel.ClaimTx {
		mustReserve(b.t, b, r)
	}
	x, business := b.begin(txs)
	b.enterAgain(txs, x, r)
	return r, x, business
}

func (b *bank) enterAgain(txs semel.Transactions, x semel.Transaction, r semel.Reservation) {
	b.t.Helper()
	if txs.Mode() == semel.ClaimTx {
		b.must(x.Lock(b.t.Context(), r.Key, r.Token))
		return
	}
	held, err := x.Reserve(b.t.Context(), r)
	if b.must(err); held.Token != r.Token {
		b.t.Fatalf("got the slot held by %v, want %v", held.Token, r.Token)
	}
}

func (b *bank) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// total is how many entries the ledger has.
func (b *bank) total() int64 {
	b.t.Helper()
	return look(b.t, b.path, "SELECT count(*) FROM ledger")
}

// doTx runs one call that books an entry under its key.
func (b *bank) doTx(e *semel.Engine, txs semel.Transactions, id string) (semel.Result[string], error) {
	return semel.DoTx(b.t.Context(), e, callOf(id), txs, func(ctx context.Context) (string, error) {
		_, err := semelsql.TxFrom(ctx).ExecContext(ctx, book, id)
		return "booked " + id, err
	})
}

func callOf(id string) semel.Call {
	return semel.Call{
		Key: semel.Key{Scope: "tenant", ID: id}, Fingerprint: semel.FingerprintOf([]byte(fmt.Sprint("book ", id))),
	}
}
