package proof

// mysqlTxMutants break business transactions on MySQL and MariaDB (docs/adr/0019).
func mysqlTxMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"MySQL: " + name, "store/mysqlstore/" + file, before, after, "store/mysqlstore", test}
	}
	return []Mutant{
		// Who may write.
		mutant("a foreign token locks", "sql/lock.sql",
			"AND token = ?", "AND ? IS NOT NULL", "^TestTxLost$"),
		mutant("a completed slot is locked", "sql/lock.sql",
			"AND state = 1", "AND state <> 0", "^TestTxCommits$"),
		mutant("an attempt that is lost goes on", "tx.go",
			"if err == nil && n == 0 {", "if err == nil && n < 0 {", "^TestTxLost$"),
		mutant("nobody completes, and it is committed", "tx.go",
			"	case !ok:\n		err = semel.ErrLost\n", "", "^TestTxCommits$"),
		mutant("a transaction reserves and takes over", "tx.go",
			"	r.TakeOver, r.TakeOverBlameless = false, false\n", "", "^TestSingleMeetsClaims$"),

		// A transaction that the server has rolled back.
		mutant("what comes after a deadlock commits by itself", "sql/tx_begin.sql",
			", autocommit = 0", "", "^TestHandlerPassesOverDeadlock$"),
		mutant("a record is completed in another transaction", "statements.go",
			"\" AND lease_until = ?\"", "\" AND ? IS NOT NULL\"", "^TestHandlerPassesOverDeadlock$"),
		mutant("a lock leaves no mark", "sql/lock.sql",
			"LAST_INSERT_ID(lease_until + 1)", "LAST_INSERT_ID(lease_until)", "^TestTx(Commits|RollsBack)$"),
		mutant("a transaction that is gone is a slot that is lost", "tx.go",
			"case !ok && (t.mark != 0 || t.ours):", "case false:", "^TestHandlerPassesOverDeadlock$"),
		mutant("a deadlock spoils nothing", "dialect.go",
			"case errDeadlock, errRecordChanged, errLockTableFull,", "case errLockTableFull,", "^TestHandlerMeetsDeadlock$"),
		mutant("a broken connection spoils nothing", "dialect.go",
			"if isBroken(err) || isKilled(err) {", "if false {", "^TestTxHolds$"),
		mutant("a lock that was not to be had is for good", "dialect.go",
			"happensNot(err) || isLocked(err) ||", "isDeadlock(err) ||", "^TestHandlerPassesOverTimeout$"),
		mutant("DDL commits half of an attempt", "dialect.go",
			"		return !ofTemporary(words)\n", "		return false\n", "^TestHandlerCommits$"),
		mutant("a refused commit is unknown", "dialect.go",
			"	case errReadOnlyOption, errReadOnlyTx, errReadOnlyMode:\n		return true\n	}\n	return happensNot(err)", "	}\n	return happensNot(err)", "^TestCommitRefused$"),

		mutant("a procedure commits half of an attempt", "dialect.go",
			"		Watch:  f.watch(tx),\n", "", "^TestStealthHoldsTheKey$"),
		mutant("a second statement is overlooked", "watch.go",
			"return more && strings.TrimSpace(rest) != \"\"", "return false && more && rest != \"\"", "^TestHandlerCommitsByStealth$"),
		mutant("a savepoint that is gone tells nothing", "watch.go",
			"if numberOf(err) == errNoSavepoint {", "if err != nil {\n\t\t\t\t\terr = nil\n\t\t\t\t}\n\t\t\t\tif false {", "^TestHandlerCommitsByStealth$"),

		// Nobody waits.
		mutant("transactions meet at the row", "statements.go",
			"named  = \"GET_LOCK(?, 0) = 1\"", "named  = \"? IS NOT NULL\"", "^TestSingleNamedLock$"),
		mutant("a reservation in a transaction waits for a locked row", "forms.go",
			"own.insertSingle, own.takeSingle = noWait+s.insertNamed,", "own.insertSingle, own.takeSingle = s.insertNamed,", "^TestSingleMeetsClaims$"),
		mutant("a read at SERIALIZABLE waits for a locked row", "tx.go",
			"if t.level == sql.LevelDefault || t.level == sql.LevelSerializable {", "if false {", "^TestSingleMeetsClaims$"),
		mutant("an insert of MySQL at REPEATABLE READ waits for the other one", "tx.go",
			"	case looked:\n", "	case false:\n", "^TestSingleCommits$"),
		mutant("a look does not wait", "statements.go",
			"s.find + \" LOCK IN SHARE MODE\"", "s.find", "^TestLookWaits$"),

		// The connection.
		mutant("a named lock stays", "sql/tx_end_single.sql",
			"RELEASE_ALL_LOCKS()", "0", "^TestConnectionsGivenBack$"),
		mutant("a session stays without autocommit", "sql/tx_end.sql",
			"SET autocommit = @semel_autocommit", "DO 0", "^TestConnectionsGivenBack$"),
		mutant("a session is given autocommit", "sql/tx_end.sql",
			"SET autocommit = @semel_autocommit", "SET autocommit = 1", "^TestConnectionsGivenBack$"),
		mutant("a transaction has its session's level", "sql/tx_begin.sql",
			"@@{level} = '{isolation}', ", "", "^TestTxLevels$"),
		mutant("any pool will do", "dialect.go",
			"if d.db != d.store.db {", "if false {", "^TestTransactionsRefused$"),
		mutant("any server will do", "dialect.go",
			"if err == nil && (!got.Valid || ", "if err == nil && (", "^TestTransactionsRefused$"),
		mutant("READ UNCOMMITTED will do", "transactions.go",
			"if !slices.Contains(", "if false && !slices.Contains(", "^TestTransactionsRefused$"),
		mutant("a caller's transaction takes a named lock", "tx.go",
			"	if !t.named {\n		return s.insert(", "	if false {\n		return s.insert(", "^TestCallersTxReserves$"),
	}
}
