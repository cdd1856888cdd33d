package proof

import "slices"

func pgMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"PostgreSQL: " + name, "store/pgstore/" + file, before, after, "store/pgstore", test}
	}
	return append([]Mutant{
		mutant("a foreign token completes", "sql/complete.sql",
			"WHERE slot = $1::bytea AND token = $2::bytea", "WHERE slot = $1::bytea AND $2::bytea IS NOT NULL", "^TestConformance$/^complete$/^by-another$"),
		mutant("a foreign token releases", "sql/release.sql",
			"AND token = $2::bytea", "AND $2::bytea IS NOT NULL", "^TestConformance$/^foreign$"),
		mutant("a foreign token renews", "sql/renew.sql",
			"AND h.token = asked.token", "", "^TestConformance$/^foreign$"),
		mutant("a take-over keeps the token", "sql/reserve.sql",
			"SET state = 1, token = $2,", "SET state = 1,", "^TestConformance$/^lapse$/^take-over$"),
		mutant("a take-over keeps the fence", "sql/reserve.sql",
			"fence = greatest(s.fence + 1, now),", "fence = s.fence,", "^TestConformance$/^lapse$/^take-over$"),
		mutant("a take-over forgets that it was one", "sql/reserve.sql",
			"ELSE s.lapses + 1 END", "ELSE 0 END", "^TestConformance$/^lapse$/^count$"),
		mutant("another request takes over", "sql/reserve.sql",
			"AND fingerprint = $3::bytea", "AND $3::bytea IS NOT NULL", "^TestConformance$/^lapse$/^take-over-conflict$"),
		mutant("an attempt takes itself over", "sql/reserve.sql",
			"AND token <> $2::bytea", "AND $2::bytea IS NOT NULL", "^TestConformance$/^lapse$/^repeat-when-lapsed$"),
		mutant("a reservation expires", "sql/reserve.sql",
			"ELSE ($7::boolean OR", "ELSE expires_at <= (SELECT now FROM clock) OR ($7::boolean OR", "^TestConformance$/^reserve$/^retention-over-while-held$"),
		mutant("a given-up lease waits for the margin", "sql/reserve.sql",
			"AND (lease_until = 0 OR lease_until + $6::bigint", "AND (lease_until + $6::bigint", "^TestGivenUpWhateverTheMargin$"),
		mutant("who inserted is found out afterwards", "sql/reserve.sql",
			"    SELECT * FROM inserted\n    UNION ALL\n", "", "^TestOneRoundTrip$"),
		mutant("a replay takes a transaction id", "sql/reserve.sql",
			"SELECT now, state,", "SELECT now + 0 * pg_current_xact_id()::text::bigint, state,", "^TestRefusalsWriteNothing$"),
		mutant("no row is an error", "reserve.go",
			"case errors.Is(err, pgx.ErrNoRows):\n\t\treturn semel.Record{}, errRaced",
			"case errors.Is(err, pgx.ErrNoRows):\n\t\treturn semel.Record{}, err", "^TestNoRowIsAskedAgain$"),
		mutant("the loser of a race sees the moment before", "reserve.go",
			"case w.takeable(r) &&", "case false && w.takeable(r) &&", "^TestConformance$/^race$/^released$"),
		mutant("a Complete beside itself is lost", "settle.go",
			"case state == int16(semel.StateReserved):\n\t\treturn errRaced",
			"case state == int16(semel.StateReserved):\n\t\treturn semel.ErrLost", "^TestCompleteBesideItself$"),
		mutant("Release deletes", "sql/release.sql",
			`UPDATE "slots" SET state = 0, lapses = 0, lease_until = 0`, `DELETE FROM "slots"`, "^TestConformance$/^release$/^tombstone$"),
		mutant("a late completion keeps the old expiry", "sql/complete.sql",
			"ELSE greatest(expires_at, now + $6::bigint) END", "ELSE expires_at + 0 * $6::bigint END", "^TestConformance$/^retention$"),
		mutant("every completion moves the expiry", "sql/complete.sql",
			"CASE WHEN lease_until > now THEN expires_at", "CASE WHEN false THEN expires_at", "^TestCompletionsAreHeapOnly$"),
		mutant("Purge deletes reservations", "sql/purge.sql",
			"       AND state <> 1\n", "", "^TestConformance$/^purge$/^spares-reservations$"),
		mutant("an operator resolves what he did not look at", "sql/resolve.sql",
			"WHERE slot = $1::bytea AND fence = $2::bigint", "WHERE slot = $1::bytea AND $2::bigint > 0", "^TestConformance$/^resolve$/^fence$"),
		mutant("a repeated resolution does not know itself", "sql/resolve.sql",
			` OR EXISTS (SELECT FROM "slots" WHERE slot = $1 AND token = $5)`, "", "^TestResolveWithALostAnswer$"),
		mutant("a resolved attempt keeps its token", "sql/resolve.sql",
			"token = $5::bytea", "token = CASE WHEN false THEN $5::bytea ELSE token END", "^TestConformance$/^resolve$/^late-owner$"),
	}, slices.Concat(pgClockMutants(mutant), pgEffectsMutants(mutant), pgServerMutants(mutant), pgTxMutants(mutant))...)
}

// pgEffectsMutants break what is known of an attempt that has promised not to have begun.
func pgEffectsMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("every lapsed attempt is blameless", "sql/reserve.sql",
			"$11::boolean AND deferred_fence = fence AND lapses = 0)", "$11::boolean)", "^TestFirstSchema$"),
		mutant("a promise is inherited", "sql/reserve.sql",
			"$11::boolean AND deferred_fence = fence", "$11::boolean AND deferred_fence > 0", "^TestPromiseIsNotInherited$"),
		mutant("a promise is inherited in the answer", "record.go",
			"deferredFence == w.record.Fence", "deferredFence > 0", "^TestPromiseIsNotInherited$"),
		mutant("what has not begun lapses as an unknown outcome", "sql/reserve.sql",
			"s.deferred_fence = s.fence AND s.lapses = 0 THEN 0", "false THEN 0", "^TestLockedByATransaction$"),
		mutant("everybody waits for a transaction", "reserve.go",
			"!atWork && (", "(", "^TestLockedByATransaction$"),
		mutant("nobody can tell that a transaction is at work", "sql/lock.sql",
			"pg_try_advisory_xact_lock($3::bigint) IS NOT NULL", "$3::bigint IS NOT NULL", "^TestLockedByATransaction$"),
		mutant("a step under way counts as a transaction", "reserve.go",
			"!atWork && (", "!atWork && !w.record.Blameless() && (", "^TestConformanceOpened$/^begin$/^race$"),
		mutant("a foreign token begins", "sql/begin_effects.sql",
			"AND token = $2::bytea", "AND $2::bytea IS NOT NULL", "^TestBeginEffectsBesideATakeOver$"),
		mutant("a reason outlives its record", "sql/reserve.sql",
			"body = NULL, reason = NULL", "body = NULL", "^TestReasons$"),
		mutant("a reason has any length", "settle.go",
			"n > semel.MaxReasonLen {", "n < 0 {", "^TestReasons$"),
	}
}

// pgClockMutants look at another clock than the server's at the time of the step.
// That of the program cannot be told from the server's on one machine: the test
// gives the server a clock that is a day off, and the mutant takes the machine's.
func pgClockMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a lease counts from the beginning of the transaction", "sql/reserve.sql",
			"clock_timestamp()", "now()", "^TestTimeOfTheStep$"),
		mutant("a renewal counts from the beginning of the transaction", "sql/renew.sql",
			"clock_timestamp()", "now()", "^TestTimeOfTheStep$"),
		mutant("a completion is as late as its transaction", "sql/complete.sql",
			"clock_timestamp()", "now()", "^TestLateInALongTransaction$"),
		mutant("a lease counts from the program's clock", "sql/reserve.sql",
			"clock_timestamp()", "pg_catalog.clock_timestamp()", "^TestClockOfTheServer$"),
	}
}

// pgServerMutants break what the store does about the server and the way to it.
func pgServerMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a locked lease is lost", "renew.go",
			"case held[h.Token]:", "case held[h.Token] && false:", "^TestLockedRows$"),
		mutant("a renewal passes over a take-over", "renew.go",
			"if wait > renewPatience &&", "if wait > 0 &&", "^TestRenewBesideATakeOver$"),
		mutant("a step can be canceled", "step.go",
			"\tctx = context.WithoutCancel(ctx)\n", "", "^TestWaitForTheStandbyIsNotCanceled$"),
		mutant("a step that the standby lacks succeeds", "standby.go",
			"s.behind.Add(1)", "s.behind.Add(0)", "^TestCanceledWaitIsNoSuccess$"),
		mutant("a replica serves", "inspect.go",
			"role, !f.recovery, semel.Broken,", "role, !f.recovery, semel.Weak,", "^TestStandby$"),
		mutant("a newer schema is taken for ours", "schema.go",
			"have == len(all)", "have >= len(all)", "^TestOtherSchemas$"),
		mutant("an older schema is taken for ours", "schema.go",
			"have == len(all)", "have > 0 && have <= len(all)", "^TestOlderSchema$"),
		mutant("an older schema is made from the beginning", "schema.go",
			"range all[have:]", "range all[0*have:]", "^TestOlderSchema$"),
		mutant("a table that was dropped is not made again", "schema.go",
			"|| !gone ||", "|| true ||", "^TestOtherSchemas$"),
		mutant("migrations do not wait for one another", "schema.go",
			`"SELECT pg_advisory_xact_lock(%d)"`, `"SELECT %d"`, "^TestMigrateTenAtOnce$"),
		mutant("a serialization failure is final", "errors.go",
			"case codeSerialization, codeDeadlock,", "case codeDeadlock,", "^TestSerializable$"),
		mutant("prepared statements are sent to a pooler", "step.go",
			"pooled = conn.Conn().PgConn().PID() != pid", "pooled = conn.Conn().PgConn().PID() == 0", "^TestOpenedConnections$"),
		mutant("a pooler that appears goes unnoticed", "step.go",
			"if unknownStatement(err) {", "if false {", "^TestPoolerAppears$"),
		mutant("a full disk is any error", "errors.go",
			"case codeDiskFull:", `case "none":`, "^TestFullDisk$"),
		mutant("a server that fell is full", "errors.go",
			"if panicked(err) {", "if false {", "^TestPanicIsNotErrFull$"),
		mutant("a read-only server has no name", "errors.go",
			"case codeReadOnly:", `case "none":`, "^TestReadOnlyForAWhile$"),
		mutant("a plan for a small table stays", "open.go",
			"set_config('enable_seqscan', 'off', false)", "set_config('enable_seqscan', 'on', false)", "^TestPlansOutliveASmallTable$"),
		mutant("a secret of the URL is in the error", "open.go",
			`if secret != "" && strings.Contains(text, secret) {`, `if secret == "never" {`, "^TestWrongURLs$"),
		mutant("connections that rested are trusted", "open.go",
			" || time.Now().Add(-p.IdleDuration).UnixNano() <= b.at.Load()", "", "^TestRestingConnectionsAreTried$"),
		mutant("a page of a list ends between records of one instant", "sql/list.sql",
			"AND (created_at, slot) < ($1, $2::bytea)", "AND created_at < $1 + 0 * octet_length($2::bytea)", "^TestLongList$"),
		mutant("a listed response is another attempt's", "sql/body.sql",
			"AND fence = $2::bigint AND state = 2", "AND $2::bigint > 0", "^TestListWithBodies$"),
		mutant("a huge response is sent", "settle.go",
			"size > maxResponse {", "size < 0 {", "^TestTooLarge$"),
	}
}
