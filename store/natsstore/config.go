package natsstore

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config is what [New] and [Open] may be told. The zero value is safe.
type Config struct {
	// Stream is the name of the JetStream stream. Default "SEMEL", or what the
	// URL of [Open] names. Programs that share it share the records.
	Stream string
	// Subject is the prefix of the subjects; the record of a slot has the
	// subject SUBJECT.SLOT. Default: the name of the stream. No other stream of
	// the account may listen to these subjects.
	Subject string
	// Replicas is how many servers of a cluster keep the stream, 1 to 5.
	// [Store.Migrate] sets it. Default 0: 1 for a new stream, and an existing
	// one keeps its own. Anything below 3 is lost with one disk.
	Replicas int
	// MaxBytes bounds the stream; [Store.Migrate] sets it. Default 0: no bound
	// for a new stream, and an existing one keeps its own. In a full stream
	// reservations fail with [semel.ErrFull]; nothing is ever dropped to make
	// room. Leave room for the responses of the attempts that run.
	MaxBytes int64
	// SyncAlways is the operator's word that every server of the stream runs
	// with sync_interval: always, which a client cannot ask. Default: false, and
	// the store has grade C. It changes no server.
	SyncAlways bool
	// AcceptMemory lets [Store.Validate] pass a stream in memory, for tests. It
	// has grade C. Default: false. [Store.Migrate] makes streams in files.
	AcceptMemory bool
	// Timeout bounds each request to the server. A server that is gone looks
	// like a slow one, so without a bound a step would wait for ever. What was
	// asked may still happen. Default 5 s.
	Timeout time.Duration
	// Logger is told once what the store survives and what weakens it and, by a
	// store that [Open] made, when the connection breaks and when it is back.
	// Default [slog.Default].
	Logger *slog.Logger
}

// check fills in the defaults.
func (c Config) check() (Config, error) {
	if c.Stream == "" {
		c.Stream = "SEMEL"
	}
	if c.Subject == "" {
		c.Subject = c.Stream
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case !named(c.Stream):
		return c, fmt.Errorf("natsstore: %q cannot name a stream", c.Stream)
	case !prefix(c.Subject):
		return c, fmt.Errorf("natsstore: %q cannot begin a subject", c.Subject)
	case c.Replicas < 0 || c.Replicas > 5:
		return c, fmt.Errorf("natsstore: Config.Replicas is %d, not 1 to 5", c.Replicas)
	case c.MaxBytes < 0:
		return c, fmt.Errorf("natsstore: Config.MaxBytes is %d, below 0", c.MaxBytes)
	case c.Timeout < 0:
		return c, fmt.Errorf("natsstore: Config.Timeout is %v, below 0", c.Timeout)
	}
	return c, nil
}

// named reports whether a text can be one token of a subject.
func named(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(".*>/\\", r) })
}

func prefix(s string) bool {
	if strings.HasPrefix(s, "$") {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if !named(token) {
			return false
		}
	}
	return true
}
