/*
 * What happens beside the attempts: time, the server's own work, an operator, a
 * failover. Each may happen whenever it can, so no step may depend on when.
 */
byte ended; /* retentions that have ended */

/* A retention is longer than a lease, than any doubt about a commit, and than
 * fences have run ahead of the clock. */
#define LONG_ENOUGH ((state != reserved || lapsed) && doubts == 0)

inline Gone() {
	state = absent; token = 0; print = 0; fence = 0; resp = 0;
	lapses = 0; deferred = false; lapsed = false; over = false
}

active proctype Time() {
end:
	do
	:: d_step { state == reserved && !lapsed -> lapsed = true; Always() }
	:: d_step {
		ended < RETENTION && state != absent && !over && LONG_ENOUGH ->
		ended++; over = true; clock = newest + 1;
		stands = stands && state != completed;
		Always() }
	:: d_step { /* Purge */
		RETENTION > 0 && over && lock == 0 &&
			(state == free || state == completed || state == reserved && MUTANT == PURGE_LAPSED) ->
		MUST(I9, state != reserved);
		Gone();
		Always() }
	od
}

#if KIND != PLAIN
/* Server notices that a connection is gone. It has committed, or rolls back. */
active proctype Server() {
	byte i;
end:
	do
	:: d_step {
		MUTANT != HALF_OPEN && lock != 0 && broken[lock] != 0 -> i = lock;
		if
		:: broken[i] == MAY_STAND -> Commit(i)
		:: else -> End()
		fi;
		broken[i] = 0; i = 0 }
	:: d_step {
		lock != 0 && broken[lock] == MAY_STAND -> i = lock;
		End();
		broken[i] = 0; i = 0 }
	od
}
#endif

#if OPERATOR
/* Operator looks at a record and then resolves it, if it is still that one. */
active proctype Operator() {
	byte looked;
end:
	d_step { state == reserved -> looked = fence };
	if
	:: d_step { state == reserved && fence == looked && lapsed && lock == 0 ->
		state = completed; resp = BY_OPERATOR; lapsed = false; over = false;
		token = (MUTANT == RESOLVE_KEEPS_TOKEN -> token : 0);
		Keeps(BY_OPERATOR);
		Always() }
	:: d_step { state == reserved && fence == looked && lapsed && lock == 0 &&
			(KIND != PLAIN || OPERATOR == GUESSING || effects[gen] == 0 && running == 0) ->
		state = free; token = 0; lapsed = false;
		owner = 0; begun = false;
		Always() }
	:: true /* it was resolved otherwise, or nobody came back to it */
	fi
}
#endif

#if FAILOVER
/* Failover makes a replica the server that has not got everything. In a database
 * the effects of transactions go back with the record. */
active proctype Failover() {
	mtype:holding s = absent;
	byte t, p, f, r, l, e;
	bool d, x, o;
	d_step { true -> s = state; t = token; p = print; f = fence; r = resp; l = lapses; d = deferred; x = lapsed; o = over; e = effects[gen] };
	d_step { lock == 0 ->
		state = s; token = t; print = p; fence = f; resp = r; lapses = l; deferred = d; lapsed = x; over = o;
		effects[gen] = (KIND == PLAIN -> effects[gen] : e);
		Always() }
}
#endif
