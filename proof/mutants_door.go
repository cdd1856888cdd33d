package proof

// doorMutants break what decides whether a request is guarded, and as whose.
func doorMutants() []Mutant {
	http := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelhttp/" + file, before, after, "semelhttp", test}
	}
	config := func(name, before, after, test string) Mutant {
		return Mutant{name, "cmd/semel/internal/config/print.go", before, after, "cmd/semel/internal/config", test}
	}
	return []Mutant{
		http("a route opens for what may have run", "middleware.go",
			" && failed.Step == semel.StepReserve &&", " &&", "^TestFailOpenOnlyWhatHasNotRun$"),
		http("a route opens for a damaged record", "middleware.go",
			"		!errors.Is(err, semel.ErrDamaged) && ", "		", "^TestFailOpenOnlyWhatHasNotRun$"),
		http("a route opens for an answer that is not stored", "middleware.go",
			" && !errors.Is(err, semel.ErrNotStored)", "", "^TestFailOpenOnlyWhatHasNotRun$"),
		http("claims of invalid Unicode share a scope", "claim.go",
			"if !utf8.Valid(raw) || strings.ContainsRune(text, utf8.RuneError) {", "if !utf8.Valid(raw) && false {", "^TestByBearerClaimRefuses$"),
		http("certificates with twins in their subject share a scope", "claim.go",
			"return commonNames > 1 || serialNumbers > 1", "return false", "^TestByClientSubject$"),
		http("a shadow takes the claim of a guarded request", "shadow.go",
			"	if semel.FromContext(r.Context()) != nil {", "	if false {", "^TestShadowInside$"),
		http("a shadow whose hook panics holds its key", "shadow.go",
			"		if !told && claim != nil {", "		if !told && false {", "^TestShadowHookPanics$"),
		config("a reload moves the scope and does not say so",
			"names := c.Differs(next, identifying())", "names := []string(nil)", "^TestReidentifies$"),
		config("a reload moves a route and does not say so",
			"was != is || ", "was != is && false || ", "^TestReidentifies$"),
		{
			"an answer of an operator is kept as long as any other", "operator/resolve.go",
			"Retention: d.Retention(rec)", "Retention: d.cfg.Retention", "operator", "^TestRetentionOfTheRoute$",
		},
		{
			"an operator's own retention does not count", "cmd/semel/internal/cli/records.go",
			`if cmd.Flags().Changed("retention") {`, "if false {", "cmd/semel", "^TestScripts$/^records_route$",
		},
		{
			"pages keep actions out", "console/page.go",
			"c.serve(RoleWrite, c.acts,", "c.serve(RoleWrite, c.reads,", "console", "^TestPagesLeaveActionsTheirPlaces$",
		},
		{
			"a route that names a host by mistake matches nothing", "cmd/semel/internal/config/route.go",
			"case host != \"\" && host != \"localhost\" &&", "case false && host != \"\" &&", "cmd/semel/internal/config", "^TestRoutesThatCannotStandTogether$",
		},
		{
			"a star is taken for a wildcard", "cmd/semel/internal/config/route.go",
			"case strings.Contains(path, \"*\"):", "case false:", "cmd/semel/internal/config", "^TestRoutesThatCannotStandTogether$",
		},
	}
}
