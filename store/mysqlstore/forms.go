package mysqlstore

// forms are the statements that a server has its own form of. None of them waits for
// a row that the business transaction of an attempt has locked.
type forms struct {
	// insert takes a slot that has no row. A row that is locked is there for it.
	insert string
	// slotLast: insert wants the slot once more, at its end.
	slotLast bool
	// lookFirst: insert waits all the same, so that a look comes before it.
	lookFirst bool
	// takeOver takes a lapsed slot. A row that is locked it leaves alone.
	takeOver string
	// slotFirst: takeOver wants the slot once more, at its start.
	slotFirst bool
	// renew renews leases. It passes over locked rows, or fails when whole.
	renew string
	whole bool
}

// formsOf returns the forms for a server. MariaDB can tell one statement not to
// wait; MySQL can pass over locked rows, and so can MariaDB since 10.6.
func (s *statements) formsOf(f *facts) *forms {
	if !f.mariaDB() {
		return &forms{
			insert: s.insertAbsent, slotLast: true, lookFirst: f.isolation() != "READ-COMMITTED",
			takeOver: s.takeUnlocked, slotFirst: true, renew: s.renew,
		}
	}
	own := &forms{insert: noWait + s.insert, takeOver: noWait + s.take, renew: s.renew}
	if !f.atLeast(10, 6) {
		own.renew, own.whole = s.renewWhole, true
	}
	return own
}
