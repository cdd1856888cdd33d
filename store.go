package semel

import (
	"context"
	"iter"
	"time"
)

// Store keeps records. Each method is one atomic step (invariant I12) that the
// same token may repeat after an unknown result (I11). A store decides nothing:
// it answers what the slot holds now, and the core draws the conclusion.
//
// A store measures every lease and retention with its own clock. The context
// carries values only; the engine never passes one that can be cancelled,
// because a driver that abandons a write leaves its outcome unknown.
// All methods are safe for concurrent use. Errors mean that the step failed and
// may or may not have happened; they never mean a refusal, except [ErrLost], and
// [ErrTooLarge] of a Complete, which has written nothing.
type Store interface {
	// Reserve takes the slot for r if it is absent, free, completed with its
	// retention over, or, with r.TakeOver, lapsed with the same fingerprint;
	// it then gives a fence larger than any before. With r.TakeOverBlameless it
	// also takes a lapsed one of the same fingerprint that is Blameless. In every
	// other case it changes nothing. It returns what the slot holds after the step: the
	// reservation is r's if and only if the token is r.Token. The statement
	// that writes also delivers this verdict.
	//
	// Taking over a lapsed reservation adds one to Lapses, unless it was
	// Blameless; taking a slot in any other way sets it to zero. Deferred is then
	// what r says. A transaction that has locked the row of a lapsed
	// reservation, see [TxSteps], keeps it from being taken over; if it is
	// Blameless nobody waits for that. Repeating Reserve with the token that
	// holds the slot returns the record unchanged.
	Reserve(ctx context.Context, r Reservation) (Record, error)
	Completer
	// Release frees the slot and leaves a tombstone that keeps the fence.
	// It returns ErrLost when the token does not hold the slot. Repeating it
	// may return nil or ErrLost.
	Release(ctx context.Context, key Key, token Token) error
}

// Completer ends an attempt with a response. See [TxSteps] for completing inside
// a caller's transaction.
type Completer interface {
	// Complete turns the reservation of c.Token into a kept response, also
	// when the lease has ended but nobody took the slot over. It returns nil
	// if that token has completed the slot already, keeping the first
	// response, and ErrLost in every other case.
	Complete(ctx context.Context, c Completion) error
}

// EffectBeginner ends the promise of [Reservation].Deferred.
type EffectBeginner interface {
	// BeginEffects makes the reservation of token one that may have had effects,
	// in one durable step. Repeating it is harmless, and so is calling it for a
	// reservation that was not Deferred. It returns [ErrLost] when the token
	// does not hold the slot.
	BeginEffects(ctx context.Context, key Key, token Token) error
}

// Renewer extends leases in batches. A store without it cannot protect an
// attempt for longer than one lease.
type Renewer interface {
	// Renew sets the lease of each holder to lease from the store's now and
	// returns the tokens that no longer hold their slot. A lease of zero ends
	// it at once: the record is lapsed whatever the margin. A slot that was
	// completed or released is not held any more, so its token is lost. An
	// error means that no lease can be counted on, except [*UnrenewedError]:
	// then only those of its tokens cannot, and lost is right.
	Renew(ctx context.Context, lease time.Duration, holders []Holder) (lost []Token, err error)
}

// Purger removes what is over.
type Purger interface {
	// Purge deletes up to limit free or completed records whose retention is
	// over and returns how many. It never deletes a reservation, lapsed or
	// not (invariant I9). Zero means that nothing was left to do.
	Purge(ctx context.Context, limit int) (int, error)
}

// Lister reads records for the operator.
type Lister interface {
	// List yields the records that f chooses, the youngest slot first. It is
	// not a snapshot: records may change while it runs. It ends after the
	// first error.
	List(ctx context.Context, f Filter) iter.Seq2[Record, error]
}

// Sifter lists in steps whose cost is bounded. It is for stores whose List may pass over
// many records to find few.
type Sifter interface {
	// Sift is a List that ends when it has passed over about so many records, whether f
	// chooses them or not. It returns those that f chooses, in the order of List, and
	// the place behind which the list goes on, see [Filter].After: zero when there is
	// nothing behind them. Each step comes further, so that the list ends.
	Sift(ctx context.Context, f Filter, most int) (found []Record, next Place, err error)
}

// Resolver applies an operator's answer to a lapsed reservation.
type Resolver interface {
	// Resolve returns ErrInFlight while the lease runs, and ErrLost when the
	// slot is not reserved under r.Fence. A kept response gets a new token: the
	// lapsed attempt, should it come back, must hear ErrLost and not take the
	// operator's answer for its own (I3). r.Reason is kept until the slot is
	// reserved again.
	Resolve(ctx context.Context, r Resolution) error
}

// Resealer replaces a kept response by the same one in another form.
type Resealer interface {
	// Reseal replaces header and body of the response that holder.Token has
	// completed its slot with, in one step. Nothing else of the record changes. It
	// returns [ErrLost], and changes nothing, when that token has not completed the
	// slot or the slot has been taken since, and [ErrTooLarge] as Complete does.
	Reseal(ctx context.Context, holder Holder, header, body []byte) error
}

// Auditor keeps a trail of what operators did. Nothing in Semel ever changes or
// removes an entry.
type Auditor interface {
	// Audit adds an entry, durably, and returns it with ID and At. IDs grow from
	// entry to entry; there may be gaps. [ErrTooLarge] means that a text is longer
	// than [MaxAuditLen].
	Audit(ctx context.Context, e AuditEntry) (AuditEntry, error)
	// Trail yields the entries that f chooses, the latest first. It ends after the
	// first error.
	Trail(ctx context.Context, f AuditFilter) iter.Seq2[AuditEntry, error]
}

// Pinger tells whether the store can serve now.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Grader tells what the store survives.
type Grader interface {
	Grade() Grade
}

// MaxMessageLen is how long a text of a [Messenger] may be, in bytes.
const MaxMessageLen = 4096

// Messenger carries short texts between the processes that share the store, so that one need
// not ask again and again whether another is done: see [Config.Hints]. Nothing
// depends on a text that arrives: it may be lost, late, repeated, out of order or forged.
// Programs whose stores share no records should not share texts either.
type Messenger interface {
	// Send gives a text to all who listen, perhaps to the sender too. It is printable
	// ASCII of up to [MaxMessageLen] bytes. It must not wait for those who listen, nor be a part
	// of any transaction, and ends when ctx does.
	Send(ctx context.Context, text string) error
	// Listen calls heard with each text that comes, one at a time, until ctx ends or the
	// way breaks; it then returns why. It calls ready, perhaps more than once, when it hears
	// what is sent from now on. An error that wraps [errors.ErrUnsupported] says that it never
	// will.
	Listen(ctx context.Context, ready func(), heard func(text string)) error
}

// Immediate marks a store whose steps never wait for anything outside the
// process. The engine then calls it directly, without a timeout, and with the
// context at hand: the store must not look at whether that has ended.
type Immediate interface {
	Immediate()
}

// As finds an optional capability T of a store, looking through wrappers that
// have a method Unwrap() Store.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	var none T
	return none, false
}
