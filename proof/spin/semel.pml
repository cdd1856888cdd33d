/*
 * Semel's state machine for SPIN: one slot, some attempts, and what may happen
 * to them. doc.go says how it is run, spin_test.go what must come out.
 */
#include "settings.pml"
#include "promises.pml"
#include "slot.pml"
#if KIND == PLAIN
#include "attempt.pml"
#else
#include "tx.pml"
#endif
#include "world.pml"

#define HASH(i) (i > ATTEMPTS - STRANGERS -> 2 : 1)

#if LIVE
bool told;

/* Client asks until it is told more than "in flight". */
proctype Client(byte me; byte hash) {
	mtype:decision verdict;
	byte tok = me, answer, g;
	do
	:: Reserve(me, tok, TAKES_OVER, true, true, POLICY);
		if
		:: verdict == waits
		:: else -> break
		fi
	od;
	told = true
}

ltl L1 { <> told }
#endif

init {
	byte i = 1;
	atomic {
		do
		:: i <= ATTEMPTS - LIVE ->
#if KIND == PLAIN
			run Attempt(i, HASH(i));
#elif KIND == MIXED
			run TxAttempt(i, HASH(i), (i == 1 -> SINGLE : CLAIM));
#else
			run TxAttempt(i, HASH(i), KIND);
#endif
			i++
		:: else -> break
		od;
#if LIVE
		run Client(i, 1)
#endif
	}
}
