package natsstore

import "context"

// Purge implements [semel.Purger]. It has nothing to do: the server deletes by
// itself what is over, ten minutes after its retention, and List leaves out what
// waits for that.
//
// It must not help. A message that a client deletes comes back when the server
// is killed before its disk has heard of it (seen with NATS 2.15: of 100 deleted
// records all came back), or the one that it had replaced does: a reservation
// that never ends (I9).
func (s *Store) Purge(context.Context, int) (int, error) { return 0, nil }
