package proof

// unseenMutants break what is known of transactions that a statement has ended unseen on MySQL
// and MariaDB, and of those that DoTx was told to roll back.
func unseenMutants() []Mutant {
	mysql := func(name, file, before, after, test string) Mutant {
		return Mutant{"MySQL, unseen: " + name, "store/mysqlstore/" + file, before, after, "store/mysqlstore", test}
	}
	do := func(name, before, after string) Mutant {
		return Mutant{"DoTx: " + name, "dotx.go", before, after, "", "^TestDoTxSettles$"}
	}
	return []Mutant{
		{
			"semelsql: nobody is told of a statement of the pool", "semelsql/tx.go",
			"if t.unseen != nil {", "if false {", "semelsql", "^TestUnseen$",
		},
		{
			"semelsql: two words are all that a dialect hears", "semelsql/control.go",
			"for i := range words {", "for i := range 2 {", "semelsql", "^TestCommandOfDialect$",
		},

		// The promise.
		mysql("a lock leaves the promise", "sql/lock.sql",
			", deferred = NULL", "", "^TestPromiseEndsWithACommit$"),
		mysql("a reservation in a transaction promises", "tx.go",
			"	r.Deferred = false // a", "	// a", "^TestPromiseEndsWithACommit$"),

		// The doubt.
		mysql("nobody asks for the fate", "dialect.go",
			"		Fate:   f.ended,\n", "", "^TestUnseenEndsHoldTheKey$"),
		mysql("a statement of the pool raises no doubt", "dialect.go",
			"		Unseen: f.raise,\n", "", "^TestUnseenEndsHoldTheKey$"),
		mysql("no statement raises a doubt", "watch.go",
			"if watched || !slices.Contains(harmless, first) {", "if false {", "^TestUnseenEndsHoldTheKey$"),
		mysql("every statement raises a doubt", "watch.go",
			"if watched || !slices.Contains(harmless, first) {", "if true {", "^TestFateIsAskedForInDoubt$"),
		mysql("every transaction is doubted", "fate.go",
			"return f.doubt.Load() && (", "return (", "^TestFateIsAskedForInDoubt$"),
		mysql("no answer is a no", "fate.go",
			"return fmt.Errorf(\"%w: %w\", errUntold, err)", "return fmt.Errorf(\"%w\", err)", "^TestFateWithoutAnAnswer$"),
		mysql("a row that is locked is no reason to wait", "fate.go",
			"	if over {", "	if false && over {", "^TestFateWithoutAnAnswer$"),
		mysql("a promise that stands is none", "fate.go",
			"held.Token == token && !held.Deferred", "held.Token == token", "^TestFateWithoutAnAnswer$"),

		// What commits.
		mysql("a statement for which something is set goes unwatched", "watch.go",
			" || hasStatement(upper) {", " || false && hasStatement(upper) {", "^TestSetStatementIsWatched$"),
		mysql("what is prepared by a text is DDL", "dialect.go",
			"second != \"PREPARE\" && ", "", "^TestTemporaryEndsNothing$"),
		mysql("a temporary table that replaces another is DDL", "dialect.go",
			"if rest[0] == \"OR\" && rest[1] == \"REPLACE\" {", "if false {", "^TestTemporaryEndsNothing$"),
		mysql("a temporary sequence is none", "dialect.go",
			" && (rest[1] == \"TABLE\" || rest[1] == \"TABLES\")", "", "^TestTemporaryEndsNothing$"),

		// A caller's own transaction.
		mysql("a transaction that is over was rolled back", "callertx.go",
			"return err == nil && t.mark != 0 && held.State", "return err == nil || held.State", "^TestCallersTxEnded$"),
		mysql("a transaction that was rolled back is unknown", "callertx.go",
			"&& held.Token == c.Token && held.Deferred", "&& held.Token != c.Token", "^TestCallersTxEnded$"),
		mysql("nobody asks whether there is a transaction", "callertx.go",
			"	if t.mark == 0 {\n", "	if false {\n", "^TestCallersTxEnded$"),
		mysql("it is asked after a lock too", "callertx.go",
			"	if t.mark == 0 {\n", "	if true {\n", "^TestCallersTxRoundTrips$"),
		mysql("what went on after a rollback was rolled back", "callertx.go",
			"	case errors.Is(err, errGone):\n		err = errOver\n", "", "^TestCallersTxEnded$"),
		mysql("a record is completed outside of the transaction", "forms.go",
			" AND @@in_transaction = 1", "", "^TestCallersTxEnded$"),

		do("what the claim was told is not heard",
			"told && how != Keep &&", "false && told && how != Keep &&"),
		do("a transaction that was rolled back has a value",
			"	case out.Ran && out.How != Keep:\n		return Result[T]{}, cmp.Or(own, ErrTxSettled)\n", "	case out.Ran && cmp.Or(own, own) != own:\n"),
		do("an error is forgotten",
			"			own = err\n", ""),
	}
}
