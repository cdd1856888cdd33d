package proof

// hintMutants break what engines tell one another, so that those who wait hear of it.
func hintMutants() []Mutant {
	mutant := func(name, file, old, broken, test string) Mutant {
		return Mutant{"hints: " + name, file, old, broken, ".", test}
	}
	return append([]Mutant{
		mutant("an engine heeds its own", "hints.go",
			"if !ok || from == h.from {", "if !ok || from == \"\" {", "^TestHintsCostNothingWithoutWaiters$|^FuzzHear$"),
		mutant("what nobody waits for is told", "hints.go",
			"h.asked.has(m, time.Now()) {", "h.asked.has(m, time.Now()) || true {", "^TestHintsCostNothingWithoutWaiters$"),
		mutant("nobody is told that an attempt has ended", "hints.go",
			"			h.send(hint{hintEnded, m})\n", "			_ = m\n", "^TestHintsWake$"),
		mutant("nobody is told that somebody waits", "hints.go",
			"		h.send(hint{hintAsks, r.mark})\n", "", "^TestHintsWake$"),
		mutant("who waits tells it with each question", "hints.go",
			" && now.Sub(r.told) >= askAgain {", " {", "^TestHintsCostNothingWithoutWaiters$"),
		mutant("a false one costs nothing", "waiting.go",
			"			v.room.heed = min(2*v.room.heed, lastPoll)\n", "", "^TestStormOfHintsIsNoStormOfPolls$"),
		mutant("each is heeded at once", "waiting.go",
			"time.Until(v.room.asked.Add(v.room.heed))", "0", "^TestStormOfHintsIsNoStormOfPolls$"),
		mutant("one makes a pause longer", "waiting.go",
			"timer.Reset(min(", "timer.Reset(max(", "^TestHintShortensThePause$"),
		mutant("they keep the pauses from growing", "waiting.go",
			"			v.room.pause = min(v.room.pause*3/2, lastPoll)\n", "			if woke != WakeHint {\n				v.room.pause = min(v.room.pause*3/2, lastPoll)\n			}\n", "^TestStormOfHintsIsNoStormOfPolls$"),
		mutant("a room that is empty has a name", "waiting.go",
			"			delete(w.marks, r.mark)\n", "			_ = r\n", "^TestHintsReachTheRoomThatIsThere$"),
		mutant("a wait that came to nothing was woken", "waiting.go",
			"ev.Woke = v.woke; !v.over() {", "ev.Woke = v.woke; false {", "^TestWaitTellsWhatHasEndedIt$"),
		mutant("who listens to another is woken by nothing", "waiting.go",
			"v.held, v.woke = seen.held, seen.woke; v.over()", "v.held = seen.held; v.over()", "^TestWaitTellsWhatHasEndedIt$"),
		mutant("any number of slots is asked for", "hints.go",
			"if len(a.young) < maxAsked {", "if true {", "^TestAskedForIsBounded$"),
		mutant("what is asked for is asked for ever", "hints.go",
			"	case life >= 2*askedLife:\n", "	case life >= 2*askedLife && false:\n", "^TestAskedForIsBounded$"),
		mutant("what is asked for is forgotten too early", "hints.go",
			"make(map[mark]struct{}), a.young, now", "make(map[mark]struct{}), nil, now", "^TestAskedForIsBounded$"),
		mutant("any number waits to be sent", "hints.go",
			"if len(h.queue) < hintQueue {", "if hintQueue > 0 {", "^TestHintsAreDropped$"),
		mutant("that they are not sent is said each time", "hints.go",
			"			if !h.unsent {\n", "			if true {\n", "^TestLostHintsLeaveThePolls$"),
		mutant("that they are not heard is said each time", "hints.go",
			"if !h.failed.Swap(true) {", "if !h.failed.Swap(true) || true {", "^TestListeningBreaks$"),
		mutant("a panic of the store ends the process", "hints.go",
			"		_, err := guarded(func() (struct{}, error) {\n			return struct{}{}, h.bus.Listen(h.listening, h.ready, h.hear)\n		})\n",
			"		err := h.bus.Listen(h.listening, h.ready, h.hear)\n", "^TestListeningBreaks$"),
		mutant("who never will hear tries on", "hints.go",
			"		if errors.Is(err, errors.ErrUnsupported) {\n", "		if false {\n", "^TestListeningBreaks$"),
		mutant("listening is tried without a pause", "hints.go",
			"pause = min(2*pause, maxPause) {\n", "pause = min(pause, maxPause) {\n", "^TestListeningBreaks$"),
		mutant("who listens outlives the engine", "background.go",
			"		e.hints.end()\n", "", "^TestCloseEndsTheHints$"),
		mutant("a store that carries none is taken", "hints.go",
			"	if !ok {\n		return nil, errors.New(\"semel: Config.Hints", "	if !ok && false {\n		return nil, errors.New(\"semel: Config.Hints", "^TestHintsNeedAMessenger$"),
		mutant("a longer message is read", "hint.go",
			" || len(text) > MaxMessageLen", "", "^FuzzHints$"),
		mutant("a kept answer is not told", "settle.go",
			"			e.running.remove(c)\n		}\n		e.ended(c.key)\n", "			e.running.remove(c)\n		}\n		e.waiting.wake(c.key)\n", "^TestHintsWake$"),
		mutant("a freed slot is not told", "settle.go",
			"	defer e.ended(c.key)\n	ctx, end := e.observe(ctx, c.op(StepRelease))", "	defer e.waiting.wake(c.key)\n	ctx, end := e.observe(ctx, c.op(StepRelease))", "^TestHintsWake$"),
		mutant("an attempt that is given up is not told", "settle.go",
			"	defer e.ended(c.key)\n	err := errNoReturn", "	defer e.waiting.wake(c.key)\n	err := errNoReturn", "^TestHintsWake$"),
		mutant("a commit is not told", "intx.go",
			"			e.ended(r.Key)\n", "			e.waiting.wake(r.Key)\n", "^TestHintsWakeAfterACommit$"),
	}, hintStoreMutants()...)
}

// hintStoreMutants are those of the stores, and of what is built on the engine.
func hintStoreMutants() []Mutant {
	return []Mutant{
		{
			"hints: PostgreSQL: who listens through a pooler hears nothing and does not know", "store/pgstore/messages.go",
			" && pid != conn.PgConn().PID() {", " && pid == 0 {", "store/pgstore", "^TestListenThroughAPooler$",
		},
		{
			"hints: PostgreSQL: who listens has last year's password", "store/pgstore/messages.go",
			"	if pool.BeforeConnect != nil {\n", "	if false {\n", "store/pgstore", "^TestListenAsThePoolConnects$",
		},
		{
			"hints: PostgreSQL: all tables share a channel", "store/pgstore/messages.go",
			"\"semel_%016x\", n.mix)", "\"semel_%016x\", 0*n.mix)", "store/pgstore", "^TestMessagesStayWithTheirTable$",
		},
		{
			"hints: Redis: a silent server is listened to for ever", "store/redisstore/messages.go",
			"			asked = true\n", "			asked = false\n", "store/redisstore", "^TestListenToASilentServer$",
		},
		{
			"hints: Redis: a server that has nothing to say is left", "store/redisstore/messages.go",
			"slow.Timeout() && !asked {", "slow.Timeout() && asked {", "store/redisstore", "^TestListenToASilentServer$",
		},
		{
			"hints: what ends at once is tried as often as can be", "hints.go",
			"time.Since(began) >= maxPause {", "time.Since(began) >= 0 {", ".", "^TestListeningThatEndsAtOnce$",
		},
		{
			"hints: Close waits for hints that cannot be sent", "hints.go",
			"if err != nil && h.engine.isClosed() {", "if false {", ".", "^TestCloseLeavesHintsBehind$",
		},
		{
			"hints: Redis: Close waits for who listens", "store/redisstore/messages.go",
			"		case <-s.over:\n		case <-over:\n", "		case <-over:\n", "store/redisstore", "^TestCloseEndsListening$",
		},
		{
			"hints: Redis: a cluster is told on an ordinary channel", "store/redisstore/messages.go",
			"cluster.SPublish(", "cluster.Publish(", "store/redisstore", "^TestMessagesStayWithTheirPrefix$",
		},
		{
			"hints: NATS: who may not listen does not know", "store/natsstore/open.go",
			"		nats.PermissionErrOnSubscribe(true),\n", "", "store/natsstore", "^TestListenInVain$",
		},
		{
			"hints: NATS: who listens does not know that the server is gone", "store/natsstore/messages.go",
			"			cancel(errDisconnected)\n", "			_ = errDisconnected\n", "store/natsstore", "^TestListeningEndsWithTheServer$",
		},
		{
			"hints: NATS: who listened is told for ever of a connection", "store/natsstore/messages.go",
			"		s.nc.RemoveStatusListener(lost)\n", "", "store/natsstore", "^TestListeningLeavesNothing$",
		},
		{
			"hints: metrics do not know what has ended a wait", "adapter/semelprom/observe.go",
			"c.woken.WithLabelValues(e.Woke.String())", "c.woken.WithLabelValues(\"timer\")", "adapter/semelprom", "^TestCountsHints$",
		},
		{
			"hints: the sidecar takes a store that carries none", "cmd/semel/internal/cli/proxy.go",
			"cfg.WaitHints && !ok {", "cfg.WaitHints && !ok && false {", "cmd/semel/internal/cli", "^TestWaitHints$",
		},
		{
			"hints: the sidecar does not hand the setting on", "cmd/semel/internal/cli/proxy.go",
			"cfg.MaxWaitersPerKey, cfg.WaitHints", "cfg.MaxWaitersPerKey, false", "cmd/semel/internal/cli", "^TestWaitHints$",
		},
		{
			"hints: the way to the server is printed with its password", "cmd/semel/internal/config/print.go",
			"\"listen_url\", ", "", "cmd/semel/internal/config", "^TestPrint",
		},
	}
}
