package proof

import "strings"

// frameworkMutants break the adapters of gin and echo.
func frameworkMutants() []Mutant {
	gin := func(name, file, old, broken, test string) Mutant {
		return Mutant{"gin: " + name, "adapter/semelgin/" + file, old, broken, "adapter/semelgin", test}
	}
	mutants := []Mutant{
		gin("an error that is rendered outside is kept as an empty answer", "attempt.go",
			"	case silent && len(c.Errors) > a.errors:\n", "	case false:\n", "^TestErrorRenderedOutside$"),
		gin("a status that waits is lost with its error", "attempt.go",
			"	a.below.ResponseWriter.WriteHeader(inner.status)\n", "", "^TestErrorRenderedNowhere$"),
		gin("a handler that says that nothing has happened is not believed", "attempt.go",
			"		how = wish\n", "		_ = wish\n", "^TestErrorRenderedOutsideFrees$"),
		gin("somebody adds to a kept answer", "attempt.go",
			"		c.Writer = &a.sealed\n", "		c.Writer = outer\n", "^TestAnswerIsWhole$"),
		gin("a kept answer looks as if it had not begun", "writer.go",
			"func (s *sealed) Written() bool                        { return true }", "func (s *sealed) Written() bool { return s.ResponseWriter.Written() }", "^TestAnswerIsWhole$"),
		gin("the status of a kept answer is changed", "writer.go",
			"func (s *sealed) WriteHeader(int)                      {}", "func (s *sealed) WriteHeader(n int) { s.ResponseWriter.WriteHeader(n) }", "^TestAnswerIsWhole$|^TestRefusalIsWhole$"),
		gin("handlers run after a replay", "attempt.go",
			"	if !a.ran {\n		c.Abort()\n	}\n", "", "^TestChain$"),
		gin("the request of an attempt outlives it", "attempt.go",
			"		c.Request = a.request\n", "", "^TestPanicLeavesTheWriter$|^TestChain$"),
		gin("a panic leaves the writer of the attempt", "attempt.go",
			"			c.Writer = outer\n", "			_ = outer\n", "^TestPanicLeavesTheWriter$|^TestFramework$/^Panic$"),
		gin("a status without a body is lost", "attempt.go",
			"	if inner.status != http.StatusOK { // which is the Middleware's own default\n", "	if false {\n", "^TestFramework$/^Replay$"),
		gin("a status that was noted outside is lost", "attempt.go",
			"status: a.status,", "status: http.StatusOK,", "^TestStatusOfOutside$"),
		gin("a try finds what another has put into the context", "attempt.go",
			"	a.c.Keys, a.c.Errors = maps.Clone(a.keys), a.c.Errors[:a.errors]\n", "	a.c.Errors = a.c.Errors[:a.errors]\n", "^TestHandleInTx$"),
		gin("a try finds the errors of another", "attempt.go",
			"	a.c.Keys, a.c.Errors = maps.Clone(a.keys), a.c.Errors[:a.errors]\n", "	a.c.Keys = maps.Clone(a.keys)\n", "^TestHandleInTx$"),
		gin("the record has no route", "wrap.go",
			"path != \"\" && !g.named", "path == \"\" && !g.named", "^TestFramework$/^Route$"),
		gin("a chain is to run twice", "wrap.go",
			"	if g.inTx {\n", "	if false {\n", "^TestWrapInTx$"),
		gin("a trailer is in the header", "writer.go",
			"	if !b.late && b.Header()[\"Trailer\"] != nil {\n", "	if false {\n", "^TestFramework$/^Trailer$"),
		gin("what was taken back is taken for sent", "writer.go",
			"{ w.status, w.size, w.emptied = http.StatusOK, notWritten, true }", "{ w.emptied = true }", "^TestFramework$/^Reset$"),
		gin("a hijacked answer has not begun", "writer.go",
			"		w.size = max(w.size, 0)\n", "		_ = w.size\n", "^TestEarlyAnswers$"),
		gin("half an answer is hijacked", "writer.go",
			"	if w.size > 0 {\n", "	if false {\n", "^TestWriter$"),
		gin("a forwarded answer is kept as an empty one", "attempt.go",
			"	case a.isPast(inner):\n", "	case false:\n", "^TestForwarded$"),
		gin("a forwarded answer is known by the writer outside alone", "attempt.go",
			" || a.c.Writer.Written() && !inner.Written())", ")", "^TestForwardedPastAnother$"),
		gin("a forwarded answer is known by the handlers' writer alone", "attempt.go",
			"a.below.Size() != a.size || ", "", "^TestForwarded$"),
		gin("a forwarded answer holds nothing", "attempt.go",
			"		claim.Settle(semel.Unknown)\n", "", "^TestForwarded$"),
		gin("a forwarded answer is added to", "writer.go",
			"	if b.past {\n		return len(p), nil\n", "	if false {\n		return len(p), nil\n", "^TestForwarded$"),
		gin("gin's 404 is kept as an empty one", "attempt.go",
			"	case silent && c.FullPath() == \"\" && inner.status == a.status:", "	case false:", "^TestNoRoute$"),
		gin("what has no route holds its key", "attempt.go",
			"a.leave(inner, claim, semel.Free, ", "a.leave(inner, claim, semel.Unknown, ", "^TestNoRoute$"),
		gin("a status for what has no route is none", "attempt.go",
			" && inner.status == a.status:", ":", "^TestNoRouteHandler$"),
		gin("gin's 404 is added to a kept one", "attempt.go",
			"			outer.WriteHeaderNow()\n", "", "^TestNoRouteHandler$"),
		gin("a stream does not begin without its client", "writer.go",
			"	gone := make(chan bool, 1)\n", "	if !w.Written() {\n		return w.a.below.CloseNotify()\n	}\n	gone := make(chan bool, 1)\n", "^TestStreamBegins$"),
		gin("a stream does not end with its client", "writer.go",
			"	if !b.sent && b.then != nil {\n", "	if false {\n", "^TestStreamEnds$"),
		gin("the end of an attempt is not told", "writer.go",
			"	context.AfterFunc(w.attempt, tell)\n", "", "^TestCloseNotifyOfTheAttempt$"),
		gin("an error keeps a transaction from being tried again", "attempt.go",
			"	if a.inTx {\n		if !told", "	if false {\n		if !told", "^TestErrorOfATry$"),
		gin("a transaction with an error that nobody has answered is committed", "attempt.go",
			"			claim.Settle(semel.Free)\n", "", "^TestErrorRenderedOutsideInTx$"),
		gin("an error in a transaction is answered with nothing", "writer.go",
			"	if _, b.late = b.Header()[noAnswer]; b.late {\n", "	if false {\n", "^TestErrorRenderedOutsideInTx$"),
		gin("the status of a try is the next one's", "attempt.go",
			"		inner.Header()[noAnswer] = nil\n", "		inner.Header()[noAnswer] = nil\n		a.status = inner.status\n", "^TestErrorOfATry$"),
		gin("a status of -1 counts", "writer.go",
			"	if status > 0 && !w.Written() {", "	if !w.Written() {", "^TestWriter$"),
	}
	for _, version := range []string{"semelecho", "semelechov4"} {
		mutants = append(mutants, echoMutants(version)...)
	}
	return append(mutants, Mutant{
		"writers above are not told of Reset", "semelhttp/complete.go",
		"	tellReset(w)\n", "", "semelhttp", "^TestResetTellsWritersBetween$",
	})
}

// echoMutants break the adapter of one version of echo.
func echoMutants(module string) []Mutant {
	mutant := func(name, file, old, broken, test string) Mutant {
		return Mutant{strings.TrimPrefix(module, "semel") + ": " + name, "adapter/" + module + "/" + file, old, broken, "adapter/" + module, test}
	}
	return []Mutant{
		mutant("an error is answered when an empty answer is kept", "attempt.go",
			"		a.answer(inner, err, semel.FromContext(r.Context()))\n", "		a.err = err\n", "^TestFramework$/^Replay$"),
		mutant("middlewares outside answer an error again", "attempt.go",
			"	if inner.Committed {\n", "	a.err = err\n	if inner.Committed {\n", "^TestErrorHandler$"),
		mutant("an error that nobody answers is kept as an empty answer", "attempt.go",
			"	a.late, a.err = true, err\n	panic(errLate)\n", "	a.err = err\n", "^TestErrorUnanswered$"),
		mutant("an error that nobody answers is told to nobody", "attempt.go",
			"	a.late, a.err = true, err\n", "	a.late = true\n", "^TestErrorUnanswered$"),
		mutant("an error is lost", "attempt.go", "		logError(a.c, err)\n", "", "^TestErrorIsLogged$"),
		mutant("the request of an attempt outlives it", "attempt.go",
			"		a.c.SetRequest(a.request)\n", "", "^TestErrorHandler$|^TestPanicLeavesTheResponse$"),
		mutant("the response of an attempt outlives it", "attempt.go",
			"		a.c.SetResponse(a.response)\n", "", "^TestErrorHandler$|^TestFramework$/^Panic$"),
		mutant("what was taken back is taken for sent", "writer.go",
			"b.response.Committed = http.StatusOK, 0, false", "b.response.Committed = http.StatusOK, 0, true", "^TestFramework$/^Reset$"),
		mutant("a body over the limit is one that broke off", "wrap.go",
			"			limitErrors(r)\n", "", "^TestBodyLimit$"),
		mutant("the record has no route", "wrap.go",
			"path != \"\" && !named", "path == \"\" && !named", "^TestFramework$/^Route$"),
		mutant("a scope is the text of anything", "scope.go",
			"		return \"\", false\n	})\n}\n", "		return strconv.Quote(\"anybody\"), true\n	})\n}\n", "^TestByKey$"),
	}
}
