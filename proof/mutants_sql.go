package proof

// sqlMutants break the handle and the transactions of semelsql, which the stores on
// database/sql share.
func sqlMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"semelsql: " + name, "semelsql/" + file, before, after, "semelsql", test}
	}
	return []Mutant{
		// The handle.
		mutant("a handler's commit goes unnoticed", "tx.go",
			"	t.spoil(semel.ErrTxOwned, Gone)\n	return semel.ErrTxOwned\n}", "	return semel.ErrTxOwned\n}", "^TestOwned$"),
		mutant("a handler commits by text", "control.go",
			`case "COMMIT", "END",`, `case "END",`, "^TestOwned$"),
		mutant("a rollback to a savepoint ends the transaction", "control.go",
			`if second == "TO" ||`, `if`, "^TestSavepoint$"),
		mutant("nobody asks the dialect what ends a transaction", "control.go",
			"if ender != nil && ender.Ends(first, second) {", "if false {", "^TestCommandOfDialect$"),
		mutant("the handle lives on", "tx.go",
			"	if t.over {\n		return plain, semel.ErrTxOver\n	}\n", "", "^TestOver$"),
		mutant("statements are sent in a transaction that is gone", "tx.go",
			"	if t.damage == Gone {", "	if t.damage == 9 {", "^TestSpoilt$"),
		mutant("the errors of rows are nobody's", "tx.go",
			"if err := rows.Err(); !ended(err) {", "if err := rows.Err(); err == nil {", "^TestRowsFail$"),
		mutant("a context that ended after its rows spoils", "tx.go",
			"if err := rows.Err(); !ended(err) {", "if err := rows.Err(); err != nil {", "^TestRowsContextEnds$"),
		mutant("a savepoint heals nothing", "tx.go",
			"if err == nil && cmd == backTo && t.damage == Aborted {", "if false {", "^TestSavepoint$"),
		mutant("a savepoint that failed heals", "tx.go",
			"if err == nil && cmd == backTo && t.damage == Aborted {", "if cmd == backTo {", "^TestSavepoint$"),
		mutant("a broken statement's context spoils nothing", "tx.go",
			"t.set(err, Gone) // the driver", "t.set(err, None) // the driver", "^TestContextEnds$"),
		mutant("a statement that was not sent spoils", "tx.go",
			"return cmd, ctx.Err() // nothing", "return cmd, nil // nothing", "^TestContextEnds$"),
		mutant("a prepared statement outlives the attempt", "tx.go",
			"		_ = stmt.Close()\n", "		_ = stmt\n", "^TestOver$"),
		mutant("forgotten rows stay open", "tx.go",
			"		_ = rows.Close() // its error", "		_ = rows.Err() // its error", "^TestForgotten$"),
		mutant("a session that tells of its end is not heard", "tx.go",
			"if err := t.lost(); err != nil {", "if err := t.lost(); err != nil && t.over {", "^TestGone$"),

		// The transaction.
		mutant("a step that failed is forgotten", "transaction.go",
			"		x.handle.spoil(err, Gone)\n", "", "^TestStepFails$"),
		mutant("business code goes on while the record is completed", "transaction.go",
			"	x.handle.seal()\n	if err := x.handle.err(); err != nil {\n		return fmt", "	if err := x.handle.err(); err != nil {\n		return fmt", "^TestOver$"),
		mutant("a commit is known to have failed", "transaction.go",
			"if x.dialect.Refused(err) {", "if true {", "^TestCommitFails$"),
		mutant("a refused commit is unknown", "transaction.go",
			"if x.dialect.Refused(err) {", "if false {", "^TestCommitFails$"),
		mutant("a commit is sent on a broken connection", "transaction.go",
			"	if !alive(x.conn) {", "	if false {", "^TestBrokenBeforeCommit$"),
		mutant("a connection is used again after a commit that failed", "transaction.go",
			"		discard(x.conn)\n		if x.dialect", "		_ = x.conn.Close()\n		if x.dialect", "^TestCommitFails$"),
		mutant("a connection is used again with its lock", "transaction.go",
			"			discard(x.conn)\n			return", "			_ = x.conn.Close()\n			return", "^TestUnclean$"),
		mutant("a spoilt transaction commits", "transaction.go",
			"	if err := x.handle.err(); err != nil {\n		x.Rollback(ctx)", "	if err := x.handle.err(); false {\n		x.Rollback(ctx)", "^TestGoneBeforeCommit$"),
		mutant("a transaction ends with its caller's context", "transactions.go",
			"	ctx = context.WithoutCancel(ctx)\n", "", "^TestBeginAgain$"),
		mutant("a connection is lost when a begin fails", "transactions.go",
			"		discard(conn)\n", "", "^TestBeginAgain$"),
		mutant("a begin meets one broken connection and gives up", "transactions.go",
			"if try == beginTries ||", "if true ||", "^TestBeginAgain$"),
		mutant("work that its context ended is repeated", "transactions.go",
			"errors.Is(err, semel.ErrLost), ended(err):", "errors.Is(err, semel.ErrLost):", "^TestAgain$"),
		mutant("work that may be committed is repeated", "transactions.go",
			"case err == nil, errors.Is(err, semel.ErrCommitUnknown), ", "case err == nil, ", "^TestAgain$"),
	}
}
