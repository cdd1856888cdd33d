package proof

// ledgerMutants break what the ledger under kills must find: guards that lie above
// the steps of a store, where every single step is still right.
func ledgerMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"ledger: " + name, file, before, after, "proof/ledger", test}
	}
	return []Mutant{
		mutant("a route that may have effects promises none (I7)", "engine.go",
			"Deferred:          call.DeferEffects,", "Deferred:          true,", "^TestSQLite$"),
		mutant("every lapsed attempt runs again (I7)", "proof/ledger/app.go",
			"semelhttp.Config{Logger: silent}", "semelhttp.Config{Logger: silent, Lapsed: semel.Rerun}", "^TestSQLite$"),
		mutant("business writes are committed apart from their record (I8)", "proof/ledger/postgres.go",
			"\treturn movePostgres(ctx, pgstore.TxFrom(ctx), key, o)\n", "\t_, err := b.own(ctx, key, o, func(_ semel.Tx, move func() error) error { return move() })\n\treturn err\n", "^TestPostgres$"),
		mutant("MariaDB: business writes are committed apart from their record (I8)", "proof/ledger/sqlbank.go",
			"\treturn moveSQL(ctx, semelsql.TxFrom(ctx), key, o)\n", "\tvar _ = semelsql.TxFrom\n\t_, err := b.own(ctx, key, o, func(_ semel.Tx, move func() error) error { return move() })\n\treturn err\n", "^TestMariaDB$"),
		mutant("MariaDB: a promise of no effects is given and not kept (I7)", "proof/ledger/app.go",
			"plain.Wrap(http.HandlerFunc(a.alone))", "deferring.Wrap(http.HandlerFunc(a.alone))", "^TestMariaDB$"),
		mutant("a handler completes after its own transaction (I8)", "proof/ledger/owned.go",
			"\t\t\treturn semelhttp.CompleteIn(ctx, w, tx)\n", "\t\t\treturn nil\n", "^TestPostgres$"),
		mutant("SQLite: a handler completes after its own transaction (I8)", "proof/ledger/owned.go",
			"\t\t\treturn semelhttp.CompleteIn(ctx, w, tx)\n", "\t\t\treturn nil\n", "^TestSQLite$"),
		mutant("a commit that is under way is looked up by a plain read (I8)", "store/pgstore/look.go",
			"	if _, err := tx.Exec(ctx, wait, pgx.QueryExecModeSimpleProtocol); err != nil {\n		return err\n	}\n	err = w.scan(tx.QueryRow(ctx, s.sql.look, s.execMode(), slot[:])",
			"	_, plain := wait, s.sql.look[:len(s.sql.look)-len(\"   FOR NO KEY UPDATE\\n\")]\n	err = w.scan(tx.QueryRow(ctx, plain, s.execMode(), slot[:])", "^TestPostgres$"),
		mutant("whoever has lost the slot completes it in a transaction (I8)", "store/pgstore/sql/complete_in.sql",
			"AND token = $2::bytea AND state = 1\n", "AND $2::bytea IS NOT NULL\n", "^TestPostgres$"),
	}
}
