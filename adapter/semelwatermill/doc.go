// Package semelwatermill makes handlers of Watermill run once for each message.
//
// # Use
//
//	mw, err := semelwatermill.New(engine, semelwatermill.ByHandler(), semelwatermill.Config{})
//	...
//	router.AddMiddleware(poison, retry.Middleware, mw.Middleware) // the first is the outermost
//
// The messages that the handler produced are kept, and the record is durable before the
// router publishes them and acknowledges: a delivery that comes again, for whatever reason,
// publishes the same messages (UUID, metadata, payload, order) and does not run the handler.
//
// # What the router does, in order
//
// Watermill's router (v1.5.1, handleMessage) calls the handler, publishes what it returned, and
// acknowledges. An error of either makes it refuse the message (Nack), and the broker delivers
// it again. So there are two gaps in which a message comes again although the handler has
// succeeded: the publisher fails, or the process dies before the acknowledgement. In both
// the replay publishes messages that may have been published before. They have the same
// UUIDs, by which a consumer downstream tells them: with this middleware and [KeyFromUUID], for example.
//
// # Which key
//
// By default the key is the UUID of the message, see [KeyFromUUID]: it stays in every delivery, and
// another publish of the same thing has another one. Where producers publish again,
// a business key in the metadata ([KeyFromMetadata]) is better: it says what is to happen once.
//
// # What is refused
//
// Every refusal is a [*RefusedError]. A message that meets an attempt in flight waits for its end first
// ([Config].Wait), because most brokers deliver again at once. What no further delivery can
// cure, [Terminal] tells: another payload under the same key, a damaged record, an outcome
// that is unknown. Use it with Watermill's PoisonQueueWithFilter and Retry.ShouldRetry, or
// such a message is delivered again and again.
//
// # Beside other middlewares
//
//   - PoisonQueue, Retry, CircuitBreaker, Throttle, DelayOnError: outside, so each try is a delivery. A Retry inside
//     repeats the handler in one attempt, whose outcome is the last try's.
//   - Recoverer: anywhere. A panic holds the key, also as a RecoveredPanicError.
//   - Timeout: inside. Outside it ends the wait only: the handler's context does not end with
//     that of the message.
//   - InstantAck: never. It acknowledges before the handler runs.
//   - Deduplicator: not needed. It marks a message as seen before its handler runs, so a failure loses it.
//   - What changes produced messages (CorrelationID): inside, and the change is kept; outside, and it is
//     made again with each replay.
package semelwatermill
