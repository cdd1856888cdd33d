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
		mutant("a handler completes after its own transaction (I8)", "proof/ledger/app.go",
			"\t\t\treturn semelhttp.CompleteIn(ctx, w, tx)\n", "\t\t\treturn nil\n", "^TestPostgres$"),
	}
}
