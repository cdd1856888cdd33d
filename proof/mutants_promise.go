package proof

import (
	"path"
	"slices"
)

// promiseMutants break what keeps an attempt from being done again when its transaction was
// ended, and perhaps committed, before its record was in it.
func promiseMutants() []Mutant {
	in := func(pkg, what string) func(name, file, before, after, test string) Mutant {
		return func(name, file, before, after, test string) Mutant {
			return Mutant{what + ": " + name, path.Join(pkg, file), before, after, pkg, test}
		}
	}
	core, lite, pg := in(".", "ended transactions"), in("store/sqlitestore", "ended transactions of SQLite"), in("store/pgstore", "ended transactions of PostgreSQL")
	return slices.Concat([]Mutant{
		core("the record's word about the promise is not taken", "claim_tx.go",
			"if !out.Record.Deferred && c.deferred.Swap(false) {", "if false {", "^TestConfirmFindsThePromiseEnded$"),
		core("a key is freed although something was committed", "claim_tx.go",
			"				c.txEnded.Store(true)\n			}\n		}\n", "			}\n		}\n", "^TestConfirmFindsThePromiseEnded$"),
		core("the record's word counts without a transaction", "claim_tx.go",
			"		if inTx { // it was rolled back\n			e.leaveTx(c)\n", "		if e.leaveTx(c); true {\n", "^TestConfirmFindsThePromiseEnded$"),
		core("who heard that a transaction was ended completes in another", "claim_tx.go",
			"	if c.IsUnknown() {\n		return ErrTxEnded\n	}\n	if err := c.settle(keptInTx)", "	if err := c.settle(keptInTx)", "^TestNothingAfterTheEnd$"),
		core("who heard that a transaction was ended completes without one", "claim.go",
			"	if c.IsUnknown() {\n		return ErrTxEnded\n	}\n	if err := c.settle(kept)", "	if err := c.settle(kept)", "^TestNothingAfterTheEnd$"),
		{
			"a key is freed behind what was committed", "claim.go",
			"c.Deferred() && c.Locked() {\n		_, _ = c.Confirm(ctx)", "false {\n		_, _ = c.Confirm(ctx)", "store/sqlitestore", "^TestReleaseAfterACommit$",
		},
		core("Do believes a func that has not completed in its transaction", "do.go",
			"	if c.Locked() {\n		why", "	if false {\n		why", "^TestDoWithLockInAndNoCompleteIn$"),
		core("who heard that a transaction was ended begins another", "claim_tx.go",
			"	if c.IsUnknown() {\n		return ErrTxEnded\n	}\n	switch", "	switch", "^TestNothingAfterTheEnd$"),

		lite("a lock leaves the promise", "sql/lock.sql",
			"SET deferred = 0", "SET deferred = deferred", "^TestLockEndsThePromise$"),
		lite("a transaction that was ended by a text was rolled back", "callertx.go",
			"return errors.Join(errEnded, err)", "return errors.Join(errRolledBack, err)", "^TestCompleteInAfterTheEnd$"),
		lite("a transaction that is done was rolled back", "callertx.go",
			"	if errors.Is(err, sql.ErrTxDone) {\n", "	if false {\n", "^TestCompleteInAfterTheEnd$"),
		lite("what has become of a transaction is not asked", "callertx.go",
			"held.Token == token && held.Deferred {", "held.Token == token && false {", "^TestCompleteInAfterTheEnd$"),
		lite("a promise stands for a transaction that has not locked", "callertx.go",
			"	if x.locked == token {\n", "	if true {\n", "^TestCompleteInAfterTheEnd$"),
		lite("the steps forget that they have locked", "callertx.go",
			"	if c.steps == nil || c.steps.store != s {\n", "	if true {\n", "^TestCompleteInAfterTheEnd$"),
		lite("a commit that was refused is an error of SQLite", "guard.go",
			"		g.refused.Store(true)\n", "", "^TestHiddenCommitIsNamed$"),
		lite("the driver's word for a refused commit counts", "transactions.go",
			"		return semelsql.None // the guard", "		return semelsql.Gone // the guard", "^TestHiddenCommitIsNamed$"),
	}, promiseInPostgres(pg))
}

// promiseInPostgres are those of PostgreSQL.
func promiseInPostgres(pg func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		{
			"PostgreSQL: a statement that nobody sees raises no doubt", "store/pgstore/sqltransactions.go",
			"f.raise(mayHaveEnded) },", "_ = f },", "store/pgstore", "^TestPreparedOnThePoolCommits$",
		},
		pg("a caller's lock leaves the promise", "sql/lock.sql",
			"SET deferred_fence = 0", "SET deferred_fence = deferred_fence", "^TestCallersLockEndsThePromise$"),
		pg("a claim's lock leaves the promise", "sql/lock.sql",
			"SET deferred_fence = 0", "SET deferred_fence = deferred_fence", "^TestTransactionEndsThePromise$"),
		pg("what was prepared on the pool commits with the promise", "sql/lock.sql",
			"SET deferred_fence = 0", "SET deferred_fence = deferred_fence", "^TestPreparedOnThePoolCommitsAndDies$"),
		pg("the driver's connection commits with the promise", "sql/lock.sql",
			"SET deferred_fence = 0", "SET deferred_fence = deferred_fence", "^TestConnEndsThePromise$"),
		pg("a single reservation leaves a promise", "fate.go",
			"	r.Deferred = false\n", "", "^TestTransactionEndsThePromise$"),
		pg("what looks like a commit cannot be prepared", "sqltransactions.go",
			"			return nil // what", "			if several(query) {\n				return func(context.Context) (func(context.Context) error, error) { return nil, nil }\n			}\n			return nil // what", "^TestPrepareLooksLikeACommit$"),
		pg("a completion in autocommit stands", "sql/complete_in.sql",
			"OR txid_current_if_assigned() = $7)", "OR coalesce(txid_current_if_assigned(), $7) = $7)", "^TestCompleteInAfterTheEnd$"),
		pg("an ended transaction has lost the slot", "tx.go",
			"		case id != t.id:\n", "		case id != t.id && id < 0:\n", "^TestCompleteInAfterTheEnd$"),
		pg("a completion without a lock is in whatever transaction", "callers.go",
			"	if t.id == 0 { // without", "	if false { // without", "^TestCompleteInAfterTheEnd$"),
		pg("a transaction that the driver has ended was rolled back", "callers.go",
			"	case t.id == 0:\n		return fmt.Errorf(\"%w: %w\", errEarly, err)\n	}\n", "	case t.id == 0:\n		return err\n	}\n", "^TestCompleteInAfterTheEnd$"),
		pg("a caller's commit was a rollback", "callers.go",
			"	if f.ended(t.store, true) != nil {\n", "	if false {\n", "^TestCompleteInAfterTheEnd$"),
		pg("a caller's rollback was a commit", "callers.go",
			"	if f.ended(t.store, true) != nil {\n", "	if true {\n", "^TestCompleteInAfterTheEnd$"),
		pg("package sql ends no transaction", "callers.go",
			"&& !errors.Is(err, sql.ErrTxDone)", "&& (true || !errors.Is(err, sql.ErrTxDone))", "^TestCompleteInAfterTheEnd$"),
		pg("pgx ends no transaction", "callers.go",
			"!errors.Is(err, pgx.ErrTxClosed) &&", "(true || !errors.Is(err, pgx.ErrTxClosed)) &&", "^TestCompleteInAfterTheEnd$"),
	}
}
