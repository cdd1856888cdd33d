package proof

// interopMutants break how calls of gRPC, gRPC-Web and Connect are refused and settled, and what
// tells clients that something is final.
func interopMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"calls: " + name, "semelhttp/" + file, before, after, "semelhttp", test}
	}
	return []Mutant{
		mutant("a flush of a call makes it a stream", "stream.go",
			"c.mode == buffering && isEnveloped(c.r)", "false", "^TestFlushOfACall$"),
		mutant("a flush holds back what streams already", "stream.go",
			"c.mode == buffering && isEnveloped(c.r)", "isEnveloped(c.r)", "^TestLargeCallFlows$"),
		mutant("a call is settled by what is on the wire", "rpcanswer.go",
			"	case isCall && end.ended:\n", "	case false:\n", "^TestSettleOfACall$"),
		mutant("a call without an end is kept", "rpcanswer.go",
			"	case isCall && c.ended:\n", "	case false:\n", "^TestSettleOfACall$"),
		mutant("a stream that runs has no meaning", "rpcanswer.go",
			"	case isCall && c.ended:\n", "	case isCall:\n", "^TestLargeCall"),
		mutant("a failed call commits", "transaction.go",
			"	status, _ := c.meaning()\n", "	status := c.status\n", "^TestCallInTx$"),
		mutant("the last frame may be followed by others", "rpcanswer.go",
			"case len(body) > 0 || n > maxEnd:", "case n > maxEnd:", "^TestEndingOf$"),
		mutant("a frame that is cut short counts", "rpcanswer.go",
			"			return nil, false // it is cut short\n", "			n = uint64(len(body))\n", "^TestEndingOf$"),
		mutant("an end that is compressed is not read", "rpcanswer.go",
			`		case encoding == "gzip":`, `		case encoding == "zip":`, "^TestEndingOf$"),
		mutant("an end may unfold to any size", "rpcanswer.go",
			"return plain, err == nil && len(plain) <= maxEnd", "return plain, err == nil", "^TestEndingOf$"),
		mutant("padding inside a text ends it", "rpcanswer.go",
			"		body = body[len(part):]\n", "		body = nil\n", "^TestEndingOf$"),
		mutant("the header outweighs the trailer", "rpcanswer.go",
			"range []http.Header{trailer, h}", "range []http.Header{h, trailer}", "^TestEndingOf$"),
		mutant("a cancelled call is an outcome", "rpccode.go",
			"	case c == rpcCancelled:\n		return http.StatusGatewayTimeout\n", "", "^TestMeaningOfCodes$"),
		mutant("a cancelled call of Connect is an outcome", "rpc.go",
			"if status == statusClientClosed {", "if false {", "^TestMeaningOfCodes$"),
		mutant("what is final has RetryInfo", "rpcdetail.go",
			"	if d.Retryable {\n", "	if true {\n", "^TestGRPCFormOfEachProblem$"),
		mutant("what is final is UNAVAILABLE", "rpccode.go",
			`"record_damaged":           rpcDataLoss,`, `"record_damaged":           rpcUnavailable,`, "^TestCodeOfEachProblem$"),
		mutant("clients with a policy retry what is final", "rpc.go",
			`	pushback := "-1" // never`, `	pushback := "1000"`, "^TestGRPCFormOfEachProblem$"),
		mutant("a percent sign stands for itself", "rpcdetail.go",
			" || c == '%' {", " {", "^TestPercentEncode$"),
		mutant("JSON of a gateway is taken for Connect", "rpc.go",
			`case kind == "application/proto", r.Header.Get("Connect-Protocol-Version") != "":`,
			`case kind == "application/proto", kind == "application/json", r.Header.Get("Connect-Protocol-Version") != "":`, "^TestRefusalForms$"),
		mutant("whatever begins like gRPC is gRPC", "rpc.go",
			`	return ok && (rest == "" || rest[0] == '+' || rest == "-web" || strings.HasPrefix(rest, "-web+") || isWebText(kind))`,
			"	return ok || rest == kind && isWebText(kind)", "^TestEndingOf$"),
		mutant("a flush does not part header and trailer", "stream.go",
			"		if c.status == 0 { // what is set", "		if false { // what is set", "^TestFlushPartsHeaderAndTrailer$"),
		mutant("final problems do not say so", "form.go",
			"		h.Set(headerShouldRetry, \"false\")\n", "		_ = h\n", "^TestFinalProblemsSaySo$"),
		mutant("our transport retries what is final", "retry.go",
			` || strings.EqualFold(resp.Header.Get(headerShouldRetry), "false") {`, " {", "^TestShouldRetryIsObeyed$"),
		mutant("our transport takes a 409 of Connect for final", "retry.go",
			`d.Type == "google.rpc.RetryInfo"`, `d.Type == "google.rpc.retryinfo"`, "^TestWhich409IsRetried$"),
		{
			"calls: a client of grpc-go retries what is final", "semelhttp/rpc.go",
			`	h.Set("Grpc-Retry-Pushback-Ms", pushback)` + "\n", "	_ = pushback\n", "interop/rpc", "^TestPolicyEndsAtWhatIsFinal$",
		},
		{
			"calls: details are of another type", "semelhttp/rpcdetail.go",
			`"type.googleapis.com/"+d.name`, `"type.googleapis.com/semel."+d.name`, "interop/rpc", "^TestConflict$/^middleware$",
		},
	}
}
