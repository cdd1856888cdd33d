package mysqlstore_test

import (
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// I8: a handler cannot end the transaction, neither by its methods nor by a statement
// that commits by itself; then nothing of it is committed.
func TestHandlerCommits(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	for _, text := range []string{
		"COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION", "SET autocommit = 1",
		"CREATE TABLE others (n INT)", "alter table effects ADD COLUMN n INT", "DROP TABLE effects", "TRUNCATE effects",
		"RENAME TABLE effects TO others", "LOCK TABLES effects WRITE", "UNLOCK TABLES", "/* why */ ANALYZE TABLE effects",
		"GRANT SELECT ON *.* TO root", "FLUSH TABLES", "OPTIMIZE TABLE effects", "SET PASSWORD = ''", "LOAD INDEX INTO CACHE effects",
		"START SLAVE",
	} {
		x := b.locked(r)
		x.write("k")
		if err := x.exec(text); !errors.Is(err, semel.ErrTxOwned) {
			t.Errorf("%s: got %v, want ErrTxOwned", text, err)
		}
		wantError(t, x.commit(r, "body"), semel.ErrTxOwned)
		x.Rollback(x.ctx)
		b.wantEffects("k", 0)
		b.wantHeld(r)
	}
	x := b.locked(r)
	for _, text := range []string{
		"CREATE TEMPORARY TABLE others (n INT) ENGINE = InnoDB", "DROP TEMPORARY TABLE others", "ANALYZE SELECT 1",
		"SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "SET @n = 1",
	} {
		if err := x.exec(text); err != nil {
			t.Errorf("%s: got %v, want it run", text, err)
		}
	}
	x.write("k")
	if err := x.commit(r, "body"); err != nil {
		t.Fatal(err)
	}
	b.wantEffects("k", 1)
}

// deadlocked lets the transaction of x become the victim of a deadlock by a prepared
// statement, whose errors the handle does not see, and returns the error.
func deadlocked(t *testing.T, b *bank, x *begun) error {
	t.Helper()
	run(t, b.db, "CREATE TABLE IF NOT EXISTS accounts (id INT NOT NULL PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB")
	run(t, b.db, "DELETE FROM accounts")
	for id := range 40 {
		run(t, b.db, "INSERT INTO accounts VALUES (?, 0)", id)
	}
	const update = "UPDATE accounts SET n = n + 1 WHERE id = ?"
	if err := x.exec(update, 1); err != nil {
		t.Fatal(err)
	}
	heavy, err := b.db.Begin() // changes more, so it is not the victim
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = heavy.Rollback() }()
	if _, err := heavy.Exec("UPDATE accounts SET n = n + 1 WHERE id > 1"); err != nil {
		t.Fatal(err)
	}
	st, err := semelsql.TxFrom(x.ctx).PrepareContext(x.ctx, update)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	id := x.connection()
	done := make(chan error)
	go func() {
		_, err := st.ExecContext(x.ctx, 2)
		done <- err
	}()
	waitFor(t, func() bool { return waiting(t, b.db, id) })
	if _, err := heavy.Exec(update, 1); err != nil {
		t.Fatal(err)
	}
	return <-done
}

// oneLooks lets one test at a time look at the table of transactions.
var oneLooks sync.Mutex

// waiting reports whether a connection waits for a lock. InnoDB shows what it has shown
// before to those who look within 100 ms of each other, all of them together.
func waiting(t *testing.T, db *sql.DB, id int64) bool {
	t.Helper()
	oneLooks.Lock()
	defer oneLooks.Unlock()
	time.Sleep(120 * time.Millisecond)
	var n int
	err := db.QueryRow("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ? AND trx_state = 'LOCK WAIT'", id).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// I8: after a deadlock that a handler passes over, the server has rolled back. What the
// handler writes then is not committed either, neither alone nor with the record.
func TestHandlerPassesOverDeadlock(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{Mode: mode})
		r := reservation("k")
		x := (*begun)(nil)
		if mode == semel.ClaimTx {
			mustReserve(t, b.store, r)
			x = b.locked(r)
		} else {
			x = b.taken(r)
		}
		x.write("before")
		if err := deadlocked(t, b, x); !b.txs.Again(err) {
			t.Fatalf("got %v, want a deadlock", err)
		}
		x.write("after")
		err := x.commit(r, "body")
		if err == nil || errors.Is(err, semel.ErrLost) || !b.txs.Again(err) {
			t.Errorf("%v: got %v, again %v, want it repeated", mode, err, b.txs.Again(err))
		}
		x.Rollback(x.ctx)
		b.wantEffects("before", 0)
		b.wantEffects("after", 0)
		if held := b.holds(r); held.State == semel.StateCompleted {
			t.Errorf("%v: got a completed slot", mode)
		}
	}
}

// I8: a deadlock that the handle sees ends the transaction there and then.
func TestHandlerMeetsDeadlock(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	x := b.locked(r)
	// The dialect's judgement, which statements of the handle ask.
	err := deadlocked(t, b, x)
	if got := mysqlstore.DamageOf(err); got != semelsql.Gone {
		t.Errorf("got the damage %v of %v, want the transaction gone", got, err)
	}
}

// I8: a lock that was not to be had undoes its statement, and on some servers the
// transaction; then nothing is committed.
func TestHandlerPassesOverTimeout(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_rollback_on_timeout=1")
	for _, all := range []bool{true, false} {
		if !all {
			server = servertest.MariaDB(t)
		}
		b := newBank(t, server, mysqlstore.TxConfig{})
		r := reservation("k")
		mustReserve(t, b.store, r)
		run(t, b.db, "INSERT INTO effects VALUES ('locked')")
		other, err := b.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Exec("SELECT 1 FROM effects FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		x := b.locked(r)
		err = x.exec("SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE effects SET name = 'unlocked'")
		if err == nil || !b.txs.Again(err) {
			t.Fatalf("got %v, want a lock that was not to be had", err)
		}
		_ = other.Rollback()
		x.write("k")
		if err := x.commit(r, "body"); (err != nil) != all {
			t.Errorf("rolls back all %v: got %v", all, err)
		}
		x.Rollback(x.ctx)
		want := 1
		if all {
			want = 0
			b.wantHeld(r)
		}
		b.wantEffects("k", want)
	}
}

// An error that undoes its own statement alone is the handler's.
func TestHandlerMeetsDuplicate(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	run(t, b.db, "ALTER TABLE effects ADD PRIMARY KEY (name)")
	r := reservation("k")
	mustReserve(t, b.store, r)
	x := b.locked(r)
	x.write("k")
	if err := x.exec("INSERT INTO effects VALUES ('k')"); err == nil || x.Err() != nil || b.txs.Again(err) {
		t.Errorf("got %v, %v, want an error that spoils nothing", err, x.Err())
	}
	if err := x.commit(r, "body"); err != nil {
		t.Fatal(err)
	}
	b.wantEffects("k", 1)
}

// Transactions leave a pool's connections as they were, and give their locks back.
func TestConnectionsGivenBack(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	for _, params := range []string{"", "?autocommit=0"} {
		business := pool(t, dsn+params)
		business.SetMaxOpenConns(1)
		s := open(t, dsn, mysqlstore.Config{})
		session := func() (text string) {
			t.Helper()
			err := business.QueryRow("SELECT CONCAT(CONNECTION_ID(), ' ', @@autocommit, ' ', @@tx_isolation, ' ', RELEASE_ALL_LOCKS())").Scan(&text)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		want := session()
		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			txs := s.Transactions(business, mysqlstore.TxConfig{Mode: mode, Isolation: sql.LevelSerializable})
			for _, commit := range []bool{true, false} {
				x, err := txs.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r := reservation(semel.NewToken().String())
				if mode == semel.ClaimTx {
					mustReserve(t, s, r)
					err = x.Lock(t.Context(), r.Key, r.Token)
				} else {
					_, err = x.Reserve(t.Context(), r)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := x.Complete(t.Context(), completion(r, "body")); err != nil {
					t.Fatal(err)
				}
				if commit {
					if err := x.Commit(t.Context()); err != nil {
						t.Fatal(err)
					}
					mustReplay(t, s, r, "body")
				}
				x.Rollback(t.Context())
				if got := session(); got != want {
					t.Errorf("%s%v, committed %v: got the session %q, want %q", params, mode, commit, got, want)
				}
			}
		}
	}
}

// What is wrong with a configuration is said at each begin; a pool that leads to another
// database or server is one.
func TestTransactionsRefused(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "")
	s := open(t, dsn, mysqlstore.Config{})
	for name, txs := range map[string]semel.Transactions{
		"level":         s.Transactions(nil, mysqlstore.TxConfig{Isolation: sql.LevelReadUncommitted}),
		"snapshot":      s.Transactions(nil, mysqlstore.TxConfig{Isolation: sql.LevelSnapshot}),
		"mode":          s.Transactions(nil, mysqlstore.TxConfig{Mode: 7}),
		"database":      s.Transactions(pool(t, database(t, server, "")), mysqlstore.TxConfig{}),
		"no database":   s.Transactions(pool(t, server.DSN()), mysqlstore.TxConfig{}),
		"server":        s.Transactions(pool(t, database(t, servertest.NewMariaDB(t), "")), mysqlstore.TxConfig{}),
		"not reachable": s.Transactions(pool(t, "root@tcp(127.0.0.1:1)/x"), mysqlstore.TxConfig{}),
	} {
		_, err := txs.Begin(t.Context())
		if err == nil {
			t.Errorf("%s: got a transaction", name)
		}
		if other := errors.Is(err, semel.ErrOtherStore); other != (name == "database" || name == "no database" || name == "server") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	txs := s.Transactions(nil, mysqlstore.TxConfig{})
	if txs.Store() != semel.Store(s) || txs.Mode() != semel.ClaimTx {
		t.Errorf("got the store %v and mode %v", txs.Store(), txs.Mode())
	}
	x, err := txs.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x.Rollback(t.Context())
	_ = s.Close()
	if _, err := txs.Begin(t.Context()); !errors.Is(err, mysqlstore.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
