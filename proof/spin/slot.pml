/*
 * A slot and the steps of a store on it: store.go, docs/state-machine.md. Each
 * step looks, changes and answers at once (I12), so each is one d_step.
 *
 * Steps are inline and use the locals of the attempt that takes them: me, tok
 * (its token), hash, and for the answers verdict, lost, answer and g (the
 * generation).
 */
mtype:holding = { absent, free, reserved, completed };
mtype:decision = { runs, asks, replays, waits, unknown, refuses };

mtype:holding state = absent;
byte token;    /* of the attempt that holds the slot, or that completed it */
byte print;    /* the fingerprint */
byte fence;
byte resp;     /* the kept response: who made it */
byte lapses;
bool deferred;
bool lapsed;   /* lease and margin are over, by the store's clock */
bool over;     /* so is the retention */
byte lock;     /* whose open transaction holds the row's lock */
byte advisory; /* whose open transaction has reserved in it */
byte clock = 1; /* the store's clock, which may stand still; see retention */

#define EMPTY     (state == absent || state == free || state == completed && over)
#define BLAMELESS (deferred && lapses == 0)
#define SAME_HASH (print == hash)

#define TAKES_OVER (POLICY != HOLD)

/* Arrive lets attempts that are alike come in the order of their numbers, which
 * loses nothing: fewer states. */
byte arrived[3];
inline Arrive() {
	d_step { arrived[hash] == (hash == 1 -> me - 1 : me - 1 - ATTEMPTS + STRANGERS) || KIND == MIXED -> arrived[hash]++ }
}

/* take is the change that a granted reservation makes. */
inline take(id, t, h, defers) {
	if
	:: state == reserved -> lapses = lapses + (BLAMELESS -> 0 : 1)
	:: else -> lapses = 0
	fi;
	state = reserved; token = t; print = h; deferred = defers;
	fence = (fence + 1 > clock -> fence + 1 : clock);
	lapsed = false; over = false; resp = 0;
	Given(id)
}

/* decide is decide() of outcome.go, on what the slot holds after the step. */
inline decide(t, takesOver, policy) {
	g = gen;
	if
	:: !SAME_HASH && !(MUTANT == HASH_NOT_ON_REPLAY && state == completed) -> verdict = refuses
	:: else ->
		MUST(I5, SAME_HASH);
		if
		:: state == completed -> verdict = replays; answer = resp
		:: state == reserved && token == t && lapses > 0 && policy != RERUN && MUTANT != RUN_UNASKED -> verdict = asks
		:: state == reserved && token == t && !(lapses > 0 && policy != RERUN && MUTANT != RUN_UNASKED) -> verdict = runs
		:: state == reserved && token != t && lapsed && !takesOver -> verdict = unknown
		:: state == reserved && token != t && !(lapsed && !takesOver) -> verdict = waits
		fi
	fi
}

#define MAY_TAKE(takesOver, takesBlameless) \
	((lapsed || MUTANT == LIVE_TAKEN_OVER) && (SAME_HASH || MUTANT == HASH_NOT_ON_TAKING) && \
	 (lock == 0 || MUTANT == TAKING_UNDER_LOCK) && ((takesOver) || (takesBlameless) && BLAMELESS))

/* Reserve: an empty slot whose row somebody is inserting in a transaction makes
 * the caller wait; a locked row is not taken over. */
inline Reserve(id, t, takesOver, takesBlameless, defers, policy) {
	d_step {
		!(EMPTY && lock != 0);
		if
		:: EMPTY -> take(id, t, hash, defers)
		:: state == reserved && token != t && MAY_TAKE(takesOver, takesBlameless) ->
			MUST(I1, lapsed && lock == 0);
			MUST(I5, SAME_HASH);
			if
			:: MUTANT == LEASE_WITHOUT_TOKEN -> lapsed = false
			:: MUTANT == TOKEN_KEPT -> t = token; take(id, token, hash, defers)
			:: else -> take(id, t, hash, defers)
			fi
		:: else
		fi;
		decide(t, takesOver, policy);
		Runs(id);
		Always()
	}
}

#define HELD (state == reserved && token == tok)

/* BeginEffects ends the promise of a deferring attempt. */
inline BeginEffects() {
	d_step {
		lock == 0;
		lost = !HELD;
		if
		:: HELD ->
			MUST(I4, owner == me);
			deferred = (MUTANT == BEGIN_NOT_WRITTEN -> deferred : 0);
			MayBegin()
		:: else
		fi;
		Always()
	}
}

/* Renew sets the lease anew, or ends it. It passes over a locked row. */
inline Renew(ends) {
	d_step {
		if
		:: lock == 0 && state == reserved && (token == tok || MUTANT == UNCHECKED_RENEW) ->
			MUST(I4, owner == me);
			lapsed = ends
		:: else
		fi;
		Always()
	}
}

/* Complete: late is welcome; a token that has completed already hears nil. */
inline Complete() {
	d_step {
		lock == 0;
		lost = false;
		if
		:: HELD || state == reserved && MUTANT == UNCHECKED_COMPLETE ->
			MUST(I4, owner == me);
			over = over && !lapsed;
			state = completed; resp = me; lapsed = false;
			Keeps(me)
		:: state == completed && token == tok ->
			if
			:: MUTANT == SECOND_RESPONSE -> resp = (resp == me -> CONFIRM + me : resp)
			:: else
			fi
		:: else -> lost = true
		fi;
		Always()
	}
}

/* Release leaves a tombstone that keeps the fence. unasked says that nothing ran
 * under the reservation: what an attempt before it did is as open as before. */
inline Release(id, t, unasked) {
	d_step {
		lock == 0;
		if
		:: state == reserved && (token == t || MUTANT == UNCHECKED_RELEASE) ->
			MUST(I4, owner == id);
			state = (MUTANT == RELEASE_DELETES -> absent : free);
			fence = (MUTANT == RELEASE_DELETES -> 0 : fence);
			token = 0; lapsed = false;
			owner = 0;
			begun = begun && unasked && lapses > 0
		:: else
		fi;
		Always()
	}
}

/* confirm asks what has become of the slot (settle.go): by a reservation that
 * takes over nothing, under a token of its own. */
inline confirm() {
	tok = CONFIRM + me;
	Reserve(tok, tok, false, false, false, HOLD);
	if
	:: verdict == replays -> Send(answer)
	:: verdict == runs || verdict == asks -> Release(tok, tok, true) /* it was empty */
	:: verdict == runs || verdict == asks /* it died before that */
	:: else /* the client is told that the outcome is unknown */
	fi
}
