package proof

func sqliteMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "store/sqlitestore/" + file, before, after, "store/sqlitestore", test}
	}
	return []Mutant{
		mutant("SQLite: a foreign token completes", "sql/complete.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$"),
		mutant("SQLite: a foreign token completes late", "sql/complete_late.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$"),
		mutant("SQLite: a foreign token releases", "sql/release.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$"),
		mutant("SQLite: a foreign token renews", "sql/renew.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$"),
		mutant("SQLite: a lapsed attempt that was resolved keeps its token", "sql/resolve_complete.sql",
			"token = ?,", "token = coalesce(token, ?),", "^TestConformance$|^TestResolvedSlot"),
		mutant("SQLite: an operator resolves what he did not look at", "sql/resolve_free.sql",
			"AND fence = ?", "AND ? IS NOT NULL", "^TestConformance$"),
		mutant("SQLite: a take-over forgets how often it happened", "slot.go",
			"fresh.Lapses = held.record.Lapses + 1", "fresh.Lapses = 0", "^TestConformance$"),
		mutant("SQLite: a take-over of the blameless is a lapse", "slot.go",
			"if !held.record.Blameless() {", "if true {", "^TestConformance$/^deferred$"),
		mutant("SQLite: who takes over the blameless takes over all", "record.go",
			"r.TakeOverBlameless && w.record.Blameless()", "r.TakeOverBlameless", "^TestConformance$/^(deferred|begin)$"),
		mutant("SQLite: a repeated reservation gives a promise", "slot.go",
			"return held.held(r, t.now), nil", "held.record.Deferred = held.record.Deferred || r.Deferred; return held.held(r, t.now), nil",
			"^TestConformance$/^(deferred|begin)$"),
		mutant("SQLite: a promise is inherited", "sql/take.sql",
			"deferred = ?,", "deferred = coalesce(deferred, ?),", "^TestConformance$/^deferred$"),
		mutant("SQLite: a foreign token begins", "sql/begin_effects.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$/^(begin|foreign)$"),
		mutant("SQLite: a settled attempt begins", "sql/begin_effects.sql",
			"AND state = 1", "", "^TestConformance$/^begin$"),
		mutant("SQLite: a beginning is not written down", "sql/begin_effects.sql",
			"SET deferred = 0", "SET deferred = deferred", "^TestConformance$/^begin$"),
		mutant("SQLite: a promise outlives its reservation", "sql/complete.sql",
			", deferred = 0", "", "^TestConformance$/^deferred$"),
		mutant("SQLite: a reason stays when the slot is taken", "sql/take.sql",
			", reason = ''", "", "^TestConformance$/^resolve$"),
		mutant("SQLite: a reason that is too long is kept", "steps.go",
			"if size > semel.MaxReasonLen {", "if false {", "^TestConformance$/^resolve$"),
		mutant("SQLite: a migration that has run is run again", "schema.go",
			"if int64(m.version) <= have {", "if int64(m.version) < have-9 {", "^TestOldFileIsMigrated$"),
		mutant("SQLite: a body stays behind", "slot.go",
			"	return fresh, t.drop(held.bodyID)\n", "	return fresh, nil\n", "^TestNoBodyIsLeftBehind$"),
		mutant("SQLite: one bad step spoils its batch", "writer.go",
			"if extent == step && culprit >= 0 {", "if false {", "^TestBatchOutlivesABadStep$"),
		mutant("SQLite: a damaged response is replayed", "record.go",
			"if !hasStatus || !hasSum || sum != sumOf(slot, w.record.Response) {", "if !hasStatus || !hasSum || sum == 0 && sumOf(slot, w.record.Response) == 1 {", "^TestDamageNeverReplays$"),
	}
}

// sqliteOperatorMutants break what operators ask of the file.
func sqliteOperatorMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"SQLite operators: " + name, "store/sqlitestore/" + file, before, after, "store/sqlitestore", test}
	}
	return []Mutant{
		mutant("a foreign token seals", "sql/kept.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestConformance$/^reseal$"),
		mutant("what is not completed is sealed", "sql/kept.sql",
			"AND state = 2", "", "^TestConformance$/^reseal$"),
		mutant("a sealed response has a wrong sum", "reseal.go",
			"Header: header, Body: body})", "Body: body})", "^TestConformance$/^reseal$"),
		mutant("a huge response is sealed", "reseal.go",
			"if size > maxResponse {", "if size < 0 {", "^TestResealTooLarge$"),
		mutant("a slot keeps its first route", "sql/take.sql",
			"route = ?", "route = coalesce(route, ?)", "^TestConformance$|^TestRouteInATransaction$"),
		mutant("a place is ignored", "list.go",
			"if !f.After.IsZero() {", "if false {", "^TestConformance$/^list$"),
		mutant("a page begins with its place", "sql/list.sql",
			"slot < ?)", "slot <= ?)", "^TestConformance$/^list$"),
		mutant("a window loses its oldest", "sql/list.sql",
			"created_at >= ?", "created_at > ?", "^TestWindowsLoseNothing$"),
		mutant("a window is read twice", "list.go",
			"from(end-1)", "from(end)", "^TestWindowsLoseNothing$"),
		mutant("a page reads a whole window", "list.go",
			"min(max(q.left, listLeast), listMost)", "listMost", "^TestPageLooksAtFewRows$"),
		mutant("a step of a list looks at everything", "list.go",
			"		left -= q.window\n", "", "^TestSiftLooksAtFewRows$"),
		mutant("a step of a list reads the last age again", "list.go",
			"if f.After.Slot == (semel.Slot{}) {", "if false {", "^TestSiftComesFurther$"),
		mutant("a step of a list forgets that it was cut", "list.go",
			"	case !q.over:\n", "	case false:\n", "^TestSiftLooksAtFewRows$|^TestConformance$/^list$"),
		mutant("what is reserved is looked for among all", "list.go",
			"q.open = !q.narrow && (", "q.open = false && (", "^TestOpenRecordsAreFoundAtOnce$"),
		mutant("what is free is looked for among the reserved", "list.go",
			"if q.states != 1<<semel.StateFree {", "if q.states != 9<<semel.StateFree {", "^TestOpenRecordsAreFoundAtOnce$|^TestConformance$/^list$"),
		mutant("a short prefix of a slot is looked for by age", "list.go",
			"len(prefix) >= 3", "len(prefix) >= 4", "^TestShortPrefixUsesItsIndex$"),
		mutant("a small least age is none", "list.go",
			"q.now - micros(f.MinAge)", "q.now - f.MinAge.Microseconds()", "^TestBoundsOfAge$"),
		mutant("a small largest age is none", "list.go",
			"if f.MaxAge > 0 {", "if f.MaxAge.Microseconds() > 0 {", "^TestBoundsOfAge$"),
		mutant("a listed response is another attempt's", "list.go",
			"&& now.record.Fence == rec.Fence", "", "^TestListWithBodies$"),
		mutant("an entry that is not on the disk is acknowledged", "trail.go",
			"	if err != nil {\n		return semel.AuditEntry{}, err\n	}\n	return e, nil", "	_ = err\n	return e, nil", "^TestFailedLogSyncLosesNothing$"),
		mutant("a slot's trail is everybody's", "trail.go",
			"if f.Key != (semel.Key{}) {", "if false {", "^TestConformance$/^audit$"),
		mutant("an entry can be changed", "schema/0003_operators.sql",
			"BEFORE UPDATE ON {audit} BEGIN", "BEFORE UPDATE ON {audit} WHEN false BEGIN", "^TestTrailIsKept$"),
		mutant("an entry can be removed", "schema/0003_operators.sql",
			"BEFORE DELETE ON {audit} BEGIN", "BEFORE DELETE ON {audit} WHEN false BEGIN", "^TestTrailIsKept$"),
		mutant("an entry can be replaced", "schema/0003_operators.sql",
			"WHEN EXISTS (SELECT", "WHEN false AND EXISTS (SELECT", "^TestTrailIsKept$"),
	}
}

// sqliteTxMutants break what holds an application's transactions together.
func sqliteTxMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"SQLite transactions: " + name, "store/sqlitestore/" + file, before, after, "store/sqlitestore", test}
	}
	session := func(name, file, before, after, test string) Mutant {
		return Mutant{"sessions: " + name, "semelsql/" + file, before, after, "semelsql", test}
	}
	return []Mutant{
		// Whose slot it is.
		mutant("a foreign token locks", "sql/lock.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestTxLost$|^TestTransactionsLost$"),
		mutant("a completed slot is locked", "sql/lock.sql",
			"AND state = 1", "", "^TestTxCompletesOnce$"),
		mutant("a token completes twice", "callertx.go",
			"	kept, err := t.settle(slot, c)\n	return lostUnless(kept, err)", "	kept, err := t.settle(slot, c)\n	return lostUnless(kept || true, err)", "^TestTransactionsLost$"),
		mutant("a fresh slot in a transaction may have an old fence", "sql/reserve_fresh.sql",
			"max(?, fence + 1)", "?", "^TestFenceInATransaction$"),
		mutant("a fresh slot in a transaction has no route", "sql/reserve_fresh.sql",
			"SELECT ?, ?, ?, 1, ?, ?, max(?, fence + 1), ?, 1, 0, ?, ?, ?, ?, ?", "SELECT ?, ?, ?, 1, ?, ?, max(?, fence + 1), ?, 1, 0, ?, ?, ?, ?, substr(?, 1, 0)", "^TestRouteInATransaction$"),
		mutant("a transaction takes over", "callertx.go",
			"	r.TakeOver, r.TakeOverBlameless = false, false\n", "", "^TestTxReserves$"),
		mutant("a table of the application is taken for ours", "tables.go",
			"prefix = \"main.\" + prefix", "prefix = \"\" + prefix", "^TestTxAmongOtherTables$"),

		// Nothing commits alone.
		mutant("business code commits", "guard.go",
			"return 1 // roll back instead", "return 0", "^TestNothingCommitsAlone$"),
		mutant("a rollback is not noticed", "guard.go",
			"g.rolledBack.Store(true)", "_ = g", "^TestNothingCommitsAlone$"),
		mutant("a connection is given back with its guard", "guard.go",
			"h.RegisterCommitHook(nil)", "_ = h", "^TestConnectionIsGivenBack$"),
		mutant("a record is completed outside of the transaction", "callertx.go",
			"if err := x.open(); err != nil {", "if err := error(nil); err != nil {", "^TestTxThatWasRolledBack$"),
		mutant("a lock that was not to be had is let pass", "transactions.go",
			"case codeError, codeReadOnly,", "case codeBusy, codeError, codeReadOnly,", "^TestBusyElsewhere$"),
		mutant("a commit that was not synced is no matter", "transactions.go",
			"_ = d.store.writer.poison(err)", "_ = err", "^TestFailedSyncOfATransaction$"),
		mutant("a poisoned store goes on in transactions", "transactions.go",
			"	if err := s.writer.queue.refusal(); err != nil {\n		return semelsql.Session{}, err\n	}\n", "", "^TestFailedSyncOfATransaction$"),
		mutant("a closed store goes on in transactions", "transactions.go",
			"err := s.writer.queue.refusal() // after the wait", "var err error", "^TestCloseAmongTransactions$"),

		// On which connection.
		mutant("another file", "settings.go",
			"if !s.isFile(found.file) {", "if false {", "^TestTxIsRefused$|^TestTransactionsAreRefused$"),
		mutant("a commit that does not sync", "settings.go",
			"if found.synchronous < synchronousFull {", "if false {", "^TestTxIsRefused$|^TestTransactionsAreRefused$"),
		mutant("a connection that does not wait", "callertx.go",
			"err != nil || ms > 0 {", "err != nil || ms >= 0 {", "^TestTxWaits$"),
		mutant("a transaction's connection that does not wait", "transactions.go",
			"if err == nil && found.busyTimeout == 0 {", "if false {", "^TestConnectionIsGivenBack$"),

		// Who waits for whom.
		mutant("a transaction takes its lock when it begins", "transactions.go",
			"&sql.TxOptions{ReadOnly: true}", "&sql.TxOptions{}", "^TestSecondTransactionIsTold$"),
		mutant("a second transaction on the slot waits", "transactions.go",
			"if !x.enter(slot, true) {", "if !x.enter(slot, false) {", "^TestSecondTransactionIsTold$"),
		mutant("a transaction takes no turn", "transactions.go",
			"	if !x.turn {\n		late", "	if x.turn {\n		late", "^TestTransactionGivesUp$"),
		mutant("a transaction stays at work for ever", "transactions.go",
			"x.store.traffic.exit(slot)", "_ = slot", "^TestTransactionGivesUp$"),
		mutant("a locked slot is taken over", "steps.go",
			" || !s.traffic.works(slot)", " || true", "^TestLockIsALease$"),
		mutant("a reservation that was answered happens all the same", "writer.go",
			"if !p.take() {", "if !p.take() && p.err != nil {", "^TestAnsweredWithoutTheWriter$"),
		mutant("nobody hears that the writer waits", "writer.go",
			"	w.queue.waits()\n", "", "^TestAnsweredWithoutTheWriter$"),
		mutant("the writer waits in its turn", "writer.go",
			"	if err != nil {\n		w.traffic.endTurn()\n	}\n", "", "^TestWriterGivesUp$"),
		mutant("two stores have a traffic each", "traffic.go",
			"	t := files.each[file]\n	if t == nil {", "	t := files.each[file]\n	if t = nil; t == nil {", "^TestTrafficIsShared$"),

		// The application's own file.
		mutant("a guest in a store's own file", "tables.go",
			"case c.guest && id == applicationID:", "case c.guest && id == 0:", "^TestGuestAndHost$"),
		mutant("a guest marks the file", "tables.go",
			"	if !c.guest { // application_id and user_version are ours", "	if true {", "^TestGuestLeavesTheApplicationAlone$"),
		mutant("a guest locks others out", "store.go",
			"!cfg.Shared && !cfg.Guest", "!cfg.Shared", "^TestGuestIsShared$"),
		mutant("a guest's damage is not looked for", "tables.go",
			`tables := []string{"semel_slots", "semel_bodies", "semel_fence_floor", "semel_schema"}`, "tables := []string{}", "^TestGuestIsChecked$"),

		session("a rollback of the database is not noticed", "tx.go",
			"if err := t.lost(); err != nil {", "if err := t.lost(); err != nil && t.over {", "^TestGone"),
		session("what a transaction holds is not given back", "transaction.go",
			"		x.session.Done()\n", "", "^TestDone$"),
	}
}
