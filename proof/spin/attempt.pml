/*
 * An attempt whose effects lie outside of the database: reserve.go, policy.go,
 * settle.go. It may be slow anywhere and die anywhere.
 */

/* takeBack ends a reservation whose answer never came. One that may have taken
 * over is not released: the slot would forget that an outcome is unknown. */
inline takeBack() {
	if
	:: TAKES_OVER && MUTANT != RELEASE_TAKEN_OVER -> Renew(true)
	:: else -> Release(me, tok, true)
	fi
}

/* recoverLapsed asks what the attempts before this one did. NotExecuted means
 * that nothing happened and nothing will. */
inline recoverLapsed() {
	if
	:: effects[g] > 0 -> goto complete /* Executed: with the hook's response */
	:: effects[g] == 0 && (running == 1 || HOOK == GUESSING) -> begun = false /* NotExecuted */
	:: Renew(true) -> goto out /* StillUnknown */
	:: goto out /* it died */
	fi
}

proctype Attempt(byte me; byte hash) {
	mtype:decision verdict;
	byte tok = me, answer, g;
	bool again, lost, did;

	Arrive();
reserve:
	Reserve(me, tok, TAKES_OVER, DEFERS, DEFERS, POLICY);
	if
	:: verdict == replays -> Send(answer); goto told
	:: verdict == waits || verdict == unknown || verdict == refuses -> goto told
	:: else
	fi;
	if
	:: verdict == asks -> recoverLapsed()
	:: verdict == runs
	:: LOST_ANSWERS && !again -> again = true; running--; goto reserve /* the answer was lost: the same token again */
	:: again -> takeBack(); goto out /* and so was that one */
	:: goto out /* it died */
	fi;

#if DEFERS
	BeginEffects();
#else
	d_step { verdict = 0; again = false; MayBegin() };
#endif
	if
	:: lost -> confirm(); goto out
	:: d_step { !lost -> Acts(); did = true }
	:: !lost /* it has no effect */
	:: goto out
	fi;
	do
	:: !LIVE -> Renew(false)
	:: break
	od;
	if
	:: true
	:: !did -> Release(me, tok, false); goto out /* nothing happened */
	:: Renew(true); goto out /* it panicked: Abandon */
	:: goto out
	fi;

complete:
#if MUTANT == SEND_FIRST
	Send(me);
#endif
	Complete();
	if
	:: lost && MUTANT != OWN_AFTER_LOST -> confirm()
	:: !lost || MUTANT == OWN_AFTER_LOST -> Send(me)
	:: LOST_ANSWERS -> goto complete /* the answer was lost: again */
	:: true /* it died */
	fi;
out:
	running--;
told:
	atomic { verdict = 0; tok = 0; answer = 0; g = 0; again = false; lost = false; did = false } /* fewer states */
}
