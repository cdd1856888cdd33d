package proof

import "slices"

// pgTxMutants break what PostgreSQL's transactions rest on.
func pgTxMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return slices.Concat(pgStepMutants(mutant), pgHandleMutants(mutant), pgFateMutants(mutant), pgCommitMutants(mutant))
}

// pgStepMutants break the steps inside a transaction.
func pgStepMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a claim has no lock", "sql/lock.sql",
			`UPDATE "slots" SET deferred_fence = 0
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
RETURNING CASE WHEN pg_try_advisory_xact_lock($3::bigint) IS NOT NULL THEN txid_current() END`,
			`SELECT CASE WHEN pg_try_advisory_xact_lock($3::bigint) IS NOT NULL THEN txid_current() END
  FROM "slots" WHERE slot = $1::bytea AND token = $2::bytea AND state = 1`, "^TestTheLockIsALease$"),
		mutant("a foreign token locks", "sql/lock.sql",
			"AND token = $2::bytea", "AND $2::bytea IS NOT NULL", "^TestCallersTransactionIsTakenOver$"),
		mutant("a completed slot is locked", "sql/lock.sql",
			" AND state = 1", "", "^TestCallersTransaction$"),
		mutant("a foreign token completes in a transaction", "sql/complete_in.sql",
			"AND token = $2::bytea", "AND $2::bytea IS NOT NULL", "^TestCallersTransactionIsTakenOver$"),
		mutant("a second completion commits business writes again", "sql/complete_in.sql",
			" AND state = 1", "", "^TestCallersTransaction$"),
		mutant("a completion that hits nothing succeeds", "tx.go",
			"\t\treturn 0, semel.ErrLost\n", "\t\treturn 0, nil\n", "^TestCallersTransaction$"),
		mutant("a completion in a second transaction succeeds", "sql/complete_in.sql",
			"OR txid_current_if_assigned() = $7)", "OR $7 > 0)", "^TestDoTxCommitsBehindOurBack$"),
		mutant("a lock that a savepoint gave up has ended its transaction", "tx.go",
			"		case id != t.id:\n", "		case id == t.id:\n", "^TestCallersSavepoint$"),
		mutant("a lock does not know its transaction", "tx.go",
			"	t.id, err = t.hit(", "	_, err = t.hit(", "^TestDoTxCommitsBehindOurBack$"),
		mutant("a single reservation does not know its transaction", "tx.go",
			"Scan(&fence, &t.id)", "Scan(&fence, new(int64))", "^TestDoTxCommitsBehindOurBack$"),
		mutant("a commit goes along with a completion that hits nothing", "sql/complete_last.sql",
			"SELECT 1 / count(*)", "SELECT 1 / greatest(count(*), 1)", "^TestCompleteAndCommit$"),
		mutant("a division of the business code's ends its transaction", "transaction.go",
			"		if t.conn.Conn().PgConn().TxStatus() != 'E' {", "		if codeOf(err) != codeDivisionByZero {", "^TestDivisionAtTheCommit$"),
		mutant("what the server says before the COMMIT leaves the commit unknown", "transaction.go",
			"	case fell(err): // before", "	case false: // before", "^TestIdleBeforeTheCommit$"),
		mutant("business writes commit after a step that failed", "transaction.go",
			"	t.final = cmp.Or(t.final, err)\n	return t.final", "	return cmp.Or(t.final, err)", "^TestTheLockIsALease$"),
		mutant("competitors wait for a single transaction", "sql/reserve_in.sql",
			"ELSE pg_try_advisory_xact_lock($6::bigint) END", "ELSE $6::bigint IS NOT NULL END", "^TestReserveInTransactions$"),
		mutant("replays at the same time look as if they were at work", "sql/reserve_in.sql",
			"CASE WHEN EXISTS (SELECT FROM held) THEN true", "CASE WHEN false AND EXISTS (SELECT FROM held) THEN true", "^TestReserveInTransactions$"),
		mutant("a slot that is over is lost to transactions", "sql/reserve_in.sql",
			"OR state = 2 AND expires_at <= (SELECT now FROM clock))", "OR false AND (SELECT now FROM clock) > 0)", "^TestReserveInTransactionWhatIsThere$"),
		mutant("a single reservation keeps the fence", "sql/reserve_in.sql",
			"           fence = greatest(s.fence + 1, now),\n", "", "^TestReserveInTransactionWhatIsThere$"),
		mutant("an old snapshot is the verdict", "tx.go",
			"case w.takeable(r):", "case false:", "^TestReserveBesideAStep$"),
		mutant("a transaction that has not begun was ended by somebody", "session.go",
			"	case s.tx == nil: // nothing", "	case false: // nothing", "^TestTransactionDoesNotBegin$"),
		mutant("all tables share their numbers", "names.go",
			"n.mix = binary", "_ = binary", "^TestNumbers$"),
	}
}

// pgHandleMutants break what keeps business code from ending its transaction.
func pgHandleMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a handler commits", "handle.go",
			"	if h.inner == nil {", "	if false && h.inner == nil {", "^TestHandleIsMisused$"),
		mutant("a handler commits by a statement", "handle.go",
			"	if endsTx(text) {", "	if false {", "^TestHandleIsMisused$"),
		mutant("a handler commits by a batch", "handle.go",
			"		if endsTx(q.SQL) {", "		if false && endsTx(q.SQL) {", "^TestHandleIsMisused$"),
		mutant("misuse has no consequence", "session.go",
			"	case s.owned.Load():", "	case false && s.owned.Load():", "^TestHandleIsMisused$"),
		mutant("a transaction that was ended goes on", "session.go",
			"		s.final = cmp.Or(s.final, errEnded)", "", "^TestHandleIsMisused$"),
		mutant("statements behind the end stand alone", "session.go",
			"	if err := s.final; err != nil { // or", "	if err := s.final; false { // or", "^TestHandleIsMisused$"),
		mutant("a completion can be undone by a savepoint", "transaction.go",
			"	t.sealed.Store(true)\n	return t.step(", "	return t.step(", "^TestHandleIsOver$"),
		mutant("a handle outlives its transaction", "session.go",
			"func (s *session) enter() error {\n	switch {", "func (s *session) enter() error {\n	switch {\n	case s.mu.TryLock():\n		return nil", "^TestHandleIsOver$"),
		mutant("large objects outlive the commit", "transaction.go",
			"	if !t.batch || t.lent.Load() {", "	if !t.batch {", "^TestLargeObjectsAreOver$"),
		mutant("large objects are given out after the end", "handle.go",
			"	if tx := h.tx(); h.session.sealed.Load() || h.session.over.Load() {", "	if tx := h.tx(); tx == nil {", "^TestLargeObjectsAreOver$"),
		mutant("a spoiled transaction goes unnoticed", "session.go",
			"		s.cause = cmp.Or(s.cause, errAborted)", "", "^TestSpoiledTransactions$"),
		mutant("a savepoint does not heal", "session.go",
			"	case conn.TxStatus() == 'T':\n		s.cause = nil", "	case conn.TxStatus() == 'T':", "^TestSpoiledTransactions$"),
		mutant("a later error hides the first", "session.go",
			"s.cause = cmp.Or(s.cause, err)", "s.cause = err", "^TestSpoiledTransactions$"),
		mutant("what nobody reads is not read", "session.go",
			"	if open := s.open; open != nil {", "	if open := s.open; false && open != nil {", "^TestSpoiledTransactions$"),
		mutant("an end waits for the handler's goroutine", "transaction.go",
			"	if t.mu.TryLock() {\n		err = t.reason()", "	if t.mu.Lock(); true {\n		err = t.reason()", "^TestGoroutineLeftBehind$"),
		mutant("a rollback waits for the handler's goroutine", "transaction.go",
			"	if !t.mu.TryLock() {\n		t.sever()\n", "	if !t.mu.TryLock() {\n", "^TestGoroutineLeftBehind$"),
		mutant("an aborted transaction of database/sql goes on", "sqltransactions.go",
			"		return semelsql.Aborted", "		return semelsql.None", "^TestSpoiledSQLTransactions$"),
		mutant("what the handle of database/sql does not see is not asked for", "sqltransactions.go",
			"pg.TxStatus() == 'I':", "pg.TxStatus() == 'X':", "^TestUnseenEndsOfSQLTransactions$"),
	}
}

// pgFateMutants break what finds out, after a rollback, that a statement had ended the
// transaction before.
func pgFateMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	const test = "^TestDoTxCommitsBehindOurBackAndFails$"
	return []Mutant{
		mutant("a text of two statements is above suspicion", "fate.go",
			"	if several(text) {\n", "	if false {\n", test),
		mutant("nobody asks what has become of a transaction", "transaction.go",
			"cmp.Or(t.fate.ended(t.store, t.over.Load()), err)", "err", test),
		mutant("nobody asks what has become of one of database/sql", "sqltransactions.go",
			"return f.ended(d.store, over) },", "return nil },", test),
		mutant("a transaction that was committed counts as rolled back", "fate.go",
			"status == \"aborted\" && f", "status != \"\" && f", test),
		mutant("whoever rolled back has committed nothing else", "fate.go",
			"		f.raise(mayBeAnother)\n", "		f.raise(mayHaveEnded)\n", test),
		mutant("every text of two statements has committed", "fate.go",
			"			f.doubt.Store(noDoubt)\n			return nil\n", "			return errEnded\n", "^TestDoTxFailsWithManyStatements$"),
		mutant("every transaction is asked for", "fate.go",
			"	case rewritten(args), !plain(text):\n", "	case true:\n", "^TestFateIsAskedForInDoubt$"),
		mutant("a text that the driver rewrites is trusted", "fate.go",
			"	case rewritten(args), !plain(text):\n", "	case !plain(text):\n", "^TestFateIsAskedForInDoubt$"),
	}
}

// pgCommitMutants break what is said of a commit, and what tells when it says nothing.
func pgCommitMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("the driver's word about a lost commit is taken", "again.go",
			"if errors.Is(err, pgx.ErrTxCommitRollback) {", "if errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err) {", "^TestLookWaitsForACommit$"),
		mutant("every failed commit is unknown", "again.go",
			`return ok && pe.SeverityUnlocalized == "ERROR" &&`, `return ok && pe.SeverityUnlocalized == "NONE" &&`, "^TestRefusedCommits$"),
		mutant("a lost commit has not happened", "transaction.go",
			"	case !refused(err):\n", "	case false:\n", "^TestLostCommit$"),
		mutant("a lost commit is begun again", "again.go",
			"errors.Is(err, semel.ErrCommitUnknown), ", "", "^TestLostCommit$"),
		mutant("a broken connection ends the attempt", "session.go",
			"s.final = &brokenError{cmp.Or(s.cause, errGone)}", "s.final = cmp.Or(s.cause, errGone)", "^TestConnectionsComeBack$"),
		mutant("a handler's own deadline is tried again", "again.go",
			"errors.Is(err, context.Canceled), ", "", "^TestHandlersContext$"),
		mutant("a look does not wait for the row", "sql/look.sql",
			"   FOR NO KEY UPDATE\n", "", "^TestLookWaitsForACommit$"),
		mutant("a look does not wait for the number", "look.go",
			"SELECT pg_advisory_xact_lock(%d)", "SELECT %d", "^TestLookWaitsForACommit$"),
		mutant("a look waits for ever", "look.go",
			"SET LOCAL lock_timeout = %d;", "SET LOCAL lock_timeout = 0; SELECT %d;", "^TestLookWaitsForACommit$"),
		mutant("a commit that the standby lacks succeeds", "transaction.go",
			"if err = t.store.settled(context.WithoutCancel(ctx), t.conn, nil); err == nil {", "if true {", "^TestCanceledWaitOfATransaction$"),
		mutant("a wait that the driver canceled counts as success", "standby.go",
			"if takeNotice(conn) || conn.Conn().IsClosed() {", "if takeNotice(conn) {", "^TestBrokenWaitIsNoSuccess$"),
		mutant("connections that rested are trusted by transactions", "transactions.go",
			"			err = &brokenError{err}\n", "", "^TestBeginOnDeadConnections$"),
		mutant("the first step gives up on a connection that rested", "transaction.go",
			"	for try := 1; !t.used && try", "	for try := 1; false && try", "^TestFirstStepOnDeadConnections$"),
		mutant("a transaction waits for the connection that it has", "session.go",
			"	s.release() // first", "	defer s.release() // first", "^TestFirstStepOnDeadConnections$"),
		mutant("transactions go to any database", "reach.go",
			"	if elsewhere {", "	if false {", "^TestWhereTransactionsLead$"),
		mutant("transactions have the role's isolation", "transactions.go",
			"		t.isolation = pgx.ReadCommitted\n", "", "^TestTxConfig$"),
	}
}
