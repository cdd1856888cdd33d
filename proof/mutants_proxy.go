package proof

func proxyMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "cmd/semel/internal/proxy/" + file, before, after, "cmd/semel/internal/proxy", test}
	}
	return []Mutant{
		mutant("proxy: an answer that is cut short frees the key", "guarded.go",
			"	x.claim.Settle(semel.Unknown)\n	x.metrics.unknown.Inc()\n", "	x.claim.Settle(semel.Free)\n	x.metrics.unknown.Inc()\n", "^TestUpstreamDiesHalfWay$"),
		mutant("proxy: a request of which nothing was sent holds the key", "guarded.go",
			"		x.claim.Settle(semel.Free)\n", "		x.claim.Settle(semel.Unknown)\n", "^TestUpstreamDown$"),
		mutant("proxy: what was sent in part counts as not sent", "line.go",
			"if err != nil && n == 0 {", "if err != nil && n >= 0 {", "^TestSentInPart$"),
		mutant("proxy: an answer of exactly the limit is not kept", "guarded.go",
			"if int64(len(body)) > x.maxResponse {", "if int64(len(body)) >= x.maxResponse {", "^TestExactlyTheLimit$"),
		mutant("proxy: a chunked answer is cut at a stray byte", "line.go",
			" || b.line.in.Buffered() > 0", "", "^TestStrayAnswer$"),
		mutant("proxy: a client's own Semel fields pass", "header.go",
			"		if ours(name) {\n			delete(h, name)", "		if !ours(name) && false {\n			delete(h, name)", "^TestDerivedKeyIsTheSidecars$"),
		mutant("proxy: the derived key is another one in each attempt", "guarded.go",
			"x.claim.DerivedKey(DerivedStep)", "x.claim.DerivedKey(DerivedStep + x.claim.Token().String())", "^TestRecoverReleases$"),
		mutant("proxy: Semel's fields reach the client", "settle.go",
			"		if ours(name) {", "		if name == HeaderSettle {", "^TestSemelFieldsDoNotLeak$"),
		mutant("proxy: a 404 or a redirect settles", "recovery.go",
			"if res.StatusCode < 200 || res.StatusCode > 299 {", "if res.StatusCode < 200 {", "^TestRecoverStillUnknown$"),
		mutant("proxy: an answer without Semel-Settle is taken for a release", "recovery.go",
			"		return semel.Unknown, semel.Response{}, errNoSettle", "		return semel.Free, semel.Response{}, nil", "^TestRecoverStillUnknown$"),
		mutant("proxy: another word settles", "recovery.go",
			"	case !ok:\n		return semel.Unknown, semel.Response{}, errBadSettle", "	case !ok:\n		return semel.Free, semel.Response{}, nil", "^TestRecoverStillUnknown$"),
		mutant("proxy: a recovery answer that was cut short settles", "recovery.go",
			"	case err != nil:\n		return semelhttp.Kept{}, fmt.Errorf(\"proxy: the recovery URL's answer was cut",
			"	case err != nil && false:\n		return semelhttp.Kept{}, fmt.Errorf(\"proxy: the recovery URL's answer was cut", "^TestRecoverStillUnknown$"),
		mutant("proxy: a recovery answer is kept as far as it fits", "recovery.go",
			"	case int64(len(body)) > r.maxResponse:", "	case int64(len(body)) > r.maxResponse+1:", "^TestRecoverStillUnknown$"),
		mutant("proxy: any number is a status", "recovery.go",
			"err == nil && len(text) == 3 && status >= 200 && status <= 599", "err == nil", "^TestRecoverStillUnknown$"),
		mutant("proxy: the first of two statuses counts", "recovery.go",
			"		if line != lines[0] {", "		if line == \"\" {", "^TestRecoverStillUnknown$"),
		mutant("proxy: a recovery URL may take as long as it likes", "recovery.go",
			"context.WithTimeoutCause(ctx, r.cfg.RecoverTimeout, ", "context.WithTimeoutCause(ctx, 1000*r.cfg.UpstreamTimeout, ", "^TestRecoverStillUnknown$"),
		mutant("proxy: the word at the end of a recovery answer is not read", "recovery.go",
			"append(takeSettle(said.Header), takeSettle(said.Trailer)...)", "takeSettle(said.Header)", "^TestRecoverTrailer$"),
		mutant("proxy: what the store has no room for is asked about for ever", "recovery.go",
			"	if errors.Is(err, semel.ErrTooLarge) {", "	if errors.Is(err, semel.ErrSettled) {", "^TestRecoverWithoutRoom$"),
		mutant("proxy: a route asks with the limits of another", "route.go",
			"		h.Recover = base.Recover //", "		//", "^TestRecoverRoutes$"),
		{
			"metrics: a sweep counts as requests", "adapter/semelprom/observe.go",
			"		return ctx, c.quiet[op.Step]\n", "		return ctx, c.route(op.Route).ends[op.Step]\n", "adapter/semelprom", "^TestASweepIsNoRequest$",
		},
		{
			"command: the trail does not say which keys were shown", "cmd/semel/internal/cli/records_listed.go",
			"Reason: reason + chosen}", "Reason: reason}", "cmd/semel", "^TestScripts$/^records_list$",
		},
		{
			"command: the trail has a tenant's name where the store has a hash", "cmd/semel/internal/cli/records_listed.go",
			"	return o.Stored(scope, \"\").Scope", "	return scope", "cmd/semel/internal/cli", "^TestTrailOfAList",
		},
		{
			"command: the console in the sidecar keeps what is completed as long as it likes", "cmd/semel/internal/cli/console.go",
			"		return holds.Load().RetentionOf(route)\n", "		return holds.Load().Retention\n", "cmd/semel", "^TestScripts$/^console_route$",
		},
		{
			"command: a release needs no reason", "cmd/semel/internal/cli/records_resolve.go",
			"	if strings.TrimSpace(r.why) == \"\" {", "	if strings.TrimSpace(r.why) == \"-\" {", "cmd/semel", "^TestScripts$/^records_release$",
		},
		{
			"command: a reason is asked for and forgotten", "cmd/semel/internal/cli/records_resolve.go",
			"Reason: r.why}", "Reason: \"because\"}", "cmd/semel", "^TestScripts$/^records_release$",
		},
		{
			"command: --yes needs no fence", "cmd/semel/internal/cli/records_resolve.go",
			"	case r.yes && !r.dryRun && !given:", "	case r.yes && !r.dryRun && !given && r.why == \"\":", "cmd/semel", "^TestScripts$/^records_release$",
		},
		{
			"command: what had no effect yet is put before the operator", "operator/worklist.go",
			" && !rec.Blameless()", "", "cmd/semel", "^TestScripts$/^records_list$",
		},
		{
			"command: a sweep asks one service about the attempts of another", "cmd/semel/internal/proxy/sweep.go",
			"	if r, ok := a.routes[held.Route]; ok {\n		return r\n	}\n", "", "cmd/semel/internal/proxy", "^TestSweepAsksByRoute$",
		},
		{
			"command: a sweep asks about the attempts of routes that are no more", "cmd/semel/internal/proxy/sweep.go",
			"r == nil || a.others != nil && r.url != a.others.url", "r == nil", "cmd/semel/internal/proxy", "^TestSweepHoldsWhatIsOfNoRoute$",
		},
		{
			"command: a sweep takes over what it does not ask about", "cmd/semel/internal/proxy/sweep.go",
			"return s.current().asks.of(held) != nil", "return true", "cmd/semel/internal/proxy", "^TestSweepAsksByRoute$",
		},
		{
			"command: a sweep with nobody to ask starts", "cmd/semel/internal/config/recovery.go",
			"c.Sweep != 0 && !recovering", "c.Sweep != 0 && false", "cmd/semel/internal/config", "^TestRecoverNeedsURL$",
		},
		{
			"command: a proxy that should ask nobody starts", "cmd/semel/internal/config/recovery.go",
			"		case recovers && r.url == \"\" && !told:", "		case recovers && r.url == \"-\" && !told:", "cmd/semel/internal/config", "^TestRecoverNeedsURL$",
		},
	}
}
