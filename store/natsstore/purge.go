package natsstore

import "context"

// Purge implements [semel.Purger]. It has nothing to do: the server deletes by
// itself what is over, a minute after its retention, and List leaves out what
// waits for that.
func (s *Store) Purge(context.Context, int) (int, error) { return 0, nil }
