package semelcrash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Defaults of [Config].
const (
	DefaultRandom   = 4
	DefaultPatience = 30 * time.Second
	DefaultPoll     = 50 * time.Millisecond
)

// Config says what is asked of the service and how its answers are judged.
// Request and Effects are needed; the rest may be zero. Its functions are called
// by up to Parallel goroutines at once.
type Config struct {
	// Request makes the request that carries key to the service at base, an URL
	// without a slash at its end. It is called for each try and must make the
	// same request each time.
	Request func(base, key string) (*http.Request, error)
	// Effects counts the effects that the request with key has had, as the world
	// sees them. It runs in the process of the test.
	Effects func(ctx context.Context, key string) (int, error)
	// Want is how many effects a request has. Default 1.
	Want int
	// Args are given to the service, see [Process]: a DSN, a folder, a variant.
	Args []string
	// MayHold takes a request whose outcome stays unknown, and which is refused
	// as long as nobody resolves it, for well handled: the promise of the policy
	// Hold. Default: that is a failure, as with transactions, Rerun, or a
	// recovery hook it need not happen.
	MayHold bool
	// Judge says what an answer tells the client. Default [Judge].
	Judge func(Answer) Told
	// Once kills a request once and lets its retry live, except at random. Default: after
	// the runs with one kill come those whose retry is killed as well, at each of
	// its steps. That is three times the runs, and each of them waits for two leases.
	Once bool
	// Random is the number of runs that are killed at random moments, up to
	// three times each. Default 4; negative is none.
	Random int
	// Seed chooses the moments. Default: another one each time, which a failure
	// names; SEMELCRASH_SEED in the environment comes first.
	Seed uint64
	// Patience bounds how long a client waits, for one answer and for being told
	// how the request ended, and how long the service takes to come up.
	// It must exceed the lease and the margin by far. Default 30 s.
	Patience time.Duration
	// Poll is the pause between two tries of a client. Default 50 ms.
	Poll time.Duration
	// Parallel is how many runs go on at once, each with a service of its own.
	// Default 1; more is for services that share nothing but the database.
	Parallel int

	exe string // of the service; this test's program
}

// The environment variables that repeat one failure.
const (
	seedEnv = "SEMELCRASH_SEED"
	onlyEnv = "SEMELCRASH_ONLY"
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Request == nil:
		return c, errors.New("semelcrash: Config.Request is needed")
	case c.Effects == nil:
		return c, errors.New("semelcrash: Config.Effects is needed")
	case c.Want < 0, c.Patience < 0, c.Poll < 0, c.Parallel < 0:
		return c, errors.New("semelcrash: Want, Patience, Poll and Parallel cannot be negative")
	}
	c.Want = cmp.Or(c.Want, 1)
	c.Patience = cmp.Or(c.Patience, DefaultPatience)
	c.Poll = cmp.Or(c.Poll, DefaultPoll)
	c.Parallel = cmp.Or(c.Parallel, 1)
	if c.exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("semelcrash: the test's program: %w", err)
		}
		c.exe = exe
	}
	c.Random = max(cmp.Or(c.Random, DefaultRandom), 0)
	c.Seed = cmp.Or(c.Seed, rand.Uint64())
	if c.Judge == nil {
		c.Judge = Judge
	}
	if s := os.Getenv(seedEnv); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return c, fmt.Errorf("semelcrash: %s is no number: %w", seedEnv, err)
		}
		c.Seed = seed
	}
	return c, nil
}
