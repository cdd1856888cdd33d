/*
 * What a row of the table in spin_test.go may set, by -DNAME=VALUE, and what
 * holds when it does not. The preprocessor reads these.
 */

/* The property that is checked; without it all that the variant promises. */
#define ALL  0
#define I1   1
#define I2   2
#define I3   3
#define I4   4
#define I5   5
#define I6   6
#define I7   7
#define I8   8
#define I9   9
#define I14  14
#define ONCE 15 /* an effect outside of the database happens at most once */
#ifndef ONLY
#define ONLY ALL
#endif

/* What happens to a lapsed attempt (policy.go). */
#define HOLD    1
#define RERUN   2
#define RECOVER 3
#ifndef POLICY
#define POLICY HOLD
#endif

/* Who takes part. PLAIN attempts have effects outside; CLAIM and SINGLE ones
 * write in a transaction; MIXED is one of each kind of transaction. */
#define PLAIN  1
#define CLAIM  2
#define SINGLE 3
#define MIXED  4
#ifndef KIND
#define KIND PLAIN
#endif
#ifndef LOST_ANSWERS
#define LOST_ANSWERS (!LIVE) /* 0 for fewer states */
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 3
#endif
#ifndef STRANGERS
#define STRANGERS 0 /* how many of them bring another fingerprint */
#endif
#ifndef DEFERS
#define DEFERS 0 /* plain attempts promise to call BeginEffects first */
#endif

/* A transaction of claim mode. */
#ifndef LOCKS
#define LOCKS 1 /* it locks the row first; 0 for a caller who only completes */
#endif
#define LOOK  1 /* a commit without an answer is settled by a locking read, */
#define READ  2 /* by a read that does not wait, */
#define BLIND 3 /* or not at all: the transaction is tried again */
#ifndef DOUBT
#define DOUBT LOOK
#endif

/* What else happens. */
#ifndef RETENTION
#define RETENTION 0 /* how many times a retention ends */
#endif
#define HONEST   1 /* says "nothing happened" only if so, and nothing will */
#define GUESSING 2
#ifndef OPERATOR
#define OPERATOR 0
#endif
#ifndef HOOK
#define HOOK HONEST
#endif
#ifndef FAILOVER
#define FAILOVER 0 /* to a replica that lags behind */
#endif
#ifndef LIVE
#define LIVE 0 /* for L1: faults end, and a client asks until it is told */
#endif

/* One mistake (spin_test.go says what it is), or none. */
#define NONE                0
#define UNCHECKED_COMPLETE  1
#define TOKEN_KEPT          2
#define HASH_NOT_ON_REPLAY  3
#define HASH_NOT_ON_TAKING  4
#define RELEASE_DELETES     5
#define BEGIN_NOT_WRITTEN   6
#define TX_COMPLETE_TWICE   7
#define PURGE_LAPSED        8
#define TAKING_UNDER_LOCK   9
#define TAKING_BLINDLY      10
#define RELEASE_TAKEN_OVER  11
#define RUN_UNASKED         12
#define RESOLVE_KEEPS_TOKEN 13
#define LIVE_TAKEN_OVER     14
#define UNCHECKED_RELEASE   15
#define SECOND_RESPONSE     16
#define LEASE_WITHOUT_TOKEN 17
#define HALF_OPEN           18
#define SEND_FIRST          19
#define OWN_AFTER_LOST      20
#define UNCHECKED_RENEW     21
#ifndef MUTANT
#define MUTANT NONE
#endif

/* Attempts are 1 to ATTEMPTS; what else makes reservations and responses. */
#define CONFIRM     ATTEMPTS /* added to an attempt's number: its Confirm */
#define BY_OPERATOR (2 * ATTEMPTS + 1)
