package proof

// verifyMutants break what semel verify finds, what it must not do, and what it must not tell.
func verifyMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"verify: " + name, "cmd/semel/internal/verify/" + file, before, after, "cmd/semel/internal/verify", test}
	}
	command := func(name, file, before, after, test string) Mutant {
		return Mutant{"verify: " + name, "cmd/semel/internal/cli/" + file, before, after, "cmd/semel/internal/cli", test}
	}
	return []Mutant{
		command("a counter elsewhere is not asked for", "verify.go",
			"return isLoopback(t.URL) && (t.Effects.URL == nil || isLoopback(t.Effects.URL))", "return isLoopback(t.URL)", "^TestLocal$"),
		command("the same caller is another", "verify_read.go",
			"		case slices.Equal(own, values):\n", "		case slices.Equal(own, values) && false:\n", "^TestAnotherCallerIsAnother$"),
		mutant("equal answers prove a replay", "rules_replay.go",
			"if b.distinct || b.marked || s.counts() && b.reran == 0 {", "if b.distinct || true {", "^TestEqualAnswersProveNothing$"),
		mutant("the counter is not asked where answers are alike", "judge.go",
			"blind := s.counts() && !s.base.marked && (!s.base.distinct || s.profile.NewestState)", "blind := false", "^TestEqualAnswersProveNothing$"),
		mutant("the counter is not asked where a replay may show the newest state", "judge.go",
			"(!s.base.distinct || s.profile.NewestState)", "!s.base.distinct", "^TestPresetsKeepTheirProfiles$"),
		mutant("placeholders tell runs apart", "session.go",
			"	alike.body = b.op.body //", "	alike.body = fill(s.target.Body, alike.n, alike.key) //", "^TestEchoIsNoReplay$"),
		mutant("fields are not compared", "rules_replay.go",
			"	lost, ignored := s.lostFields(b.first, b.again)\n	if len(lost) > 0 {", "	lost, ignored := s.lostFields(b.first, b.again)\n	if len(lost) > 99 {", "^TestEachRuleBreaks$"),
		mutant("a conflict may be anything", "rules_conflict.go",
			"	case allows(s.profile.Conflict, second.status):\n		return pass(\"%d\", second.status)\n	case became == replayed:", "	case true:\n		return pass(\"%d\", second.status)\n	case became == replayed:", "^TestEachRuleBreaks$"),
		mutant("another body needs no control", "rules_conflict.go",
			"		if !isSuccess(control.status) {\n			return &conflictSeen{", "		if false {\n			return &conflictSeen{", "^TestControls$"),
		mutant("the other caller needs no control", "rules_scope.go",
			"if err != nil || isSuccess(control.status) {", "if true {", "^TestControls$"),
		mutant("who waits has run", "rules_flight.go",
			"	case met && became == replayed:\n		return pass(\"it waited, and got the first's answer\"), nil\n", "", "^TestDuplicatesMayWait$"),
		mutant("what still runs is not counted", "rules_flight.go",
			"if seen.ran != 1 || seen.later != 1 {", "if false {", "^TestEachRuleBreaks$"),
		mutant("half a body may run", "rules_cut.go",
			"	case after != before:\n		return fail(\"half", "	case after < before:\n		return fail(\"half", "^TestEachRuleBreaks$"),
		mutant("the next request may fail", "rules_wire.go",
			"	if !isSuccess(two.status) {", "	if false {", "^TestEachRuleBreaks$"),
		mutant("a redirect is an endpoint", "session.go",
			"	case x.status/100 == 3:\n", "	case false:\n", "^TestRunThatCannotBegin$"),
		mutant("requests are not limited", "wire.go",
			"	if w.sent.Add(1) > w.most {", "	if w.sent.Add(1) > w.most && w.most < 0 {", "^TestLimits$"),
		mutant("a limit breaks a rule", "verify.go",
			"		v, complete = skip(\"not run: %v\", err), false", "		v, complete = fail(\"not run: %v\", err), false", "^TestLimits$"),
		mutant("what was not run is not missed", "verify.go",
			"		v, complete = skip(\"not run: %v\", err), false", "		v = skip(\"not run: %v\", err)", "^TestLimits$"),
		mutant("a server that has gone breaks rules", "wire.go",
			"		return nil, cmp.Or(over(ctx), fmt.Errorf(\"%w: %w\", ErrUnreachable, err))", "		return nil, nil", "^TestServerThatGoes$"),
		mutant("credentials go to the counter", "effects.go",
			"	if SameOrigin(r.url, s.target.URL) {", "	if true {", "^TestSecretsStayHere$"),
		mutant("credentials go to another port", "wire.go",
			" && port(a) == port(b)", "", "^TestTargetsThatAreNone$"),
		mutant("what an endpoint echoes is shown", "report.go",
			"excerpt([]byte(s.scrub(string(x.body))))", "excerpt(x.body)", "^TestSecretsStayHere$"),
		mutant("a cookie is shown", "report.go",
			"		if name == \"Set-Cookie\" {\n", "		if name == \"\" {\n", "^TestSecretsStayHere$"),
		mutant("a query is shown", "wire.go",
			"Path: u.Path, RawPath: u.RawPath}", "Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}", "^TestSecretsStayHere$"),
		mutant("a counter is a float", "effects.go",
			"	dec.UseNumber() // a counter is never rounded\n", "", "^TestCounter$"),
		mutant("an answer moves the cursor", "render.go",
			"r == utf8.RuneError || r < ' ' || ", "r == utf8.RuneError || ", "^TestForms$"),
		mutant("JUnit counts what the exit code does not", "render_junit.go",
			"			if res.Rule.Severity >= least {", "			if true {", "^TestForms$"),
		{
			"verify: a server elsewhere is not asked for", "cmd/semel/internal/cli/verify.go",
			"	if !local(t) {\n		a.say", "	if false {\n		a.say", "cmd/semel", "^TestScripts$/^verify$",
		},
		{
			"verify: a dry run sends", "cmd/semel/internal/cli/verify.go",
			"	if v.dryRun {\n		a.plan(t, cfg)\n		return nil\n	}\n", "", "cmd/semel", "^TestScripts$/^verify$",
		},
		{
			"verify: a run that was cut short is done", "cmd/semel/internal/cli/verify.go",
			"	case !report.Complete:\n", "	case false:\n", "cmd/semel", "^TestScripts$/^verify$",
		},
	}
}
