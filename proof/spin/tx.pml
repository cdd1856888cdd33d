/*
 * An attempt whose effects are writes of a transaction that also completes the
 * record: tx.go, docs/adr/0019. What it has written becomes visible with its
 * commit, or never.
 */
#define RUNS_BACK 1 /* its connection broke before the commit */
#define MAY_STAND 2 /* it broke during the commit */

byte broken[ATTEMPTS + 1];
byte reserving; /* the fingerprint of the transaction that has the advisory lock */

/* Lock is the lease without a clock: nobody takes the slot over while it is held. */
inline Lock() {
	d_step {
		lock == 0;
		lost = !HELD;
		if
		:: HELD -> lock = me; open = true
		:: else
		fi
	}
}

/* ReserveIn reserves in the transaction. It waits for none and takes nothing over. */
inline ReserveIn() {
	d_step {
		if
		:: advisory != 0 -> verdict = waits /* a record of the zero token */
		:: advisory == 0 && EMPTY -> lock = me; advisory = me; reserving = hash; open = true; verdict = runs; g = gen
		:: else -> decide(tok, false, HOLD)
		fi
	}
}

/* CompleteIn refuses a token that has completed already: nil means that the
 * business writes may be committed. */
inline CompleteIn() {
	d_step {
		open || lock == 0;
		lost = !(HELD || advisory == me || MUTANT == TX_COMPLETE_TWICE && state == completed && token == tok);
		if
		:: !lost -> lock = me; open = true
		:: else
		fi
	}
}

/* Commit makes visible what the transaction of attempt i has written. */
inline Commit(i) {
	MUST(I3, !denied[i]);
	if
	:: advisory == i -> take(i, i, reserving, true)
	:: else
	fi;
	if
	:: MUTANT == TX_COMPLETE_TWICE && state == completed
	:: else ->
		MUST(I4, owner == i);
		over = over && !lapsed;
		state = completed; token = i; resp = i; lapsed = false;
		Keeps(i)
	fi;
	effects[gen]++;
	End()
}

inline End() {
	lock = 0; advisory = 0; reserving = 0;
	Always()
}

inline Rollback() {
	d_step {
		if
		:: open -> open = false; End()
		:: else
		fi
	}
}

/* Look waits for the transactions that are at work on the slot. */
inline Look() {
	d_step {
		lock == 0 || DOUBT == READ;
		g = gen;
		verdict = (state == completed && token == tok -> replays : (HELD || kind == SINGLE && EMPTY -> runs : unknown))
	}
}

proctype TxAttempt(byte me; byte hash; byte kind) {
	mtype:decision verdict;
	byte tok = me, answer, g;
	bool again, lost, open;

	Arrive();
reserve:
	if
	:: kind == SINGLE -> goto begin
	:: MUTANT == TAKING_BLINDLY && state == reserved && lapsed && SAME_HASH ->
		d_step { lock == 0 -> take(me, tok, hash, true); verdict = runs; g = gen; Always() }
	:: else -> Reserve(me, tok, TAKES_OVER, true, true, POLICY)
	fi;
	if
	:: verdict == replays -> Send(answer); goto told
	:: verdict == waits || verdict == unknown || verdict == refuses -> goto told
	:: verdict == runs || verdict == asks
	:: (verdict == runs || verdict == asks) && LOST_ANSWERS && !again -> again = true; goto reserve
	:: verdict == runs || verdict == asks -> goto told
	fi;

begin: /* each try begins with the claim */
	atomic { verdict = 0; again = false; lost = false };
	if
	:: kind == SINGLE -> ReserveIn();
		if
		:: verdict == replays -> Send(answer); goto told
		:: verdict == runs
		:: verdict == unknown || verdict == asks -> kind = CLAIM; goto reserve /* one of the other mode lapsed */
		:: verdict == waits || verdict == refuses -> goto told
		fi
	:: kind == CLAIM && LOCKS -> Lock()
	:: else
	fi;
	if
	:: lost -> goto lose
	:: !lost
	:: goto die
	fi;
	if
	:: kind == CLAIM && !LIVE -> Renew(false)
	:: true
	fi;
	CompleteIn();
	if
	:: lost -> goto lose
	:: !lost -> d_step { Commit(me); g = gen; open = false }; Send(me); goto told
	:: d_step { !lost -> broken[me] = MAY_STAND; open = false; doubts++ }; goto doubt
	:: !lost -> Rollback(); goto deny /* the handler wants no commit */
	:: !lost && !LIVE -> Rollback(); goto begin /* a deadlock, a serialization failure */
	:: goto die
	fi;

doubt:
	if
	:: DOUBT == BLIND -> doubts--; goto begin
	:: DOUBT != BLIND -> Look()
	:: doubts--; goto told
	fi;
	doubts--;
	if
	:: verdict == replays -> Send(me); goto told
	:: verdict == runs && !LIVE -> goto begin
	:: verdict == runs -> goto deny
	:: verdict == unknown -> goto lose
	fi;

deny:
	if
	:: kind == CLAIM -> Release(me, tok, false)
	:: else
	fi;
	d_step { MUST(I3, kept[g] != me); denied[me] = true }; /* its client hears that nothing happened */
	goto told;
lose:
	Rollback();
	confirm();
	goto told;
die:
	if
	:: open -> broken[me] = RUNS_BACK
	:: else
	fi;
told:
	atomic { verdict = 0; tok = 0; answer = 0; g = 0; again = false; lost = false; open = false } /* fewer states */
}
