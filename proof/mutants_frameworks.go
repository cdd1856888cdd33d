package proof

import "path"

// frameworkMutants break the adapters of frameworks: gin and echo.
func frameworkMutants() []Mutant {
	gin := func(name, file, old, broken, test string) Mutant {
		return Mutant{"gin: " + name, "adapter/semelgin/" + file, old, broken, "adapter/semelgin", test}
	}
	all := []Mutant{
		gin("a replay does not end the chain", "wrap.go",
			"		if !p.ran {\n", "		if false {\n", "^TestRefusals$"),
		gin("others add to what is kept", "wrap.go",
			"		if p.complete {\n", "		if false {\n", "^TestNothingIsAdded$"),
		gin("a chain runs in transactions", "wrap.go",
			"	if inTx(mw) {\n", "	if inTx(mw) && false {\n", "^TestWrapRefusesTransactions$"),
		gin("a try finds the keys of another", "pass.go",
			", maps.Clone(p.keys)", ", maps.Clone(c.Keys)", "^TestHandleRunsAgain$"),
		gin("a try finds the errors of another", "pass.go",
			"c.Errors[:p.errors]", "c.Errors", "^TestHandleRunsAgain$"),
		gin("an answer that is rendered outside is kept empty", "pass.go",
			"!ended && !answer.Written() {", "!ended && !answer.Written() && false {", "^TestErrorsRenderedOutside$"),
		gin("an empty answer goes out before the one of outside", "pass.go",
			"p.late = true", "p.late = false", "^TestErrorsRenderedOutside$"),
		gin("an answer that is rendered outside frees the key", "pass.go",
			"claim.Settle(semel.Unknown)", "claim.Settle(semel.Free)", "^TestErrorsRenderedOutside$"),
		gin("a status is lost with nobody to render errors", "pass.go",
			"			p.ResponseWriter.WriteHeader(answer.status) // to be sent at the end, as gin has it\n", "", "^TestErrorsRenderedNowhere$"),
		gin("a status without a body is lost", "pass.go",
			"	answer.WriteHeaderNow()\n", "", "^TestReplayIsTheAnswer$/status_alone"),
		gin("the header waits for gin's end", "pass.go",
			"	p.WriteHeaderNow()\n", "", "^TestLoggerSeesTheTruth$"),
		gin("the handler's writer stays after a panic", "pass.go",
			"c.Request, c.Writer = p.request, writerBefore", "c.Request, _ = p.request, writerBefore", "^TestPanicHolds$|^TestLoggerSeesTheTruth$"),
		gin("the handler's request stays", "pass.go",
			"c.Request, c.Writer = p.request, writerBefore", "c.Writer = writerBefore", "^TestLoggerSeesTheTruth$"),
		gin("a route has no name", "pass.go",
			"r.Pattern = r.Method + \" \" + route", "_ = route", "^TestRouteIsNamed$"),
		gin("the status from before is forgotten", "pass.go",
			"status: p.Status()}", "status: http.StatusOK}", "^TestStatusFromBefore$"),
		gin("a client that leaves ends what has not begun", "writer.go",
			"		if w.leaves {\n", "		if true {\n", "^TestClientLeaves$"),
		gin("a stream goes on without a client", "writer.go",
			"		if w.gone != nil {\n", "		if false {\n", "^TestCloseNotifyOfAStream$"),
		gin("a written status changes", "writer.go",
			"if status > 0 && !w.Written() {", "if status > 0 {", "^TestWriterIsGins$"),
		gin("a hijacked connection gets an answer", "writer.go",
			"	if err == nil {\n		w.size = 0\n	}\n", "", "^TestHijack$"),
		gin("an account of another type is a scope", "scope.go",
			"text, ok := c.Value(key).(string)\n		return text, ok", "return \"7\", c.Value(key) != nil", "^TestScopeOfAnotherType$|^TestRefusals$"),
	}
	for _, dir := range []string{"adapter/semelecho", "adapter/semelechov4"} {
		echo := func(name, file, old, broken, test string) {
			all = append(all, Mutant{path.Base(dir) + ": " + name, dir + "/" + file, old, broken, dir, test})
		}
		handle, give := "c.Echo().HTTPErrorHandler(c, err)", "p.err = err"
		if dir == "adapter/semelechov4" {
			handle = "c.Echo().HTTPErrorHandler(err, c)"
		}
		echo("an error is rendered outside", "wrap.go", handle, give, "^TestReplayIsTheAnswer$/declined")
		echo("an error is rendered twice", "wrap.go", handle, handle+"\n		"+give, "^TestErrorHandlerOfTheApplication$")
		echo("the error of an unguarded handler is lost", "wrap.go",
			"p.err = p.next(c)", "_ = p.next(c)", "^TestErrorHandlerOfTheApplication$")
		echo("the handler's request stays", "wrap.go",
			"		c.SetRequest(p.request)\n", "", "^TestLoggerSeesTheTruth$")
		echo("the handler's response stays", "wrap.go",
			"		c.SetResponse(responseBefore)\n", "		_ = responseBefore\n", "^TestLoggerSeesTheTruth$")
		echo("the handler has the client's context", "wrap.go",
			"	c.SetRequest(r)\n", "", "^TestClientLeaves$|^TestRouteIsNamed$")
		echo("the handler writes past Semel", "wrap.go",
			"	c.SetResponse(answer)\n", "", "^TestReplayIsTheAnswer$/json")
		echo("a route has no name", "wrap.go",
			"r.Pattern = r.Method + \" \" + route", "_ = route", "^TestRouteIsNamed$")
		echo("an account of another type is not named", "scope.go",
			"!ok && value != nil", "!ok && value == nil", "^TestScopeOfAnotherType$")
	}
	return all
}
