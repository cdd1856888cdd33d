/*
 * What is promised, and what the model remembers for that beside the slot: no
 * step reads it. MUST names the invariant of docs/guarantees.md that is broken.
 */
#define MUST(name, cond) assert((ONLY != ALL && ONLY != name) || (cond))

#define GENS (RETENTION + 2)

byte gen;           /* a generation of the slot ends with its retention */
byte kept[GENS];    /* its first response: who made it, or OPERATOR */
byte effects[GENS]; /* its effects that are there for everybody to see */
bool stands;        /* a response is kept, and its retention runs */
byte owner;         /* who was given the slot and has not ended it */
byte newest;        /* the largest fence that was given */
bool begun;         /* somebody may have had effects, and it is not known */
byte running;       /* plain attempts that may still do something */
byte doubts;        /* transactions whose end is not known to who began them */
bool denied[ATTEMPTS + 1]; /* its client was told that nothing happened */

/* Always is looked at after every step. In a transaction the effect and the
 * record are one thing (I8). */
inline Always() {
	MUST(I2, !stands || (state == completed && resp == kept[gen]));
	MUST(I9, owner == 0 || state == reserved);
	MUST(I8, KIND == PLAIN || effects[gen] == (kept[gen] != 0 && kept[gen] != BY_OPERATOR))
}

/* Given notes a reservation: a larger fence than any before (I6). */
inline Given(id) {
	MUST(I6, fence > newest);
	newest = fence;
	owner = id;
	gen = gen + (kept[gen] != 0 && !stands -> 1 : 0)
}

/* Runs notes an attempt that has got the slot. */
inline Runs(id) {
	running = running + (KIND == PLAIN && id <= ATTEMPTS && (verdict == runs || verdict == asks) -> 1 : 0)
}

/* Keeps notes a response that is completed now, the only one of its
 * generation (I2). */
inline Keeps(v) {
	MUST(I2, kept[gen] == 0);
	if
	:: kept[gen] == 0 -> kept[gen] = v
	:: else
	fi;
	stands = !over;
	owner = 0;
	begun = false
}

/* What Rerun does not promise is looked at only when a row asks for it. */
#define UNLESS_RERUN (POLICY == RERUN && ONLY == ALL)

/* MayBegin is the moment from which the owner of the slot has effects: none
 * before it may be unknown (I7). */
inline MayBegin() {
	if
	:: owner == me ->
		MUST(I7, UNLESS_RERUN || !begun);
		begun = true
	:: else
	fi
}

/* Acts is an effect outside of the database. */
inline Acts() {
	effects[g]++;
	MUST(ONCE, UNLESS_RERUN || effects[g] == 1)
}

/* Send is an answer to the client: the one response of the generation, which
 * is durable by now (I14, I3). */
inline Send(v) {
	MUST(I14, kept[g] != 0);
	MUST(I3, kept[g] == v)
}

