package semel

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// Defaults of [Config]. docs/guarantees.md gives the reasons.
const (
	DefaultLease           = 30 * time.Second
	DefaultMargin          = 2 * time.Second
	DefaultMaxRun          = 5 * time.Minute
	DefaultRetention       = 24 * time.Hour
	DefaultReserveTimeout  = 2 * time.Second
	DefaultCompleteTimeout = 10 * time.Second

	DefaultMaxWaiters       = 1024
	DefaultMaxWaitersPerKey = 8
)

// minLease is the shortest lease: its sixth must be time for a step of the store.
const minLease = time.Second

// Config is what an [Engine] may be told. The zero value is safe.
type Config struct {
	// Lease protects a running attempt; it is renewed every third of it while
	// the attempt runs. Default 30 s, at least 1 s. Longer means that the key
	// of a crashed process is held for longer before anybody may look into it. A Call may
	// say otherwise.
	Lease time.Duration
	// Margin is added to a lease before it counts as lapsed, so that an owner
	// gives up before anybody else may begin. Default 2 s; negative is zero.
	Margin time.Duration
	// MaxRun is the hard cap of one attempt: its handler's context is then
	// cancelled with cause ErrOverran and its lease is no longer renewed.
	// Default 5 min, at least Lease.
	MaxRun time.Duration
	// Retention is how long a kept response is replayed, counted from the
	// reservation. Default 24 h or MaxRun, whichever is longer; at least
	// MaxRun, as a slow attempt's response would be over before it was kept.
	// It must exceed the time for which clients retry: after it, the key runs
	// again. A Call may say otherwise.
	Retention time.Duration
	// ReserveTimeout bounds a reserve, its repetition included; then Begin
	// fails. Default 2 s. Begin also fails when no more than a sixth of the
	// lease is left by then, as nobody could run under it.
	ReserveTimeout time.Duration
	// CompleteTimeout bounds the tries to complete before the caller is told
	// ErrNotStored and the engine goes on in the background. Default 10 s.
	CompleteTimeout time.Duration
	// Lapsed says what happens to a slot whose attempt lapsed. Default Hold.
	// A Call may say otherwise.
	Lapsed Policy
	// Recover is asked under the policy Recover; needed if and only if Lapsed
	// is Recover. It runs under a fresh reservation and may be called again
	// when it failed or did not know.
	Recover RecoverFunc
	// MaxWaiters is how many calls may wait at once for attempts in flight, see [Call.Wait],
	// and MaxWaitersPerKey how many for one key; further ones do not wait. Default 1,024 and
	// 8.
	MaxWaiters, MaxWaitersPerKey int
	// Hints lets the engines that share a store tell one another that an attempt has ended for
	// which somebody waits ([Call.Wait]), so that the answer comes at once and not with
	// the next question to the store, up to half a second later. New fails when the store is no
	// [Messenger]. What nobody waits for costs nothing, but on some stores each process has a
	// connection more: see docs/stores.md. All processes need it, and the same Secret, to
	// understand one another. Default: no hints.
	Hints bool
	// Owner names this process in records. Default host name and process id.
	Owner string
	// Secret keys [Claim.DerivedKey] and [Engine.Ref]. It must be the same in
	// every process and for as long as keys are retried. Default: none, and
	// both are plain hashes that somebody who knows the key can compute.
	Secret Secret
	// HashKeys keeps keys, scopes and fingerprints as keyed hashes only, so that who reads the
	// store learns neither who called nor under which key; see [Engine.StoredKey].
	// Records, claims and recovery hooks have the hashes too. Secret is needed, at least
	// 16 bytes of it. Whoever switches this on or off, or changes Secret, makes every earlier
	// key one that was never used: do so with an empty store, or a retention after the
	// last request. Default: they are kept in clear.
	HashKeys bool
	// Sealer encrypts kept responses. Default: none.
	Sealer Sealer
	// Observe is called at every step. Default: none.
	Observe Observer
	// Logger gets what nobody else is told: lost completions, responses that
	// were stored late or never. Default [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	c.MaxRun = cmp.Or(c.MaxRun, max(DefaultMaxRun, c.Lease))
	c.Retention = cmp.Or(c.Retention, max(DefaultRetention, c.MaxRun))
	c.ReserveTimeout = cmp.Or(c.ReserveTimeout, DefaultReserveTimeout)
	c.CompleteTimeout = cmp.Or(c.CompleteTimeout, DefaultCompleteTimeout)
	c.MaxWaiters = cmp.Or(c.MaxWaiters, DefaultMaxWaiters)
	c.MaxWaitersPerKey = cmp.Or(c.MaxWaitersPerKey, min(DefaultMaxWaitersPerKey, c.MaxWaiters))
	if c.MaxWaiters < 0 || c.MaxWaitersPerKey < 0 {
		return c, errors.New("semel: Config.MaxWaiters and MaxWaitersPerKey must not be negative")
	}
	for _, d := range []struct {
		name       string
		got, least time.Duration
	}{
		{"Lease", c.Lease, minLease},
		{"MaxRun", c.MaxRun, c.Lease},
		{"Retention", c.Retention, c.MaxRun},
		{"ReserveTimeout", c.ReserveTimeout, time.Millisecond},
		{"CompleteTimeout", c.CompleteTimeout, time.Millisecond},
	} {
		if d.got < d.least {
			return c, fmt.Errorf("semel: Config.%s is %v, less than %v", d.name, d.got, d.least)
		}
	}
	switch {
	case c.Margin == 0:
		c.Margin = DefaultMargin
	case c.Margin < 0:
		c.Margin = 0
	}
	if err := checkPolicy(c.Lapsed, c.Recover); err != nil {
		return c, err
	}
	if err := c.checkHashKeys(); err != nil {
		return c, err
	}
	if c.Lapsed == 0 {
		c.Lapsed = Hold
	}
	if c.Owner == "" {
		host, _ := os.Hostname() // an unknown host leaves the process id
		c.Owner = host + "/" + strconv.Itoa(os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}
