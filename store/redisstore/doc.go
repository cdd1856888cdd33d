// Package redisstore keeps records in Redis 6.2 or newer, or in Valkey, on one
// server or in a cluster.
//
// # Use
//
//	store, err := redisstore.Open(ctx, "redis://127.0.0.1:6379/0", redisstore.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	engine, err := semel.New(store, semel.Config{})
//
// [New] does the same with a client that is there already. Nothing has to be
// installed on the server: each record carries the version of its layout, and
// each step is a script (EVALSHA, or EVAL where it is not known yet).
//
// # Advice
//
// Choose it where Redis is at hand and a lost record costs little, or with
// appendonly yes and appendfsync always. Two settings of the server matter:
//
//   - maxmemory-policy must be noeviction; the store refuses to serve with any
//     other, because an evicted record is a lost one. Set maxmemory too: then a
//     full server refuses reservations ([semel.ErrFull]) instead of being killed.
//   - appendfsync says what a power loss takes. [Store.Inspect] tells both.
//
// When the disk of the append-only file is full, a server with appendfsync
// always ends itself, and ends again at the next write after a start, until
// there is space. Steps say that nobody answers. With another appendfsync it
// stays, refuses what writes ([semel.ErrFull]), and goes on by itself.
// Nothing that was acknowledged is lost either way.
//
// One key holds one record, PREFIX{SLOT}, one more the trail, and every script has one key, so a
// cluster needs no care. Keep other programs' keys elsewhere, or under another
// prefix: what is no record is never overwritten ([DamagedError]). The user
// needs EVALSHA, EVAL, GET, SET, TIME and PING on the prefix; SCAN for List,
// EXISTS, XADD, XREVRANGE, XINFO and, with [Config.Replicas], XSETID for the trail,
// INFO and CONFIG GET for Validate to be sure. With [semel.Config.Hints] it needs the channel
// PREFIX{hints} and PUBLISH and SUBSCRIBE, in a cluster SPUBLISH and SSUBSCRIBE, of Redis 7.
//
// Steps that wait at the same time share a pipeline, one or two at a time to
// each server; nobody waits for company. The context of a step does not reach
// the client's hooks, as a pipeline has many callers.
//
// The client repeats a pipeline whose connection broke (MaxRetries), which is
// safe: the same token may repeat any step. Purge has nothing to do, as Redis
// deletes by itself what is over. A lapsed reservation has no time to live and
// stays until somebody resolves it.
//
// # Operators
//
// Redis has no order among keys: [Store.List], and each page of it, scans all keys of
// every master and holds what the page needs. That is for operators, not for traffic.
//
// The trail ([Store.Audit]) is one stream, PREFIX{audit}, which never expires and which one
// master of a cluster has. It survives what the grade says, no more: a failover may
// forget its last entries. The trail of one slot reads all of it. Who may write to the prefix can
// trim it; IDs then go on.
//
// # Promise
//
// Grade B on one server with appendfsync always and nobody who fails it over:
// a step that returned nil survives a kill of either side at any point and, if
// the disk keeps what it has synced, a power loss. Everything else is grade C:
// a restart without the log, and a failover to a replica (also in a cluster,
// and behind sentinels) may forget acknowledged records, and a retry then runs
// again. [Config.Replicas] makes that rarer, not impossible: Redis may promote a
// replica that has not confirmed.
//
// What is weaker than grade B for a reservation is so for its
// [Store.BeginEffects]: a failover that forgets it makes an attempt blameless
// again that has had effects.
//
// Leases are measured by the server's clock. Fences grow with every reservation
// of a slot; when its record is over and gone, they go on from the clock, so
// that only a clock that is set back by more than the retention repeats one.
//
// # Versions
//
// Programs of this version and of the one before may share records, in both
// directions, while one replaces the other. A record is written in the oldest
// layout that can say it: layout 1, which the version before knows, unless it is
// a deferred reservation or was resolved with a reason (layout 2). The version
// before refuses those with [SchemaError] and leaves them as they are, a deferred
// one until it completes, is released or has begun its effects; a list of its
// ends there. This version reads both; what the other wrote is not deferred and
// has no reason. A route needs no layout of its own: it stands behind the owner, in
// his field, where a program that knows none shows it as a part of his name and keeps it.
package redisstore
