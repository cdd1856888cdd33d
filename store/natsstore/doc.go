// Package natsstore keeps records in NATS JetStream: one message for each slot,
// in one stream, on one server or on a cluster. Beside it lies the stream of the trail.
//
// # Use
//
//	store, err := natsstore.Open(ctx, "nats://semel:secret@h1:4222,h2:4222/SEMEL?replicas=3&sync_always=true", natsstore.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	if err := store.Migrate(ctx); err != nil { // or leave the stream to whoever administers it
//		return err
//	}
//	engine, err := semel.New(store, semel.Config{})
//
// # Advice
//
// Give the stream three replicas and every server sync_interval: always, and say
// so with [Config.SyncAlways], because a client cannot ask. By default a server
// syncs its disk every two minutes. Always has no group commit: it is an fsync
// for each message. NATS 2.11 is the oldest server that will do.
//
// Set max_payload to 2MB: a record is one message, and by default a message has
// one mebibyte, less than the response that an engine may keep.
//
// The server deletes records by itself, one minute after their retention;
// [semel.Engine.RunPurge] is not needed. Nothing deletes a reservation.
// [Store.List] reads the whole stream, bodies included: it is for operators.
//
// Watch the servers' disks, and bound the stream below them with
// [Config.MaxBytes]: a full stream is [semel.ErrFull], and serves again when
// there is room. On a full disk a server does not answer writes, so that steps
// fail after [Config.Timeout] with an error that says what it may be; NATS 2.11
// answers, and that is ErrFull. Nothing acknowledged is lost. Newer servers must
// be started again once there is space. Until then the others of a cluster serve,
// unless it is the leader of the stream whose disk is full: it was seen to hang and
// to go on leading (2.15.2), so kill it; an orderly shutdown hangs too.
//
// The stream must stay as [Store.Migrate] made it. In particular a client that
// reads it with direct gets may read from a replica that lags, and a purge of
// the stream forgets every reservation: give nobody else the right to it. The
// store needs roll-ups, so the stream itself cannot deny purges.
//
// # Operators
//
// JetStream has no order by age, so each page of a list reads the stream to its end and
// holds what the page needs. A whole key, or slot, is one look.
//
// The trail ([Store.Audit]) is the stream STREAM-AUDIT with the subjects SUBJECT.audit.SLOT
// (SUBJECT.audit.none for actions over many slots), in files, with as many replicas as the records.
// It has no bounds, expires never, and denies deletes and purges; who may delete the
// stream can. [Store.Migrate] makes it: a store that was last migrated by the version
// before serves without it, and refuses operators until somebody migrates. The user needs the
// right to publish to SUBJECT.audit.*; with [semel.Config.Hints] also to publish and to listen to
// SUBJECT.hints.now, which no stream keeps.
//
// # Promise
//
// Grade B with [Config.SyncAlways], else C. A step that returned nil is kept by
// the server or, with replicas, by a majority of them: it survives kills and,
// with replicas, the loss of a minority. Only with sync_interval: always does it
// survive a power loss of all.
//
// Every write names the message that it replaces, and the server refuses it when
// the slot has another one by then. So a fresh reservation and a settlement are
// one round trip each, a replay and a refusal two. Fences are the stream's
// sequence numbers. Leases are measured by the clock of the stream's leader; no
// clock of a client decides anything. A step whose answer does not come within
// [Config.Timeout] has failed for the caller and may have happened.
//
// # Versions
//
// Programs of this version and of the one before may share a stream, in both
// directions, while one replaces the other. A record is written in the oldest
// version that can say it: 1, which the program before knows, unless it is a
// deferred reservation, was resolved with a reason, or has begun its effects by
// another process than it was reserved by (2). This version reads both; what the
// other wrote is not deferred and has no reason. A route needs no version of its own: it
// stands behind the owner, in his field, where a program that knows none shows it as a
// part of his name and keeps it.
//
// The program before refuses a record of version 2 with [SchemaError] and leaves
// it as it is. That never misreads, but costs more than a refusal when the slot
// was its own, taken over by a deferred attempt or resolved with a reason: with
// that lease it fails to renew others, and a list ends at the record. So resolve
// with reasons, and let routes defer, once the last of them has ended.
package natsstore
