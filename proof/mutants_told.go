package proof

// toldMutants break what the connection of a transaction on MySQL and MariaDB is asked before
// it is given back, and what is known of locks that were undone alone.
func toldMutants() []Mutant {
	mysql := func(name, file, before, after, test string) Mutant {
		return Mutant{"MySQL, told: " + name, "store/mysqlstore/" + file, before, after, "store/mysqlstore", test}
	}
	return []Mutant{
		mysql("a connection is given back without a question", "dialect.go",
			"asked := f.ask(ctx, conn)", "asked := error(nil)", "^TestFateInABusyPool$"),
		mysql("its answer is forgotten", "fate.go",
			"	if err == nil {\n		f.answer.Store(&committed)", "	if false {\n		f.answer.Store(&committed)", "^TestFateInABusyPool$"),
		mysql("an error is its answer", "fate.go",
			"	if err == nil {\n		f.answer.Store(&committed)", "	if true {\n		f.answer.Store(&committed)", "^TestFateOfALockedRow$"),
		mysql("it is asked without a doubt", "fate.go",
			"if !f.doubted() || t.done.Load() {", "if t.done.Load() {", "^TestFateIsAskedForInDoubt$"),
		mysql("it is asked after a completion", "fate.go",
			"if !f.doubted() || t.done.Load() {", "if !f.doubted() {", "^TestFateIsAskedForInDoubt$"),
		mysql("it is given back with its look open", "fate.go",
			"	_, err = q.ExecContext(ctx, \"ROLLBACK\") //", "	err = nil //", "^TestFateLeavesNothingOpen$"),
		mysql("it is asked for another database", "forms.go",
			"return strings.Replace(text, \"`\"", "return strings.Replace(text, \"'\"", "^TestFateInAnotherDatabase$"),
		mysql("no answer is said to be one", "fate.go",
			"fmt.Errorf(\"%w: %w\", errUntold, err)", "fmt.Errorf(\"%w: %w\", errEnded, err)", "^TestFateWithoutAnAnswer$"),

		mysql("a lock that was undone ends the transaction", "callertx.go",
			"errors.Is(err, errGone) && t.undone(ctx, c):", "false:", "^TestCallersLockUndone$"),
		mysql("a lock was undone outside of a transaction", "callertx.go",
			"own == nil || t.open(ctx) != nil {", "own == nil {", "^TestCallersTxEnded$"),
		mysql("a lock of another attempt's slot was undone", "callertx.go",
			"found && held.State == semel.StateReserved && held.Token == c.Token\n", "found && held.State == semel.StateReserved\n", "^TestCallersLockUndoneAndLost$"),
		mysql("a mark is that of the last attempt", "callertx.go",
			"	t.mark = t.marks[c.Token]\n", "", "^TestCallersTxOfTwoClaims$"),
		mysql("a mark is forgotten", "callertx.go",
			"t.marks[token] = t.mark", "_ = t.marks", "^TestCallersTxRoundTrips$"),
	}
}
