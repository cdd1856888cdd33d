package proof

func proxyMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "cmd/semel/internal/proxy/" + file, before, after, "cmd/semel/internal/proxy", test}
	}
	return []Mutant{
		mutant("proxy: an answer that is cut short frees the key", "guarded.go",
			"	x.claim.Settle(semel.Unknown)\n	x.metrics.unknown.Add(1)\n", "	x.claim.Settle(semel.Free)\n	x.metrics.unknown.Add(1)\n", "^TestUpstreamDiesHalfWay$"),
		mutant("proxy: a request of which nothing was sent holds the key", "guarded.go",
			"		x.claim.Settle(semel.Free)\n", "		x.claim.Settle(semel.Unknown)\n", "^TestUpstreamDown$"),
		mutant("proxy: what was sent in part counts as not sent", "line.go",
			"if err != nil && n == 0 {", "if err != nil && n >= 0 {", "^TestSentInPart$"),
		mutant("proxy: an answer of exactly the limit is not kept", "guarded.go",
			"if int64(len(body)) > x.maxResponse {", "if int64(len(body)) >= x.maxResponse {", "^TestExactlyTheLimit$"),
		mutant("proxy: a chunked answer is cut at a stray byte", "line.go",
			" || b.line.in.Buffered() > 0", "", "^TestStrayAnswer$"),
	}
}
