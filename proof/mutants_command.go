package proof

// commandMutants break what the sidecar's command makes of its settings, and what it tells.
func commandMutants() []Mutant {
	mutant := func(name, file, before, after, dir, test string) Mutant {
		return Mutant{"command: " + name, "cmd/semel/" + file, before, after, "cmd/semel" + dir, test}
	}
	return []Mutant{
		mutant("a wait for the whole is forgotten", "internal/cli/proxy.go",
			"Retention: cfg.Retention, Wait: cfg.Wait,", "Retention: cfg.Retention,", "/internal/cli", "^TestWholeAsRoute$"),
		mutant("the lease of the whole is forgotten", "internal/cli/proxy.go",
			"to.Lease, to.Margin, to.MaxRun, to.Retention = cfg.Lease,", "to.Lease, to.Margin, to.MaxRun, to.Retention = to.Lease,", "/internal/cli", "^TestWholeAsRoute$"),
		mutant("a reload does not reach the console", "internal/cli/reload.go",
			"	r.holds.Store(&cfg)\n", "	r.holds = new(atomic.Pointer[config.Config])\n	r.holds.Store(&cfg)\n", "", "^TestScripts$/^console_route$"),
		mutant("a list that fails says that there are no records", "internal/cli/records_list.go",
			"	if err != nil {\n		return o.cut(p, n, err)\n	}\n	p.end(n)\n	if more {", "	p.end(n)\n	if err != nil {\n		return o.cut(p, n, err)\n	}\n	if more {", "/internal/cli", "^TestListIsCut$"),
		mutant("a worklist that fails is closed", "internal/cli/records_list.go",
			"	if err != nil {\n		return o.cut(p, n, err)\n	}\n	p.end(n)\n	if n <", "	p.end(n)\n	if err != nil {\n		return o.cut(p, n, err)\n	}\n	if n <", "/internal/cli", "^TestListIsCut$"),
		mutant("a signal is a fault of the store", "internal/cli/records.go",
			"	if ctx.Err() != nil {\n		return deskFault(ctx.Err())\n	}\n", "", "/internal/cli", "^TestListIsCut$"),
		mutant("Ctrl-C waits for what the store has read ahead", "internal/cli/records.go",
			"		case ctx.Err() != nil: //", "		case false: //", "/internal/cli", "^TestListEndsAtOnce$"),
		mutant("a check passes a key that no request can carry", "internal/config/config.go",
			"	if err := keyFields(c.KeyHeaders); err != nil {", "	if err := keyFields(nil); err != nil {", "/internal/config", "^TestCheckProxy$"),
		mutant("a check passes a route whose key no request can carry", "internal/config/route.go",
			"		errs = append(errs, r.checkKeys()...)\n", "", "/internal/config", "^TestCheckProxyNamesTheLine$"),
		mutant("everybody may say who signed in", "internal/config/console.go",
			"		if p.Bits() == 0 {", "		if p.Bits() < 0 {", "/internal/config", "^TestCheckProxy$"),
		mutant("the client's host says who signed in", "internal/config/console.go",
			"name != \"\" && proxy.MadeAnew(name) {", "name != \"\" && proxy.MadeAnew(\"\") {", "/internal/config", "^TestCheckProxy$"),
		mutant("a token of NATS is printed", "internal/config/print.go",
			"	} else if u.User != nil && (", "	} else if u.User == nil && (", "/internal/config", "^TestPrintMasksSecrets$"),
		mutant("a parameter in other letters is printed", "internal/config/print.go",
			"	name, err := url.QueryUnescape(param)\n", "	name, err := param, error(nil)\n", "/internal/config", "^TestPrintMasksSecrets$"),
		mutant("a user with a comma is two", "internal/config/console.go",
			"			set:   whole(parseText", "			set:   many(parseText", "/internal/config", "^TestWritersAreWhole$"),
		mutant("a user with a comma is printed as two", "internal/config/print.go",
			"		case s.List && !s.Whole:", "		case s.List:", "/internal/config", "^TestWritersAreWhole$"),
		mutant("a schema is applied in silence", "internal/stores/sqlite.go",
			"sqlitestore.Config{Migrating: opt.Migrating}", "sqlitestore.Config{}", "/internal/stores", "^TestMigrateTellsItsSteps$"),
		mutant("a migration is shown where a number of records would be", "internal/cli/progress.go",
			"{ p.line(\"schema: migration", "{ p.show(of); p.line(\"schema: migration", "/internal/cli", "^TestProgress$"),
		{
			"sqlitestore: a fresh file is made in silence", "store/sqlitestore/file.go",
			"(database{path: fresh, migrating: d.migrating})", "(database{path: fresh})", "store/sqlitestore", "^TestMigratingIsTold$",
		},
		{
			"pgstore: a migration is applied in silence", "store/pgstore/schema.go",
			"			s.migrating(m.version, len(all))\n", "", "store/pgstore", "^TestMigratingIsTold$",
		},
		{
			"mysqlstore: a migration is applied in silence", "store/mysqlstore/schema.go",
			"			s.cfg.Migrating(m.version, len(all))\n", "", "store/mysqlstore", "^TestMigratingIsTold$",
		},
	}
}
