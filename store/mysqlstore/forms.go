package mysqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/semel-go/semel"
)

// forms are the statements that a server has its own form of, and what they need to
// know of it. None of them waits for a row that the business transaction of an attempt
// has locked.
type forms struct {
	// insert takes a slot that has no row. A row that is locked is there for it.
	insert string
	// slotLast: insert wants the slot once more, at its end.
	slotLast bool
	// lookFirst: insert waits all the same in transactions of other levels than
	// READ COMMITTED, so that a look comes before it.
	lookFirst bool
	// takeOver takes a lapsed slot. A row that is locked it leaves alone.
	takeOver string
	// slotFirst: takeOver wants the slot once more, at its start.
	slotFirst bool
	// renew renews leases. It passes over locked rows, or fails when whole.
	renew string
	whole bool

	// completeOpen is completeLocked where statements commit by themselves once a
	// transaction has ended: on MariaDB, which can tell, it does nothing then.
	completeOpen string
	// lookNow is look that fails where it would wait. It names the database, as a
	// connection of business code may have changed to another one.
	lookNow string
	// findNow is find where a plain read locks, at SERIALIZABLE.
	findNow string
	// insertSingle and takeSingle are insert and takeOver, also of what is free or
	// expired, with the slot's named lock, whose name comes after insert's and
	// takeOver's arguments. insertSingle wants the slot once more behind it, where
	// insert does.
	insertSingle, takeSingle string

	readCommitted bool   // the level of the store's own sessions
	level         string // the variable for the isolation level
	schema, table string // the database, and the table in it
}

// formsOf returns the forms for a server. MariaDB can tell one statement not to
// wait; MySQL can pass over locked rows, and so can MariaDB since 10.6.
func (s *statements) formsOf(f *facts) *forms {
	own := &forms{
		renew: s.renew, level: "tx_isolation", schema: f.schema, table: s.table,
		readCommitted: f.isolation() == "READ-COMMITTED",
	}
	if _, ok := f.settings["transaction_isolation"]; ok {
		own.level = "transaction_isolation"
	}
	if !f.mariaDB() {
		own.insert, own.slotLast, own.lookFirst = s.insertAbsent, true, true
		own.takeOver, own.slotFirst = s.takeUnlocked, true
		own.findNow = s.find + " FOR UPDATE NOWAIT" // MariaDB, on which the tests run, has no FOR SHARE
		own.completeOpen, own.lookNow = s.completeLocked, own.inSchema(own.findNow)
		own.insertSingle, own.takeSingle = s.insertBoth, own.takeOver+" AND "+named
		return own
	}
	own.insert, own.takeOver, own.findNow = noWait+s.insert, noWait+s.take, noWait+s.find
	own.completeOpen, own.lookNow = s.completeLocked+" AND @@in_transaction = 1", own.inSchema(noWait+s.look)
	own.insertSingle, own.takeSingle = noWait+s.insertNamed, own.takeOver+" AND "+named
	if !f.atLeast(10, 6) {
		own.renew, own.whole = s.renewWhole, true
	}
	return own
}

// inSchema returns a statement that names the database of the table.
func (f *forms) inSchema(text string) string {
	return strings.Replace(text, "`"+f.table+"`", "`"+strings.ReplaceAll(f.schema, "`", "``")+"`.`"+f.table+"`", 1)
}

// nameOf returns the name of a slot's lock, which is one of the whole server's. It has
// 54 characters, of 64 at most.
func (f *forms) nameOf(slot semel.Slot) string {
	sum := sha256.Sum256(append([]byte(f.schema+"."+f.table+"."), slot[:]...))
	return "semel " + hex.EncodeToString(sum[:24])
}
