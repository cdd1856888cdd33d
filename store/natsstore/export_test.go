package natsstore

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/semel-go/semel"
)

// SetClock gives the store another clock of this process.
func (s *Store) SetClock(now func() time.Time) { s.clock.now = now }

// SetLayout makes the store one of a program with another layout of the stream.
func (s *Store) SetLayout(version int) { s.layout = version }

// Conn is the store's connection.
func (s *Store) Conn() *nats.Conn { return s.nc }

// SubjectOf is the subject of a key's record.
func (s *Store) SubjectOf(key semel.Key) string { return s.subject(key.Slot()) }

// SetGrace changes how long after its retention the server deletes a record.
func (s *Store) SetGrace(d time.Duration) { s.grace = d }
