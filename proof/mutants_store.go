package proof

func storeMutants() []Mutant {
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
		mutant("SQLite: a take-over forgets how often it happened", "tx.go",
			"held.record.Attempts+1, held.record.Lapses+1", "held.record.Attempts+1, 0", "^TestConformance$"),
		mutant("SQLite: a body stays behind", "tx.go",
			"	return fresh, t.drop(held.bodyID)\n", "	return fresh, nil\n", "^TestNoBodyIsLeftBehind$"),
		mutant("SQLite: one bad step spoils its batch", "writer.go",
			"if extent == step && culprit >= 0 {", "if false {", "^TestBatchOutlivesABadStep$"),
		mutant("SQLite: a damaged response is replayed", "record.go",
			"if !hasStatus || !hasSum || sum != sumOf(slot, w.record.Response) {", "if !hasStatus || !hasSum || sum == 0 && sumOf(slot, w.record.Response) == 1 {", "^TestDamageNeverReplays$"),
	}
}
