package proof

func natsMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"NATS: " + name, "store/natsstore/" + file, before, after, "store/natsstore", test}
	}
	return append([]Mutant{
		mutant("a foreign token settles", "steps.go",
			"if !h.heldBy(token) {", "if h.absent || h.state != semel.StateReserved {", "^TestConformance$/^foreign$"),
		mutant("a foreign token uses a hint", "hints.go",
			"return h, ok && h.row.token == token", "return h, ok", "^TestConformance$/^foreign$"),
		mutant("another request takes a lapsed attempt over", "row.go",
			" && h.fingerprint == r.Fingerprint", "", "^TestConformance$/^lapse$"),
		mutant("a take-over keeps the token", "row.go",
			"next.attempts, next.lapses = h.attempts+1, h.lapses+1", "next.attempts, next.lapses, next.token = h.attempts+1, h.lapses+1, h.token", "^TestConformance$/^lapse$"),
		mutant("a take-over forgets how often it happened", "row.go",
			"next.attempts, next.lapses = h.attempts+1, h.lapses+1", "next.attempts = h.attempts + 1", "^TestConformance$/^lapse$"),
		mutant("a completed slot is taken", "row.go",
			"case h.absent, h.state != semel.StateReserved && over:", "case h.absent, h.state != semel.StateReserved:", "^TestConformance$/^reserve$"),
		mutant("a slot that is over is not taken", "row.go",
			"case h.absent, h.state != semel.StateReserved && over:", "case h.absent:", "^TestConformance$/^reserve$"),
		mutant("a release forgets the slot", "steps.go",
			"func(w *row, _ bool) { w.free() }", "func(w *row, _ bool) { w.free(); w.expires, w.keep = 0, noKeep }", "^TestConformance$/^reserve$"),
		mutant("an operator resolves what he did not look at", "steps.go",
			" || h.fence != r.Fence", "", "^TestConformance$/^resolve$"),
		mutant("a lapsed attempt that was resolved keeps its token", "steps.go",
			"			next.token = semel.NewToken()\n", "", "^TestConformance$/^resolve$"),
		mutant("a late completion is kept no longer", "steps.go",
			"		if late {\n", "		if false {\n", "^TestConformance$/^retention$"),
		mutant("a completion in time extends the retention", "steps.go",
			"		if late {\n", "		if true {\n", "^TestConformance$/^retention$"),
		mutant("a lease of zero waits for the margin", "row.go",
			"	case h.lease == 0:\n		return 0\n", "", "^TestConformance$/^renew$"),
	}, append(natsServerMutants(mutant), natsOutageMutants(mutant)...)...)
}

// natsServerMutants break what the store wants from the server.
func natsServerMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a write expects nothing", "slot.go",
			"jetstream.ExpectedLastSubjSeqHeader: []string", `"X-Expected": []string`, "^TestConformance$/^race$"),
		mutant("a conflict of a replicated stream is an error", "errors.go",
			"case code == codeWrongLastSequence, code == codeWrongLastSequenceInFlight:", "case code == codeWrongLastSequence:", "^TestConformanceCluster$/^race$"),
		mutant("the server deletes reservations", "slot.go",
			"	if w.state == semel.StateReserved {\n		return 0\n	}\n", "", "^TestTTL$"),
		mutant("a completion loses its life", "slot.go",
			"if ttl := s.ttl(w); ttl > 0 {", "if ttl := s.ttl(w); ttl < 0 {", "^TestTTL$"),
		mutant("what is over is listed", "list.go",
			"h.state != semel.StateReserved && h.expires <= c.now", "false", "^TestConformance$/^purge$"),
		mutant("a reservation that outlives its retention is not listed", "list.go",
			"h.state != semel.StateReserved && h.expires <= c.now", "h.expires <= c.now", "^TestLapsedIsListed$"),
		mutant("replicas whose clocks differ delete early", "slot.go",
			"const ttlGrace = time.Minute", "const ttlGrace = 0", "^TestTTL$"),
		mutant("a message is removed by the limit and not by a roll-up", "slot.go",
			"	if expected > 0 {\n", "	if false {\n", "^TestReservationsStayAway$"),
		mutant("clients may delete records", "stream.go",
			"c.NoAck, c.DenyDelete = false, true", "c.NoAck, c.DenyDelete = false, false", "^TestMigrateAtOnce$"),
		mutant("a lease is measured by the client's clock", "slot.go",
			"return parse(slot, msg.Header, msg.Data, msg.Sequence, msg.Time)", "return parse(slot, msg.Header, msg.Data, msg.Sequence, s.clock.now())", "^TestSkewBetweenProcesses$"),
		mutant("a lapse is judged by the client's clock", "store.go",
			"return earliest, nil", "return max(earliest, s.clock.now().UnixNano()), nil", "^TestSkewBetweenProcesses$"),
		mutant("a lapse is not seen", "slot.go",
			"if end <= earliest {", "if end < 0 && end <= earliest {", "^TestConformance$/^lapse$"),
		mutant("a hint says that every lease runs", "hints.go",
			"late || most+most/drift < h.row.lease", "late || most >= 0", "^TestConformance$/^retention$"),
		mutant("followers may be read", "inspect.go",
			"check(!c.AllowDirect && !c.MirrorDirect,", "check(true,", "^TestUnfitStreams$"),
		mutant("a stream is not validated", "stream.go",
			"semel.Unfit(s.findings(info))", "semel.Unfit(s.findings(info)[:1])", "^TestUnfitStreams$"),
		mutant("a new stream begins at one", "stream.go",
			"				FirstSeq: firstSeq(s.clock.now()),\n", "", "^TestMigrateAtOnce$"),
		mutant("somebody else's stream is taken", "stream.go",
			"case have == 0 && info.State.Msgs > 0:", "case have < 0:", "^TestMigrateRefuses$"),
		mutant("a marker is a record", "slot.go",
			`header.Get(jetstream.MarkerReasonHeader) != ""`, `header.Get(jetstream.MarkerReasonHeader) == "?"`, "^TestServerDeletes$"),
		mutant("a marker is not expected", "slot.go",
			"return held{absent: true, seq: seq}, nil", "return held{absent: true}, nil", "^TestServerDeletes$"),
		mutant("a damaged record is an absent one", "slot.go",
			"return held{}, &DamagedError{Slot: slot, Err: err}", "return held{absent: true, seq: seq}, nil", "^TestDamageIsNoAbsence$"),
		mutant("a record of another slot is believed", "slot.go",
			"if err == nil && w.key.Slot() != slot {", "if false {", "^TestDamageIsNoAbsence$"),
		mutant("the checksum is not looked at", "codec.go",
			"crc32.Checksum(body, castagnoli) != sum", "sum != sum+0", "^TestCodecDamage$"),
		mutant("a step waits in a buffer", "store.go",
			"	switch s.nc.Status() {\n", "	if s.nc.IsReconnecting() {\n		return nil\n	}\n	switch s.nc.Status() {\n", "^TestNew$"),
		mutant("a step ends with its caller", "store.go",
			"context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)", "context.WithTimeout(ctx, s.cfg.Timeout)", "^TestCanceled$"),
	}
}

// natsOutageMutants break what makes an outage clear and passing.
func natsOutageMutants(mutant func(name, file, before, after, test string) Mutant) []Mutant {
	return []Mutant{
		mutant("a stream that is gone is served from when it is another", "silence.go",
			"		s.stream.Store(nil)\n		return s.missing()", "		return s.missing()", "^TestStreamIsReplaced$"),
		mutant("a write without an answer is not looked into", "silence.go",
			"if !silent(err) || ", "if err != nil || ", "^TestStreamIsDeleted$"),
		mutant("a denial is not told", "silence.go",
			"silent(err) && errors.Is(denied", "err == nil && errors.Is(denied", "^TestPermissions$"),
		mutant("an older program takes a newer stream back", "stream.go",
			"case have > s.layout:", "case have > s.layout+1:", "^TestMigrateOlder$"),
		mutant("a newer program serves from an older stream", "stream.go",
			"if have != s.layout {", "if have > s.layout || have == 0 {", "^TestMigrateOlder$"),
		mutant("a refused password is the end of the store", "open.go",
			"		nats.IgnoreAuthErrorAbort(),\n", "", "^TestWrongPassword$"),
		mutant("an older server's full disk is a failure like others", "errors.go",
			` || strings.Contains(text, "no space left")`, "", "^TestFull$"),
	}
}
